//! Keys and their histories as tables.

use serde_json::Value;

use super::figures;
use super::view::View;
use crate::args::Output;
use crate::print::{self, Table, cell, moment};

/// Every version of every key.
pub(super) fn list(keys: &Value) -> Table {
    let headings = &["KEY", "WEIGHT", "VERSION", "STATE", "SECRET", "IN USE", "LAST USE", "SOURCE"];
    let mut table = Table::new(headings, "no keys; give a provider one with `keyway key add PROVIDER/KEY`");
    for key in print::list(keys) {
        let name = format!("{}/{}", cell(key, "provider"), cell(key, "name"));
        let source = key.get("source").map_or_else(|| "-".to_owned(), |source| cell(source, "from"));
        for version in versions(key) {
            let (name, weight) = (name.clone(), cell(key, "weight"));
            let used = used(key, version);
            table.row([
                name,
                weight,
                cell(version, "version"),
                cell(version, "state"),
                cell(version, "secret"),
                cell(used, "in_flight"),
                moment(number(used, "last_use")),
                source.clone(),
            ]);
        }
    }
    table
}

/// One key with all its versions, and the newest change of them.
pub(super) fn one(output: Output, key: &Value) {
    if output == Output::Json {
        return print::json(key);
    }
    let headings = &["VERSION", "STATE", "SINCE", "PROOF", "SECRET", "IN USE", "REFUSED"];
    let mut table = Table::new(headings, "it has no version");
    for version in versions(key) {
        let used = used(key, version);
        table.row([
            cell(version, "version"),
            cell(version, "state"),
            moment(number(version, "since")),
            cell(version, "proof"),
            cell(version, "secret"),
            cell(used, "in_flight"),
            cell(used, "refused"),
        ]);
    }
    print::line(&format!(
        "{}/{}, weight {}, quota domain {}\n",
        cell(key, "provider"),
        cell(key, "name"),
        cell(key, "weight"),
        cell(key, "quota")
    ));
    print::line(&table.fitted());
    origins(key);
    if let Some(limits) = key.get("limits").and_then(print::limits) {
        print::line("");
        print::line(&limits.fitted());
    }
    source(key);
    newest_change(key);
}

/// Where its next secret comes from, when, and what the last try came to.
fn source(key: &Value) {
    let Some(source) = key.get("source") else { return };
    let due = match number(source, "due") {
        0 => "whenever it has a new one".to_owned(),
        due => format!("next due {}", moment(due)),
    };
    print::line(&format!("\nits next secret comes from: {}; {due}", cell(source, "from")));
    let Some(last) = source.get("last").filter(|last| !last.is_null()) else { return };
    let words = last.get("words").and_then(Value::as_str).unwrap_or_default();
    let line = format!("last outcome: {} at {}", cell(last, "outcome"), moment(number(last, "at")));
    print::line(&if words.is_empty() { line } else { format!("{line}: {words}") });
    if number(source, "failures") > 0 {
        print::line(&format!("tried again after {}", moment(number(source, "not_before"))));
    }
}

/// Where the newest version may go.
fn origins(key: &Value) {
    if let Some(newest) = versions(key).last() {
        print::line(&format!("\nversion {} may go to: {}", cell(newest, "version"), cell(newest, "origins")));
    }
}

fn newest_change(key: &Value) {
    let Some(rollout) = key.get("rollout").filter(|rollout| !rollout.is_null()) else { return };
    // What cannot be read is in the JSON all the same.
    if let Ok(view) = View::read(rollout) {
        print::line("\nnewest change");
        print::line(&figures::table(&view).fitted());
    }
}

/// What happened, and what each replica did with each version.
pub(super) fn history(output: Output, history: &Value) {
    if output == Output::Json {
        return print::json(history);
    }
    let mut events =
        Table::new(&["TIME", "WHO", "WHAT", "TRACE"], "nothing happened to it since it was made");
    for event in history.get("events").map(print::list).into_iter().flatten() {
        events.row([
            moment(number(event, "at")),
            cell(event, "actor"),
            cell(event, "action"),
            cell(event, "trace"),
        ]);
    }
    print::line(&events.fitted());
    print::line("");
    print::line(&replicas(history).fitted());
    newest_change(history);
}

/// A row for each version that a replica knows of; one for a replica that knows of none.
fn replicas(history: &Value) -> Table {
    let headings = &[
        "REPLICA", "SNAPSHOT", "KEPT", "VERSION", "STATE", "IN USE", "STARTED", "STANDBY", "REFUSED",
        "LAST USE",
    ];
    let mut table = Table::new(headings, "no replicas");
    for replica in history.get("replicas").map(print::list).into_iter().flatten() {
        let known = || ["replica", "snapshot", "kept"].map(|name| cell(replica, name));
        let used: Vec<_> = replica.get("versions").and_then(Value::as_object).into_iter().flatten().collect();
        if used.is_empty() {
            table.row(known().into_iter().chain(std::iter::repeat_n("-".to_owned(), 7)));
        }
        for (version, used) in used {
            let counts = ["in_flight", "started", "standby", "refused"].map(|name| cell(used, name));
            let state = state(history, version);
            let row = known().into_iter().chain([version.clone(), state]).chain(counts);
            table.row(row.chain([moment(number(used, "last_use"))]));
        }
    }
    table
}

fn state(history: &Value, number: &str) -> String {
    versions(history)
        .find(|version| cell(version, "version") == number)
        .map_or_else(|| "-".into(), |version| cell(version, "state"))
}

fn versions(key: &Value) -> impl Iterator<Item = &Value> {
    key.get("versions").map(print::list).into_iter().flatten()
}

/// How one version is used; `null` where no replica said.
fn used<'a>(key: &'a Value, version: &Value) -> &'a Value {
    key.get("use").and_then(|used| used.get(cell(version, "version"))).unwrap_or(&Value::Null)
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}
