//! S1 of the list of faults: after everything that can be done with Keyway, no part of any secret stands in anything that
//! it wrote, in any form, but for the named exceptions.

mod calls;
mod mistakes;
mod operate;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use keyway_e2e::collector::Collector;
use keyway_e2e::gateway::Outcome;
use keyway_e2e::inspect::children;
use keyway_e2e::leaks::{Evidence, Excused, Form, Marker, Operator, Scanner, Secrets};
use keyway_testkit::caller::Caller;
use keyway_testkit::process::{Keyway, Planes};
use keyway_testkit::provider::Provider;

/// Bytes of a log that are copied to plant a secret in.
const PIECE: usize = 4096;

/// What is said to the one who asked, and to nobody else.
const SAID: &[Excused] = &[
    Excused {
        place: "op/caller/*",
        marker: "caller/in-*",
        reason: "the caller's own words, to that caller only: a model's name, a repeated field's",
    },
    Excused { place: "op/api/POST /api/v1/clients", marker: "made/client-by-api", reason: "shown once" },
];

/// Where a secret may stand when `keyway up` runs. Nothing else is let through.
const EXCUSED: &[Excused] = &[
    Excused { place: "folder/keyway.yaml", marker: "file/*", reason: "the operator's own file" },
    Excused {
        place: "folder/home/client.token",
        marker: "made/first-client",
        reason: "shown again at each start; 0600",
    },
    Excused {
        place: "folder/home/admin.token",
        marker: "made/admin",
        reason: "what the CLI of this user uses; 0600",
    },
    Excused {
        place: "folder/home/root.key",
        marker: "made/root-key",
        reason: "where no other place is named; 0600",
    },
    Excused {
        place: "folder/home/replicas/node-keys/*",
        marker: "made/node-key-*",
        reason: "opens kept states; 0600",
    },
    Excused {
        place: "folder/operator/login.json",
        marker: "made/admin",
        reason: "what `keyway login` is for; 0600",
    },
    Excused { place: "ready.json", marker: "made/first-client", reason: "was asked for; 0600" },
    Excused { place: "up/stdout", marker: "made/first-client", reason: "the start text, to be pasted" },
    Excused {
        place: "up/environ",
        marker: "variable/*",
        reason: "the environment that the operator gave to `up`",
    },
    Excused { place: "op/cli/client create made stdout", marker: "made/client", reason: "shown once" },
    Excused {
        place: "op/cli/client rotate made stdout",
        marker: "made/client-rotated",
        reason: "shown once",
    },
    Excused {
        place: "op/cli/operator create viewer * stdout",
        marker: "made/operator",
        reason: "shown once",
    },
];

