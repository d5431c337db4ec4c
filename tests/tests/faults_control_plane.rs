//! A control plane that is away for a while, whose clock jumps, that two operators change at once, or that has lost its
//! root key: P1, P15, P19 and S9 of the list of faults.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, admin, ask, readyz, settled, until};
use keyway_e2e::gateway::{CHAT, MAIN_KEY, Outcome, TOKEN, chat};
use keyway_e2e::traffic::Traffic;
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{Planes, Port, Process, binary};
use keyway_testkit::provider::Provider;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};

/// How long the control plane is away.
const AWAY: Duration = Duration::from_secs(4);
/// Tries of one replica in that time: the pause doubles from 100 ms, so that ten are usual.
const TRIES: usize = 25;
const REPLICAS: usize = 3;

fn yaml(provider: &Provider) -> String {
    format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{}\", keys: [{{ name: main, secret: {MAIN_KEY} }}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\"] }}\n",
        provider.base_url()
    )
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// How much the load serves in a second.
async fn rate(traffic: &Traffic) -> Outcome<f64> {
    const SAMPLE: u64 = 1000;
    let began = Instant::now();
    traffic.more(SAMPLE).await?;
    let count: f64 = 1000.0;
    Ok(count / began.elapsed().as_secs_f64())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_without_a_control_plane_replicas_serve_on_and_come_back_one_by_one() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider), REPLICAS)?;
    settled(&admin(&planes)?, REPLICAS).await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::ZERO)?;
    let with = rate(&traffic).await?;
    planes.control.kill()?;
    let killed = Instant::now();

    // Whoever tries to come back is counted here and sent away.
    let door = tokio::net::TcpListener::bind(planes.fleet_addr()).await?;
    let tries = Mutex::new(Vec::new());
    let counting = async {
        loop {
            let accepted = door.accept().await;
            tries.lock().push(killed.elapsed());
            drop(accepted);
        }
    };
    let without = async {
        let without = rate(&traffic).await?;
        let aged = || {
            let ages = planes.replicas.iter().map(|replica| {
                let (status, ready) = readyz(replica)?;
                assert_eq!(status, 200, "{ready}");
                Ok(ready["config_age_seconds"].as_u64().unwrap_or_default())
            });
            let least = ages.collect::<Outcome<Vec<_>>>()?.into_iter().min();
            Ok(least.filter(|age| *age >= AWAY.as_secs()))
        };
        until("the age of the configuration grows", PATIENCE, aged).await?;
        Outcome::Ok(without)
    };
    let without = tokio::select! {
        without = without => without?,
        () = counting => return Err("the door ended".into()),
    };
    drop(door);
    let tries = tries.into_inner();
    let late = tries.iter().filter(|at| **at > AWAY / 2).count();
    println!(
        "{with:.0} requests a second with, {without:.0} without; {} tries of {REPLICAS} replicas to come back in {:?}, {late} in its \
         second half",
        tries.len(),
        killed.elapsed()
    );
    assert!(!tries.is_empty() && tries.len() <= REPLICAS * TRIES, "{tries:?}");
    assert!(late <= tries.len() / 2, "the pauses do not grow: {tries:?}");
    // Far from full rate would be less than half; the machine may be busy with other things.
    assert!(without > with / 2.0, "{with} a second before, {without} without");

    let began = Instant::now();
    planes.start_control()?;
    settled(&admin(&planes)?, REPLICAS).await?;
    println!("all back {:?} after its start", began.elapsed());
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}

/// libfaketime, which sets a program's clock; nothing where it is not installed.
fn faketime() -> Option<PathBuf> {
    let folders =
        ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime"];
    folders.iter().map(|folder| Path::new(folder).join("libfaketimeMT.so.1")).find(|path| path.exists())
}

