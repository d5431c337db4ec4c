//! What the figures have in common: the configuration, callers, rotations, and looks at the admin API.

use super::Outcome;
use keyway_testkit::{
    caller::Caller,
    load::{Check, Load},
    process::{Planes, Ran},
    provider::Provider,
};
use serde_json::Value;
use std::{
    fmt::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

pub(super) const CHAT: &str = "/v1/chat/completions";
/// Of the client `tester`.
pub(super) const TOKEN: &str = "kw-bench-0123456789abcdefghijklmn";
const KEY: &str = "sim/main";
/// Of the provider `other`, which is the same simulator.
const OTHER: &str = "sk-sim-bench-other-0123456789abcdef";
/// Time between two looks while waiting.
const LOOK: Duration = Duration::from_millis(5);

/// A keyway.yaml in which `sim` with its key `main` is this simulator, and `tester` and so many others may use it. The tester may
/// use `other` too, which has a key of its own.
pub(super) fn yaml(provider: &Provider, others: usize) -> String {
    let base = provider.base_url();
    let mut yaml = format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{base}\", keys: [{{ name: main, secret: {} }}] }}\n\
         \x20 other: {{ dialect: openai-chat, base_url: \"{base}\", keys: [{{ name: main, secret: {OTHER} }}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\", \"other/*\"] }}\n",
        secret(0)
    );
    for number in 0..others {
        // A String takes whatever is written to it.
        let _ = writeln!(yaml, "  client-{number}: {{ token: {}, models: [\"sim/*\"] }}", token(number));
    }
    yaml
}

/// Of the client `client-NUMBER`.
pub(super) fn token(number: usize) -> String {
    format!("kw-bench-other-{number:06}-0123456789abcdef")
}

/// Of the key's version after so many rotations.
pub(super) fn secret(number: u32) -> String {
    format!("sk-sim-bench-{number:06}-0123456789abcdef")
}

/// A chat body.
pub(super) fn chat(stream: bool) -> String {
    format!(r#"{{"model":"sim/m","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

/// Callers of the same kind.
pub(super) fn load(
    to: SocketAddr,
    callers: usize,
    (token, stream): (&str, bool),
    pause: Duration,
    check: Check,
) -> Load {
    Load {
        to,
        callers,
        path: CHAT.to_owned(),
        token: token.to_owned(),
        body: chat(stream).into(),
        pause,
        check,
    }
}

/// `HOST:PORT` of `http://HOST:PORT`.
pub(super) fn address(url: &str) -> Outcome<SocketAddr> {
    Ok(url.trim_start_matches("http://").parse()?)
}

/// The arguments and the variable of one rotation to this secret.
pub(super) fn rotation(more: &[&'static str]) -> Vec<&'static str> {
    let mut args = vec!["key", "rotate", KEY, "--from-env", "NEW_KEY", "--overlap", "0s", "--output", "json"];
    args.extend(more);
    args
}

/// What the last line of a rotation's output says.
pub(super) fn said(ran: &Ran) -> Value {
    let last = ran.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok());
    serde_json::from_str(&ran.stdout).ok().or(last).unwrap_or(Value::Null)
}

/// Activation to last ACK of a rotation that ended well.
pub(super) fn last_ack(ran: &Ran) -> Outcome<Duration> {
    let micros = said(ran).get("ack_micros").and_then(Value::as_u64).filter(|_| ran.code == Some(0));
    micros.map(Duration::from_micros).ok_or_else(|| format!("a rotation did not end well: {ran:?}").into())
}

/// One GET of the admin API.
pub(super) fn get(runtime: &Runtime, url: &str, token: &str, path: &str) -> Outcome<Value> {
    Ok(serde_json::from_str(&text(runtime, url, token, path)?)?)
}

/// The same, as text.
pub(super) fn text(runtime: &Runtime, url: &str, token: &str, path: &str) -> Outcome<String> {
    let request = format!("GET /api/v1{path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    let to = address(url)?;
    let answer = runtime.block_on(async { Caller::connect(to).await?.ask(request.as_bytes()).await })?;
    if answer.status == 200 {
        Ok(answer.text().to_owned())
    } else {
        Err(format!("{path}: {}", answer.status).into())
    }
}

/// Waits until so many replicas serve what is in force and, where `kept`, have it on disk; gives when it was seen.
pub(super) fn in_sync(planes: &Planes, runtime: &Runtime, replicas: usize, kept: bool) -> Outcome<Instant> {
    let token = planes.admin_token()?;
    until(Duration::from_secs(120), "all replicas are in sync", || {
        let Ok(fleet) = get(runtime, planes.admin_url(), &token, "/fleet") else { return Ok(None) };
        let all = fleet.as_array().map(Vec::as_slice).unwrap_or_default();
        let text =
            |one: &Value, field: &str| one.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let serves = |one: &Value| {
            text(one, "state") == "ready" && (!kept || text(one, "kept") == text(one, "snapshot"))
        };
        Ok((all.len() == replicas && all.iter().all(serves)).then(Instant::now))
    })
}

/// Looks again and again until there is a value.
pub(super) fn until<T>(
    within: Duration,
    what: &str,
    mut found: impl FnMut() -> Outcome<Option<T>>,
) -> Outcome<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(value) = found()? {
            return Ok(value);
        }
        if Instant::now() > end {
            return Err(format!("not within {within:?}: {what}").into());
        }
        std::thread::sleep(LOOK);
    }
}

/// Resident memory of a process, now or at most so far, in bytes.
pub(super) fn memory(pid: u32, field: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    let kilobytes: u64 = line.split_whitespace().next().ok_or("no value")?.parse()?;
    Ok(kilobytes << 10)
}
