//! S3, S5, S10 and S11 of the list of faults, on real processes: dumps and memory, environments, sealed files that were
//! moved, secrets in plain fields. S12 on the files of the repository.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyway_e2e::expect::openai_reason;
use keyway_e2e::gateway::{CHAT, Gateway, Outcome, TOKEN, chat};
use keyway_e2e::inspect::children;
use keyway_e2e::leaks::{Evidence, Operator, Secrets};
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{Keyway, Planes, binary, root};
use keyway_testkit::provider::Provider;
use serde_json::json;

/// Somebody who is not root.
const NOBODY: u32 = 65_534;

/// Two providers at one simulator, each with a key.
fn yaml(provider: &Provider, secrets: &mut Secrets) -> Outcome<String> {
    let base = provider.base_url();
    let (one, two) = (secrets.key("one")?, secrets.key("two")?);
    Ok(format!(
        r#"providers:
  one: {{ dialect: openai-chat, base_url: "{base}", keys: [{{ name: main, secret: {one} }}] }}
  two: {{ dialect: openai-chat, base_url: "{base}", keys: [{{ name: main, secret: {two} }}] }}
clients:
  tester: {{ token: {TOKEN} }}
"#
    ))
}

fn operator(folder: &Path, url: &str, token: String) -> Operator {
    let (folder, url) = (folder.to_owned(), url.to_owned());
    Operator { name: "op", folder, url, token, env: Vec::new(), evidence: Evidence::default() }
}

// === S3, S5 ===

/// No core file, and no other user, nor another process of this one, reads its memory; nothing in argument or environment.
fn hardened(role: &str, pid: u32, secrets: &Secrets) -> Outcome {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).ok_or("no such limit")?;
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{role}: {core}");
    // What is not dumpable belongs to root in /proc, whoever runs it.
    let read = Command::new("cat").arg(format!("/proc/{pid}/mem")).uid(NOBODY).output()?;
    assert!(!read.status.success() && read.stdout.is_empty(), "{role}: its memory can be read");
    let environ = Command::new("cat").arg(format!("/proc/{pid}/environ")).uid(NOBODY).output()?;
    assert!(!environ.status.success(), "{role}: its environment can be read");
    for file in ["environ", "cmdline"] {
        let bytes = fs::read(format!("/proc/{pid}/{file}"))?;
        for secret in secrets.0.iter().map(|marker| marker.text.as_str()).chain([TOKEN]) {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{role}: a secret in {file}");
        }
    }
    Ok(())
}

#[test]
fn s3_and_s5_nothing_is_dumped_and_no_argument_or_environment_holds_a_secret() -> Outcome {
    let provider = Provider::start()?;
    let mut secrets = Secrets::default();
    let yaml = yaml(&provider, &mut secrets)?;
    let planes = Planes::start(&yaml, 1)?;
    hardened("keyway-controlplane", planes.control.pid(), &secrets)?;
    for replica in &planes.replicas {
        hardened("keyway-dataplane", replica.process.pid(), &secrets)?;
    }
    let gateway = Gateway::of(Keyway::up().config(yaml).replicas(1))?;
    hardened("keyway up", gateway.keyway.pid(), &secrets)?;
    let replicas = children(gateway.keyway.pid())?;
    assert_eq!(replicas.len(), 1);
    hardened("a replica of keyway up", replicas.first().copied().unwrap_or_default(), &secrets)
}

// === S10 ===

/// Ends it in order, does something to its data directory, and starts it again.
async fn restarted_after(
    change: impl Fn(&Path) -> Outcome,
) -> Outcome<(Provider, Keyway, tempfile::TempDir)> {
    let provider = Provider::start()?;
    let yaml = yaml(&provider, &mut Secrets::default())?;
    let mut first = Keyway::up().config(yaml).start()?;
    let home = first.folder().join("home");
    let ended = first.process().stop()?;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", first.log());
    change(&home)?;
    let kept = tempfile::tempdir()?;
    let moved = kept.path().join("home");
    fs::rename(&home, &moved)?;
    let again = Keyway::up().arg("--home").arg(moved.display().to_string()).start()?;
    Ok((provider, again, kept))
}

