//! What tests ask replicas and the admin API of a fleet of processes.

use std::process::Command;
use std::time::{Duration, Instant};

use keyway_testkit::caller::{Answer, Caller, post};
use keyway_testkit::process::{Planes, Process, Replica, binary};
use keyway_testkit::provider::Provider;
use serde_json::Value;

use crate::admin::Admin;
use crate::expect::openai_reason;
use crate::gateway::{CHAT, MAIN_KEY, Outcome, TOKEN, chat};

/// How long anything that must come by itself may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// A keyway.yaml in which `sim` with its key `main` is this simulator, `tester` may use it and the sandbox, and `more` follows.
pub fn yaml(provider: &Provider, more: &str) -> String {
    format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{}\", keys: [{{ name: main, secret: {MAIN_KEY} }}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\", \"sandbox/*\"] }}\n{more}",
        provider.base_url()
    )
}

/// The text at that JSON pointer; empty where there is none.
pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// One chat request with the tester's token on a connection of its own.
pub async fn ask(replica: &Replica, model: &str) -> Outcome<Answer> {
    let request = post(CHAT, TOKEN, "", chat(model).as_bytes());
    Ok(Caller::connect(replica.address()?).await?.ask(&request).await?)
}

/// Status and body of `/readyz`.
pub fn readyz(replica: &Replica) -> Outcome<(u16, Value)> {
    let (status, body) = replica.ops("/readyz")?;
    Ok((status, serde_json::from_str(&body)?))
}

/// Asks again and again until there is a value; past `within` it fails with the last error.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut found: impl FnMut() -> Outcome<Option<T>>,
) -> Outcome<T> {
    let end = Instant::now() + within;
    loop {
        let last = match found() {
            Ok(Some(value)) => return Ok(value),
            other => other.err(),
        };
        if Instant::now() >= end {
            return Err(format!("not within {within:?}: {what}: {last:?}").into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A simulated replica, `sim~0`: a program of its own that serves nobody. It reads states of the first schema, takes changes, and
/// announces no more.
pub fn simulated(planes: &Planes, more: &[&str]) -> Outcome<Process> {
    let token = planes.folder().join("herd.join");
    planes.join_token(&token, &[])?;
    let mut herd = Command::new(binary("keyway-herd")?);
    herd.args(["--replicas", "1", "--fleet", planes.fleet_addr(), "--token-file"]).arg(token).args(more);
    Ok(Process::start("keyway-herd", &mut herd)?)
}

/// The operator with the first token.
pub fn admin(planes: &Planes) -> Outcome<Admin> {
    Admin::new(planes.admin_url(), &planes.admin_token()?)
}

/// Waits until every replica serves what is in force and, where it keeps a state, has it on disk; gives the version.
pub async fn settled(admin: &Admin, replicas: usize) -> Outcome<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        // Anew each time: a control plane that has just begun may still have something to write.
        let status = admin.get("/status").await?;
        let version = text(&status, "/version").to_owned();
        let fleet = admin.get("/fleet").await?;
        let done = |one: &Value| text(one, "/snapshot") == version && text(one, "/kept") == version;
        if fleet.as_array().is_some_and(|all| all.len() == replicas && all.iter().all(done)) {
            return Ok(version);
        }
        if Instant::now() >= end {
            return Err(format!("not within {PATIENCE:?}: {version} on {replicas}: {fleet}").into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asserts that it is alive, not ready, serves nothing, and that what lies on its disk is not used for a reason that holds
/// `why`.
pub async fn waits(replica: &Replica, why: &str) -> Outcome {
    let (status, ready) = readyz(replica)?;
    assert_eq!(status, 503, "{ready}");
    assert!(text(&ready, "/reason").contains("waiting for the control plane"), "{ready}");
    assert!(text(&ready, "/last_good_error").contains(why), "{ready}");
    assert_eq!(text(&ready, "/config_source"), "none", "{ready}");
    let answer = ask(replica, "sim/m").await?;
    openai_reason(&answer, 503, "overloaded", "not_configured");
    assert_eq!(replica.ops("/healthz")?.0, 200);
    Ok(())
}
