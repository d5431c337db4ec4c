//! A rollout in figures for people. What was not measured is `-`.

use keyway_config::Span;

use super::view::{Step, View};
use crate::print::{Table, moment};

/// One figure a line.
pub(super) fn table(view: &View) -> Table {
    let mut table = Table::new(&[], "nothing");
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("key", view.key.clone());
    row("change", change(view));
    row("snapshot", view.snapshot.clone().unwrap_or_else(|| "-".into()));
    row("acknowledged", format!("{}/{} replicas", view.acknowledged, view.replicas));
    row(
        "last ACK",
        view.ack_micros
            .map_or_else(|| "-".into(), |micros| format!("{} ms after activation", millis(micros))),
    );
    let laggards = view.laggards();
    if !laggards.is_empty() {
        row("silent or refused", laggards.join("; "));
    }
    row("probe", probe(view));
    for stage in view.trial.iter().flat_map(|trial| &trial.stages) {
        row("stage", stage.line());
    }
    if let Some(why) = view.undone() {
        row("rolled back", why.to_owned());
    }
    row("total", format!("{} s", millis(view.total_ms)));
    // Counts live as long as the control plane does; the time of the last acknowledgement goes with them.
    let counted = |text: String| if view.ack_micros.is_some() { text } else { "-".into() };
    row("requests on old", counted(format!("{}, {} of them as standby", view.served_old, view.standby)));
    row("requests on new", counted(view.served_new.to_string()));
    row("failed by the change", counted(view.failed.to_string()));
    row("last use of old", last_use(view));
    row("old versions", old(view));
    table
}

fn change(view: &View) -> String {
    let version = view.version.map_or_else(String::new, |version| format!(" to version {version}"));
    format!("{}{version}: {}", view.verb, view.outcome)
}

fn probe(view: &View) -> String {
    let Some(probe) = &view.probe else { return "-".into() };
    let by = if probe.replica.is_empty() { String::new() } else { format!(", asked by {}", probe.replica) };
    match probe.status {
        0 => format!("{}{by}", probe.verdict),
        status => format!("{}, HTTP {status} in {} ms{by}", probe.verdict, probe.latency_ms),
    }
}

fn last_use(view: &View) -> String {
    match (view.last_use_old, view.ack_micros) {
        (0, None) => "-".into(),
        (0, Some(_)) => "none since the change".into(),
        (at, _) => moment(at),
    }
}

/// `1 retired`, or why not.
fn old(view: &View) -> String {
    if view.old.is_empty() {
        return "none".into();
    }
    let each: Vec<String> = view.old.iter().map(|old| format!("{} {}", old.version, old.state)).collect();
    let each = each.join(", ");
    if view.outcome != "running" {
        return each;
    }
    let why = match view.step {
        Step::Staged | Step::Verified => "the new version is not in use yet".to_owned(),
        Step::Trial => "the new version is tried on some replicas".to_owned(),
        Step::Active if view.overlap_ms == 0 => "standby until the next step".to_owned(),
        Step::Active => format!("standby, for {} at least", Span::from_millis(view.overlap_ms)),
        _ if view.unconfirmed.is_empty() => "about to be".to_owned(),
        _ => format!("{} in flight, unconfirmed by {}", view.in_flight_old, view.unconfirmed.join(", ")),
    };
    format!("{each}; NOT retired: {why}")
}

/// Thousandths as a decimal.
fn millis(thousandths: u64) -> String {
    format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
}