async fn ask(keyway: &Keyway, model: &str) -> Outcome<keyway_testkit::caller::Answer> {
    let to = keyway.base_url().trim_start_matches("http://").parse()?;
    Ok(Caller::connect(to).await?.ask(&post(CHAT, TOKEN, "", chat(model).as_bytes())).await?)
}

fn sealed(home: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![home.join("vault/secrets")];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found.sort_by_cached_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    Ok(found)
}

#[tokio::test]
async fn s10_swapped_sealed_files_open_nothing_and_send_nothing() -> Outcome {
    let swap = |home: &Path| {
        let files = sealed(home)?;
        // The first one that was made is the authority's.
        let [_, one, two] = files.as_slice() else { return Err(format!("not three: {files:?}").into()) };
        let (first, second) = (fs::read(one)?, fs::read(two)?);
        fs::write(one, second)?;
        Ok(fs::write(two, first)?)
    };
    let (provider, keyway, _kept) = restarted_after(swap).await?;
    for model in ["one/m", "two/m"] {
        openai_reason(&ask(&keyway, model).await?, 502, "upstream_error", "secret_integrity");
    }
    assert_eq!(provider.requests(), 0, "something was sent");
    assert!(keyway.log().contains("does not open"), "nobody is told: {}", keyway.log());
    Ok(())
}

#[tokio::test]
async fn s10_one_damaged_file_takes_only_its_own_provider_along() -> Outcome {
    let damage = |home: &Path| {
        let file = sealed(home)?.into_iter().nth(1).ok_or("no sealed file")?;
        let mut bytes = fs::read(&file)?;
        bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
        Ok(fs::write(file, bytes)?)
    };
    let (_provider, keyway, _kept) = restarted_after(damage).await?;
    let (one, two) = (ask(&keyway, "one/m").await?, ask(&keyway, "two/m").await?);
    let (damaged, whole) = if one.status == 200 { (two, one) } else { (one, two) };
    openai_reason(&damaged, 502, "upstream_error", "secret_integrity");
    assert_eq!(whole.status, 200, "{}", whole.text());
    Ok(())
}

#[tokio::test]
async fn s10_a_provider_that_moves_takes_no_key_along() -> Outcome {
    let provider = Provider::start()?;
    let elsewhere = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider, &mut Secrets::default())?)?;
    let mut operator =
        operator(gateway.keyway.folder(), gateway.keyway.admin_url(), gateway.keyway.admin_token()?);
    let moved = json!({ "dialect": "openai-chat", "base_url": elsewhere.base_url() }).to_string();
    let answer = operator.call("PUT", "/api/v1/providers/one", &moved).await?;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("secret_integrity"), "{}", answer.text());
    assert_eq!(gateway.ask(CHAT, &chat("one/m")).await?.status, 200);
    assert_eq!((provider.requests(), elsewhere.requests()), (1, 0));
    Ok(())
}

// === S11 ===

#[tokio::test]
async fn s11_a_secret_in_a_plain_field_is_refused_by_its_path_and_not_repeated() -> Outcome {
    let provider = Provider::start()?;
    let mut secrets = Secrets::default();
    let gateway = Gateway::start(&yaml(&provider, &mut secrets)?)?;
    let mut operator =
        operator(gateway.keyway.folder(), gateway.keyway.admin_url(), gateway.keyway.admin_token()?);
    let key = secrets.key("pasted")?;
    for (path, body, field) in [
        (
            "/api/v1/models/a",
            json!({ "targets": [{ "provider": "one", "model": key }] }),
            "models.a.targets[0].model",
        ),
        ("/api/v1/providers/one", json!({ "headers": { "x": key } }), "providers.one.headers.x"),
        (
            "/api/v1/providers/one",
            json!({ "base_url": format!("https://a.example/{key}") }),
            "providers.one.base_url",
        ),
    ] {
        let answer = operator.call("PUT", path, &body.to_string()).await?;
        let error = answer.json().get("error").cloned().unwrap_or_default();
        let said =
            |name: &str| error.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        assert_eq!((answer.status, said("code").as_str()), (422, "secret_in_plain_field"), "{error}");
        assert_eq!(said("field"), field, "{error}");
        assert!(!answer.text().contains(&key), "it is repeated");
    }
    Ok(())
}