/// The file that `up` starts with. `sim` works, `echo` says its key to everybody, `odd` has a key of odd characters.
fn yaml(base: &str, secrets: &mut Secrets) -> Outcome<String> {
    let mut key = |name| secrets.key(name);
    let (main, spare, echoed) = (key("file/main")?, key("file/spare")?, key("file/echoed")?);
    let (tester, signer) = (key("file/tester")?, key("file/signer")?);
    let odd = secrets.keep(Marker::odd("file/odd", "")?)?;
    let pair = secrets.keep(Marker::odd("file/sigv4", "")?)?;
    Ok(format!(
        r#"providers:
  sim:
    dialect: openai-chat
    base_url: "{base}"
    keys: [{{ name: main, secret: {main} }}, {{ name: spare, secret: {spare} }}, {{ name: env, secret: "${{SIM_KEY}}" }}]
  echo: {{ dialect: openai-chat, base_url: "{base}", api_key: {echoed} }}
  odd: {{ dialect: openai-chat, base_url: "{base}", auth: {{ query: key }}, api_key: "{odd}" }}
models:
  alias-m: {{ targets: [{{ provider: sim, model: m }}] }}
teams:
  blue: {{}}
clients:
  tester: {{ token: {tester}, team: blue }}
  signer: {{ token: {signer}, sigv4: {{ access_key_id: AKIASIGNER, secret_access_key: "{pair}" }} }}
"#
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_no_secret_in_anything_that_was_written() -> Outcome {
    let provider = Provider::start()?;
    let collector = Collector::start()?;
    let mut secrets = Secrets::default();
    let yaml = yaml(&provider.base_url(), &mut secrets)?;
    let up =
        Keyway::up().config(yaml.clone()).replicas(2).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let up = up.env("OTEL_BSP_SCHEDULE_DELAY", "50").env("RUST_BACKTRACE", "1");
    // Whoever looks for a fault asks for all there is.
    let up = up.env("KEYWAY_LOG", "trace,h2=trace,h2::codec=trace,hyper=trace,hyper_util=trace,tonic=trace");
    let named = secrets.key("variable/named")?;
    let up = up.env("SIM_KEY", &named);
    let mut keyway = up.env("MISTRAL_API_KEY", secrets.key("variable/usual")?).start()?;
    let mut operator = Operator {
        name: "op",
        folder: keyway.folder().to_owned(),
        url: keyway.admin_url().to_owned(),
        token: keyway.admin_token()?,
        env: vec![
            ("RUST_BACKTRACE".into(), "1".into()),
            ("RUST_LOG".into(), "trace".into()),
            ("SIM_KEY".into(), named.clone()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), collector.url()),
        ],
        evidence: Evidence::default(),
    };
    made(&keyway, &mut secrets)?;

    calls::callers(keyway.base_url(), &provider, &mut operator, &mut secrets).await?;
    operate::commands(&mut operator, &mut secrets)?;
    operate::keys(&provider, &mut operator, &mut secrets).await?;
    mistakes::mistakes(&mut operator, &mut secrets).await?;
    operate::every_get(&mut operator).await?;
    for path in ["/metrics", "/snapshot", "/totals", "/readyz", "/healthz"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: keyway\r\n\r\n");
        let to = keyway.ops_url().trim_start_matches("http://").parse()?;
        let answer = Caller::connect(to).await?.ask(request.as_bytes()).await?;
        operator.keep(&format!("ops{path}"), &answer);
    }
    let mut evidence = operator.evidence;
    process(&keyway, &mut evidence)?;
    let ended = keyway.process().stop()?;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", keyway.log());
    evidence.add("up/stdout", keyway.process().stdout());
    evidence.add("up/stderr", keyway.process().stderr());
    evidence.add("collector", collector.printed());
    evidence.add_folder("folder", keyway.folder())?;

    let scanner = Scanner::new(&secrets.0);
    let (leaks, unused) = evidence.judge(&scanner, &[EXCUSED, SAID].concat());
    println!("{} secrets, {} places, {} bytes", secrets.0.len(), evidence.places(), evidence.bytes());
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    assert!(unused.is_empty(), "exceptions that nothing needs: {unused:#?}");
    planted(&secrets, &scanner, keyway.process().stderr().as_bytes());
    Ok(())
}

/// What Keyway made itself.
fn made(keyway: &Keyway, secrets: &mut Secrets) -> Outcome {
    let home = keyway.folder().join("home");
    for (name, file) in [("made/first-client", "client.token"), ("made/admin", "admin.token")] {
        secrets.0.push(Marker::found(name, std::fs::read_to_string(home.join(file))?.trim().as_bytes()));
    }
    let root = std::fs::read_to_string(home.join("root.key"))?;
    let bytes = (0..32).map(|at| u8::from_str_radix(root.get(2 * at..2 * at + 2).unwrap_or_default(), 16));
    secrets.0.push(Marker::found("made/root-key", &bytes.collect::<Result<Vec<u8>, _>>()?));
    for (number, file) in std::fs::read_dir(home.join("replicas/node-keys"))?.enumerate() {
        secrets.0.push(Marker::found(&format!("made/node-key-{number}"), &std::fs::read(file?.path())?));
    }
    Ok(())
}

/// What others see of the processes while they run.
fn process(keyway: &Keyway, evidence: &mut Evidence) -> Outcome {
    evidence.add("ready.json", std::fs::read(keyway.folder().join("ready.json"))?);
    let replicas = children(keyway.pid())?;
    assert_eq!(replicas.len(), 2);
    for (name, pid) in replicas.iter().map(|pid| ("replica", *pid)).chain([("up", keyway.pid())]) {
        evidence.add(format!("{name}/environ"), std::fs::read(format!("/proc/{pid}/environ"))?);
        evidence.add(format!("{name}/cmdline"), std::fs::read(format!("/proc/{pid}/cmdline"))?);
    }
    Ok(())
}

/// The search finds what is there: each secret, put into a copy of the log in each form.
#[track_caller]
fn planted(secrets: &Secrets, scanner: &Scanner, log: &[u8]) {
    for marker in &secrets.0 {
        for (form, text) in marker.written() {
            let (before, after) = log.get(..PIECE).unwrap_or(log).split_at(log.len().min(PIECE) / 2);
            let hits = scanner.scan(&[before, text.as_slice(), after].concat());
            let found = hits
                .iter()
                .any(|hit| hit.marker == marker.name && (hit.form == form || form == Form::Escaped));
            assert!(found, "{} as {form:?} is not found: {hits:?}", marker.name);
        }
    }
}

/// Where a secret may stand when the planes run apart.
const EXCUSED_APART: &[Excused] = &[
    Excused { place: "folder/keyway.yaml", marker: "file/*", reason: "the operator's own file" },
    Excused { place: "folder/home/admin.token", marker: "made/admin", reason: "0600" },
    Excused { place: "folder/*.join", marker: "made/join-*", reason: "was asked for; 0600" },
    Excused { place: "folder/*.identity", marker: "made/identity-*", reason: "who a node is; 0600" },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_no_secret_in_anything_that_planes_of_their_own_wrote() -> Outcome {
    let provider = Provider::start()?;
    let mut secrets = Secrets::default();
    let yaml =
        yaml(&provider.base_url(), &mut secrets)?.replace(r#", { name: env, secret: "${SIM_KEY}" }"#, "");
    let log = "trace,h2=trace,h2::codec=trace,hyper=trace,hyper_util=trace,tonic=trace,tower=trace";
    let planes = Planes::of(yaml).env("KEYWAY_LOG", log).env("RUST_BACKTRACE", "full");
    let mut planes = planes.start(2)?;
    let home = planes.folder().join("home");
    let admin = std::fs::read_to_string(home.join("admin.token"))?;
    secrets.0.push(Marker::found("made/admin", admin.trim().as_bytes()));
    for replica in &planes.replicas {
        let id = &replica.id;
        let token = std::fs::read_to_string(planes.folder().join(format!("{id}.join")))?;
        let token = URL_SAFE_NO_PAD.decode(token.trim().trim_start_matches("kwj_"))?;
        // Behind the hash of the root, which is no secret: two fields of 32 bytes, each with its head of two.
        let secret = token.get(36..68).ok_or("a join token of another form")?;
        secrets.0.push(Marker::found(&format!("made/join-{id}"), secret));
        let keys = replica.state_dir().parent().map(|dir| dir.join("node-keys")).ok_or("no directory")?;
        let identity = std::fs::read(keys.join(format!("{id}.identity")))?;
        // What in PKCS #8 is secret: the 32 bytes after the head of the inner key.
        let head = identity.windows(5).position(|bytes| bytes == [0x02, 0x01, 0x01, 0x04, 0x20]);
        let key = head.and_then(|at| identity.get(at + 5..at + 37)).ok_or("no key in an identity")?;
        secrets.0.push(Marker::found(&format!("made/identity-{id}"), key));
    }
    let mut operator = Operator {
        name: "op",
        folder: planes.folder().to_owned(),
        url: planes.admin_url().to_owned(),
        token: planes.admin_token()?,
        env: Vec::new(),
        evidence: Evidence::default(),
    };
    let base = planes.replicas.first().ok_or("no replica")?.base_url.clone();
    calls::callers(&base, &provider, &mut operator, &mut secrets).await?;
    operate::keys(&provider, &mut operator, &mut secrets).await?;
    mistakes::mistakes(&mut operator, &mut secrets).await?;
    let mut evidence = operator.evidence;
    planes.control.stop()?;
    evidence.add("controlplane", planes.control.stdout() + &planes.control.stderr());
    for replica in &mut planes.replicas {
        replica.process.stop()?;
        evidence.add("dataplane", replica.process.stdout() + &replica.process.stderr());
    }
    evidence.add_folder("folder", planes.folder())?;
    let (leaks, unused) = evidence.judge(&Scanner::new(&secrets.0), &[EXCUSED_APART, SAID].concat());
    println!("{} secrets, {} places, {} bytes", secrets.0.len(), evidence.places(), evidence.bytes());
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    assert!(unused.is_empty(), "exceptions that nothing needs: {unused:#?}");
    Ok(())
}