/// Rotates and waits for the end, which no jump may put off.
async fn rotated(admin: &Admin, secret: &str, amid: impl Future<Output = Outcome>) -> Outcome<Duration> {
    let began = Instant::now();
    admin.post("/keys/sim/main/rotate", json!({ "secret": secret, "overlap": "1s" })).await?;
    amid.await?;
    let retired = |view: &Value| (view["outcome"] == "retired").then(|| view.clone());
    let view = admin.until(PATIENCE, "/keys/sim/main/rollout", retired).await?;
    assert_eq!(view["failed"], 0, "{view}");
    Ok(began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_a_clock_that_jumps_ends_nothing() -> Outcome {
    let Some(library) = faketime() else {
        println!("NOT TESTED: jumps of the clock need libfaketime (Debian: faketime)");
        return Ok(());
    };
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider), 2)?;
    planes.configure(None)?;
    planes.control.stop()?;
    let clock = planes.folder().join("clock");
    fs::write(&clock, "+0\n")?;
    planes.control_env = vec![
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE".to_owned(), clock.display().to_string()),
        ("FAKETIME_NO_CACHE".to_owned(), "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
    ];
    planes.start_control()?;
    let admin = admin(&planes)?;
    settled(&admin, 2).await?;
    let made = json!({ "name": "ann", "scopes": ["admin"], "expires": "1d" });
    let ann = admin.post("/operators", made).await?;
    let ann = admin.with_token(text(&ann, "/token"));
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    for (number, (jump, ahead)) in [("+1h", -3600), ("-1h", 3600), ("+0", 0)].into_iter().enumerate() {
        let secret = format!("sk-sim-clock-0123456789abcdef-{number}");
        let jumping = async {
            fs::write(&clock, format!("{jump}\n"))?;
            // Replicas say what their clocks are, so that the jump is seen to have happened.
            let seen = |fleet: &Value| {
                let all = fleet.as_array()?;
                let off = |one: &Value| {
                    one["clock_ahead_ms"].as_i64().is_some_and(|ms| (ms / 1000 - ahead).abs() < 60)
                };
                all.iter().all(off).then_some(())
            };
            ann.until(PATIENCE, "/fleet", seen).await
        };
        let took = rotated(&ann, &secret, jumping).await.map_err(|error| format!("{jump}: {error}"))?;
        println!("clock {jump}: a rotation with an overlap of 1 s took {took:?}");
        let fleet = ann.get("/fleet").await?;
        let all = fleet.as_array().cloned().unwrap_or_default();
        assert!(all.len() == 2 && all.iter().all(|one| one["state"] == "ready"), "{jump}: {fleet}");
        ann.post("/clients", json!({ "name": format!("client-{number}") })).await?;
        settled(&ann, 2).await?;
        ann.post("/audit/verify", json!({})).await?;
        traffic.more(50).await?;
    }
    let status = admin.get("/status").await?;
    assert!(status["uptime_seconds"].as_u64().is_none_or(|seconds| seconds < 600), "{status}");
    assert!(!planes.control.stderr().contains("panicked"), "{}", planes.control.stderr());
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p19_of_two_operators_at_once_the_second_is_told() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::start(&yaml(&provider), 0)?;
    let admin = admin(&planes)?;
    let mut both = Vec::new();
    for name in ["ann", "bob"] {
        let made = admin.post("/operators", json!({ "name": name, "scopes": ["admin"] })).await?;
        both.push(admin.with_token(text(&made, "/token")));
    }
    let [ann, bob] = both.as_slice() else { return Err("two operators".into()) };
    let read = ann.get("/clients/tester").await?;
    let version = read["version"].as_u64().ok_or("no version")?;
    let path = "/clients/tester";
    let models = |model: &str| json!({ "models": [model] });
    ann.call_if(Method::PATCH, path, Some(&models("sim/a")), Some(version)).await?.good()?;
    let late = bob.call_if(Method::PATCH, path, Some(&models("sim/b")), Some(version)).await?;
    assert_eq!((late.status, late.code()), (409, "version_conflict"), "{}", late.json);
    assert!(late.json.to_string().contains(&(version + 1).to_string()), "{}", late.json);
    assert_eq!(admin.get(path).await?["models"], json!(["sim/a"]), "no lost update");
    bob.call_if(Method::PATCH, path, Some(&models("sim/b")), Some(version + 1)).await?.good()?;

    let audit = admin.get("/audit?subject=client/tester&limit=100").await?;
    let records = audit["records"].as_array().cloned().unwrap_or_default();
    let actors: Vec<&str> = records.iter().filter_map(|record| record["actor"].as_str()).collect();
    println!("audit of client/tester: {actors:?}");
    assert!(actors.ends_with(&["operator/ann", "operator/bob"]), "{audit}");
    Ok(())
}

/// Every file below, with its bytes.
fn files(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(())
}

/// Journal, vault and whatever lies beside them. The index is sled's own, which writes when it is opened.
fn data(home: &Path) -> Outcome<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for folder in ["store/journal", "vault"] {
        files(&home.join(folder), &mut found)?;
    }
    for entry in fs::read_dir(home)? {
        found.insert(entry?.path(), Vec::new());
    }
    Ok(found)
}