// === S12 ===

/// How keys of real providers begin, and how many characters follow at least.
const REAL: &[(&str, usize)] = &[
    ("sk-ant-api03-", 60),
    ("sk-proj-", 40),
    ("sk-or-v1-", 60),
    ("AIza", 35),
    ("gsk_", 50),
    ("xai-", 60),
    ("AKIA", 16),
    ("ghp_", 36),
    ("github_pat_", 60),
    ("glpat-", 20),
    ("hf_", 34),
    ("r8_", 37),
    ("nvapi-", 60),
    ("pplx-", 45),
    ("xoxb-", 40),
];
/// What looks real and is made up: AWS's own example, and a text of the test that tells keys from names.
const MADE_UP: [&str; 3] = [
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "sk-proj-0123456789abcdefghij0123456789abcdefghij",
];
/// Different characters of a key that was not typed by hand.
const DIFFERENT: usize = 12;

/// What of a line looks like a key that opens something.
fn real_keys(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|char: char| !char.is_ascii_alphanumeric() && char != '-' && char != '_');
    words.filter(|word| {
        let fits = |(prefix, least): &(&str, usize)| {
            let rest = word.strip_prefix(prefix)?;
            let different: BTreeSet<char> = rest.chars().collect();
            // The name of a function has no digits.
            let digits = rest.bytes().any(|byte| byte.is_ascii_digit());
            (rest.len() >= *least && different.len() >= DIFFERENT && digits).then_some(())
        };
        REAL.iter().any(|form| fits(form).is_some())
    })
}

#[test]
fn s12_no_file_of_the_repository_holds_a_key() -> Outcome {
    let planted = format!("let key = \"{}{}\";", "hf_", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0fG3hJ6");
    assert_eq!(real_keys(&planted).count(), 1, "the search finds nothing");
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output()?;
    assert!(listed.status.success(), "{}", listed.stderr.escape_ascii());
    let names = std::str::from_utf8(&listed.stdout)?.split('\0').filter(|name| !name.is_empty());
    let (mut files, mut found) = (0, Vec::new());
    for name in names {
        // A file that was deleted and not committed, or no text.
        let Ok(text) = fs::read_to_string(root().join(name)) else { continue };
        files += 1;
        for (number, line) in text.lines().enumerate() {
            let real = real_keys(line).filter(|word| !MADE_UP.contains(word)).count();
            found.extend((real > 0).then(|| format!("{name}:{}", number + 1)));
        }
    }
    assert!(files > 100, "only {files} files were read");
    assert!(found.is_empty(), "what looks like a key stands in {found:#?}");
    Ok(())
}

/// What begins as a key in the bytes of a program. `grep` reads them: they are some hundred megabytes.
fn begins_as_a_key(program: &Path) -> Outcome<String> {
    let prefixes: Vec<&str> = REAL.iter().map(|(prefix, _)| *prefix).collect();
    let form = format!("(^|[^A-Za-z0-9_-])({})[A-Za-z0-9_-]+", prefixes.join("|"));
    let found = Command::new("grep").env("LC_ALL", "C").args(["-aoE", &form]).arg(program).output()?;
    // 1 says that there is none.
    assert!(matches!(found.status.code(), Some(0 | 1)), "{}", found.stderr.escape_ascii());
    Ok(String::from_utf8(found.stdout)?)
}

#[test]
fn s12_no_program_holds_a_key() -> Outcome {
    let mut found = Vec::new();
    for name in ["keyway", "keyway-controlplane", "keyway-dataplane"] {
        let words = begins_as_a_key(&binary(name)?)?;
        let real = real_keys(&words).filter(|word| !MADE_UP.contains(word));
        found.extend(real.map(|word| format!("{name}: {word:.8}…")));
    }
    assert!(found.is_empty(), "what looks like a key stands in {found:#?}");
    Ok(())
}
