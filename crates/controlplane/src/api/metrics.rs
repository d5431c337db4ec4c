//! What this control plane counts, in Prometheus' text format. Names, units and labels stand in docs/metrics.md; a test
//! compares the two. No label holds what an operator named.

use super::{
    answer::{Answer, Fault},
    call::Call,
};
use crate::{
    Plane,
    fleet::{Pushed, ReplicaState},
};
use axum::body::Body;
use std::{
    fmt::{Display, Write},
    time::Duration,
};

/// The format's media type.
pub(super) const TEXT: &str = "text/plain; version=0.0.4";

pub(super) async fn show(call: Call) -> Result<Answer, Fault> {
    Ok(Answer::stream(TEXT, Body::from(text(call.plane()))))
}

fn text(plane: &Plane) -> String {
    let mut out = String::with_capacity(4 * 1024);
    let uptime = seconds(plane.started().elapsed());
    one(&mut out, "keyway_control_uptime_seconds", "gauge", "Time since this control plane started.", uptime);
    let help = "1 while this control plane makes changes.";
    one(&mut out, "keyway_control_leads", "gauge", help, u8::from(plane.leads()));
    state(&mut out, plane);
    replicas(&mut out, plane);
    pushes(&mut out, &plane.fleet().pushed());
    out
}

fn state(out: &mut String, plane: &Plane) {
    let snapshot = plane.snapshot();
    let help = "Counter of the newest state for replicas.";
    one(out, "keyway_state_version", "gauge", help, snapshot.version.counter);
    let help = "Resources in the newest state.";
    one(out, "keyway_state_resources", "gauge", help, snapshot.resources().len());
    let help = "Bytes of the resources in the newest state.";
    one(out, "keyway_state_bytes", "gauge", help, snapshot.resources().bytes());
}

fn replicas(out: &mut String, plane: &Plane) {
    let all = plane.fleet().list();
    family(out, "keyway_replicas", "gauge", "Replicas that are known, by state.");
    for state in ReplicaState::ALL {
        let count = all.iter().filter(|replica| replica.state == state).count();
        let _ = writeln!(out, "keyway_replicas{{state=\"{}\"}} {count}", state.word());
    }
}

fn pushes(out: &mut String, pushed: &Pushed) {
    let kinds = [("whole", pushed.whole), ("change", pushed.changes)];
    let help = "States that were begun on a replica's stream, as everything or as what changed.";
    family(out, "keyway_pushes_total", "counter", help);
    for (kind, (states, _)) in kinds {
        let _ = writeln!(out, "keyway_pushes_total{{kind=\"{kind}\"}} {states}");
    }
    family(out, "keyway_push_bytes_total", "counter", "Bytes of resources in them.");
    for (kind, (_, bytes)) in kinds {
        let _ = writeln!(out, "keyway_push_bytes_total{{kind=\"{kind}\"}} {bytes}");
    }
    let help = "Changes that did not fit what a replica held: the whole followed.";
    one(out, "keyway_pushes_resent_total", "counter", help, pushed.resent);
    let help = "States that a replica refused.";
    one(out, "keyway_pushes_refused_total", "counter", help, pushed.refused);
    let help = "States that were made of a change of documents.";
    one(out, "keyway_state_builds_total", "counter", help, pushed.built);
    let (all, last) = pushed.build;
    let help = "Time that making them took: compiling, checking, signing.";
    one(out, "keyway_state_build_seconds_total", "counter", help, seconds(all));
    let help = "The same of the last one.";
    one(out, "keyway_state_build_seconds", "gauge", help, seconds(last));
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn one(out: &mut String, name: &str, kind: &str, help: &str, value: impl Display) {
    family(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

/// Exact to the microsecond.
fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::Memory, vault::Vault};
    use std::{collections::BTreeSet, sync::Arc};

    const DOCS: &str = include_str!("../../../../docs/metrics.md");

    #[tokio::test]
    async fn the_page_names_what_the_code_emits_with_the_same_types() {
        let plane = Plane::open(Arc::new(Memory::default()), Vault::ephemeral().unwrap()).await.unwrap();
        let text = text(&plane);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let (_, page) = DOCS.split_once("# Metrics of a control plane").unwrap();
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let documented: BTreeSet<_> =
            rows.filter_map(|(name, rest)| Some((name, rest.split(" | ").next()?))).collect();
        assert_eq!(types.collect::<BTreeSet<_>>(), documented);
        assert!(text.contains("\nkeyway_state_resources 2\n"), "settings and the sandbox: {text}");
    }
}