/// Asserts that every path, known or not, is answered 503 `sealed` to whoever has the token, and 401 to nobody else.
async fn is_sealed(admin: &Admin) -> Outcome {
    let change = json!({ "name": "new" });
    let calls = [
        (Method::GET, "/status", None),
        (Method::GET, "/export", None),
        (Method::GET, "/backup", None),
        (Method::POST, "/clients", Some(&change)),
        (Method::POST, "/keys/sim/main/rotate", Some(&change)),
        (Method::DELETE, "/clients/tester", None),
        (Method::GET, "/no/such/path", None),
    ];
    for (method, path, body) in calls {
        let answer = admin.call(method.clone(), path, body).await?;
        assert_eq!((answer.status, answer.code()), (503, "sealed"), "{method} {path}: {}", answer.json);
        assert!(text(&answer.json, "/error/message").contains("root.key"), "{}", answer.json);
        for token in ["", "kw_wrong-0123456789abcdefghijklmnop"] {
            let answer = admin.with_token(token).call(method.clone(), path, body).await?;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.json);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_without_its_root_key_a_control_plane_is_sealed_and_replicas_serve_on() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider), 2)?;
    let admin = admin(&planes)?;
    settled(&admin, 2).await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    planes.control.stop()?;
    let (key, away) = (planes.data_dir().join("root.key"), planes.folder().join("root.key"));
    fs::rename(&key, &away)?;
    let before = data(planes.data_dir())?;
    planes.start_control()?;
    is_sealed(&admin).await?;
    assert!(planes.control.stdout().contains("sealed"), "{}", planes.control.stdout());
    // Replicas start again from their disks.
    let replica = planes.replicas.first_mut().ok_or("no replica")?;
    traffic.more(50).await?;
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    replica.process.kill()?;
    replica.start_again()?;
    assert_eq!(ask(replica, "sim/m").await?.status, 200);
    let stopped = planes.control.stop()?;
    assert_eq!(stopped.and_then(|status| status.code()), Some(0), "{}", planes.control.stderr());
    assert_eq!(before, data(planes.data_dir())?, "a sealed control plane wrote something");

    // Another key is no better than none, and is not taken for a new one.
    fs::write(&key, fs::read(&away)?.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>())?;
    fs::set_permissions(&key, fs::metadata(&away)?.permissions())?;
    planes.start_control()?;
    let answer = admin.call(Method::GET, "/status", None).await?;
    assert_eq!((answer.status, answer.code()), (503, "sealed"), "{}", answer.json);
    planes.control.stop()?;
    fs::rename(&away, &key)?;
    planes.start_control()?;
    settled(&admin, 2).await?;
    Ok(())
}

/// `keyway up` on these ports, in this home.
fn up(folder: &Path, ports: &[Port; 4], ready: &Path) -> Outcome<Process> {
    let mut command = Command::new(binary("keyway")?);
    command.env_clear().env("HOME", folder).env("NO_COLOR", "1").current_dir(folder);
    command.args(["up", "--config"]).arg(folder.join("keyway.yaml")).arg("--home").arg(folder.join("home"));
    let options = ["--listen", "--ops-listen", "--admin-listen", "--fleet-listen"];
    for (option, port) in options.iter().zip(ports) {
        command.args([*option, &port.address()]);
    }
    command.arg("--ready-file").arg(ready);
    Ok(Process::start("keyway up", &mut command)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_without_its_root_key_up_is_sealed_and_serves_what_it_kept() -> Outcome {
    let provider = Provider::start()?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("keyway.yaml"), yaml(&provider))?;
    let ports = [Port::take()?, Port::take()?, Port::take()?, Port::take()?];
    let [listen, ops, admin_port, _] = &ports;
    let address = listen.address().parse()?;
    let chat = || async move {
        let request = post(CHAT, TOKEN, "", chat("sim/m").as_bytes());
        Outcome::Ok(Caller::connect(address).await?.ask(&request).await?.status)
    };
    let ready = folder.path().join("ready.json");
    let mut process = up(folder.path(), &ports, &ready)?;
    process.until(PATIENCE, "wrote its ready file", |_| ready.exists().then_some(()))?;
    assert_eq!(chat().await?, 200);
    process.stop()?;
    let home = folder.path().join("home");
    fs::remove_file(home.join("root.key"))?;
    let before = data(&home)?;
    let mut process = up(folder.path(), &ports, &folder.path().join("never.json"))?;
    let said = |process: &Process| process.stderr().contains("the vault is sealed").then_some(());
    process.until(PATIENCE, "said that it is sealed", said)?;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match chat().await {
            Ok(status) => break status,
            Err(error) => assert!(Instant::now() < end, "{error}: {}", process.stderr()),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(status, 200, "{}", process.stderr());
    let token = fs::read_to_string(home.join("admin.token"))?;
    let admin = Admin::new(&format!("http://{}", admin_port.address()), token.trim())?;
    is_sealed(&admin).await?;
    println!("sealed up, ops on {}: {}", ops.address(), process.stderr().lines().next().unwrap_or_default());
    let ended = process.stop()?;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", process.stderr());
    assert_eq!(before.keys().collect::<Vec<_>>(), data(&home)?.keys().collect::<Vec<_>>());
    assert!(!home.join("root.key").exists() && !folder.path().join("never.json").exists());
    Ok(())
}
