//! A control plane that has lost its root key, by itself and as part of `keyway up`: S9 of the list of faults.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, admin, ask, settled, text, yaml};
use keyway_e2e::gateway::{CHAT, Outcome, TOKEN, chat};
use keyway_e2e::traffic::Traffic;
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{Planes, Port, Process, binary};
use keyway_testkit::provider::Provider;
use reqwest::Method;
use serde_json::json;

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
    let mut planes = Planes::start(&yaml(&provider, ""), 2)?;
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
    fs::write(folder.path().join("keyway.yaml"), yaml(&provider, ""))?;
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
