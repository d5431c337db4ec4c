//! `keyway fleet hosts|scale|upgrade`: hosts whose replicas a supervisor runs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::args::Output;
use crate::command::client::done;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

/// Between two looks at an upgrade.
const LOOK: Duration = Duration::from_millis(500);
/// A supervisor says what it does within a second of an order.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn scale(server: &Server, output: Output, host: &str, replicas: u32) -> Result<(), Failure> {
    let answer = server.post(&format!("{}/scale", path(host)), &json!({ "replicas": replicas })).await?;
    let note = match text(&answer, "state") {
        "connected" => format!("Host {} runs {replicas} replica(s) from now on.", text(&answer, "name")),
        state => format!(
            "Host {} is {state}; it runs {replicas} replica(s) as soon as its supervisor is back.",
            text(&answer, "name")
        ),
    };
    done(output, &answer, &note);
    Ok(())
}

/// Follows it until no replica is of the old program any more, or it stopped.
pub(super) async fn upgrade(
    server: &Server,
    output: Output,
    host: &str,
    timeout: u64,
) -> Result<(), Failure> {
    let before = processes(&server.get(&path(host)).await?);
    let answer = server.post(&format!("{}/upgrade", path(host)), &json!({})).await?;
    let name = text(&answer, "name").to_owned();
    if timeout == 0 {
        done(output, &answer, &format!("Host {name} is being upgraded."));
        return Ok(());
    }
    let (answer, is_new) = follow(server, answer, &before, Duration::from_secs(timeout)).await?;
    let note = if is_new {
        format!("Every replica of {name} runs the program that is on its disk.")
    } else {
        format!("The program on the disk of {name} is the one that runs; nothing to do.")
    };
    done(output, &answer, &note);
    Ok(())
}

/// Gives how the host is at the end, and whether every replica is another than before.
async fn follow(
    server: &Server,
    mut host: Value,
    before: &BTreeSet<u64>,
    within: Duration,
) -> Result<(Value, bool), Failure> {
    let name = text(&host, "name").to_owned();
    let began = Instant::now();
    let mut was_seen = false;
    loop {
        let is_new = processes(&host).is_disjoint(before);
        was_seen |= is(&host, "upgrading");
        // What it says at first may be of before the order.
        if !is(&host, "upgrading") && (is_new || was_seen || began.elapsed() > HEARD_WITHIN) {
            return match text(&host, "fault") {
                "" => Ok((host, is_new)),
                fault => Err(Failure::Other(format!(
                    "the upgrade of {name} stopped: {fault}; what ran before still runs"
                ))),
            };
        }
        if began.elapsed() > within {
            return Err(Failure::TimedOut(format!("host {name} is still being upgraded; it goes on")));
        }
        sleep(LOOK).await;
        host = server.get(&path(&name)).await?;
    }
}

/// Of replicas that serve.
fn processes(host: &Value) -> BTreeSet<u64> {
    let replicas = host.get("replicas").map(print::list).into_iter().flatten();
    let serves = |one: &&Value| text(one, "state") != "draining";
    replicas.filter(serves).filter_map(|one| one.get("pid")?.as_u64()).collect()
}

pub(super) fn table(hosts: &Value) -> Table {
    let headings = &["NAME", "HOST", "STATE", "WANTED", "READY", "RESTARTS", "VERSION", "NOTE"];
    let mut table = Table::new(headings, "no supervisor is connected");
    for host in print::list(hosts) {
        let replicas = host.get("replicas").map(print::list).into_iter().flatten();
        let restarts: u64 = replicas.filter_map(|one| one.get("restarts")?.as_u64()).sum();
        let wanted = if host.get("wanted").is_some_and(Value::is_u64) { "wanted" } else { "keeps" };
        table.row([
            cell(host, "name"),
            cell(host, "host"),
            cell(host, "state"),
            cell(host, wanted),
            cell(host, "ready"),
            restarts.to_string(),
            cell(host, "version"),
            note(host),
        ]);
    }
    table
}

fn is(host: &Value, field: &str) -> bool {
    host.get(field).and_then(Value::as_bool) == Some(true)
}

fn note(host: &Value) -> String {
    match text(host, "fault") {
        "" if is(host, "upgrading") => "being upgraded".to_owned(),
        "" if is(host, "newer_program") => "a newer program is on its disk".to_owned(),
        fault => fault.to_owned(),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn path(host: &str) -> String {
    format!("/hosts/{}", segment(host))
}
