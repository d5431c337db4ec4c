use super::*;
use crate::{
    meter::{Counted, Outcome},
    observe::{Core, Faults, Gauges},
    sync::Held,
};
use http::StatusCode;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const DOCS: &str = include_str!("../../../../../docs/metrics.md");
/// Of `keyway up --replicas N`, which answers for several data planes.
const OF_SEVERAL: &str = "keyway_replica_up";

fn ops() -> Ops {
    Ops {
        id: "r".to_owned(),
        held: Arc::new(Held::default()),
        gauges: Arc::new(Gauges::new(vec![Arc::new(Core::default())], tokio::time::Instant::now())),
        faults: vec![Arc::new(Faults::default()), Arc::new(Faults::default())],
        totals: Arc::default(),
        usage: Arc::default(),
        budget: Arc::default(),
        spans: None,
        link: Arc::default(),
        badge: Arc::default(),
        draining: tokio::sync::watch::channel(false).1,
        epoch: std::time::Instant::now(),
    }
}

#[test]
fn the_page_names_what_the_code_emits_with_the_same_types() {
    let text = text(&ops());
    let emitted: BTreeSet<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .chain([(OF_SEVERAL, "gauge")])
        .collect();
    // The other plane's stand behind that.
    let (page, _) = DOCS.split_once("# Metrics of a control plane").unwrap();
    let documented: BTreeSet<(&str, &str)> = page
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some((name, rest.split(" | ").next()?))
        })
        .collect();
    assert_eq!(emitted, documented);
}

#[test]
fn cores_are_added_up() {
    let ops = ops();
    for core in &ops.faults {
        core.ended(StatusCode::OK, Outcome::Served, Duration::from_millis(7));
        core.ended(StatusCode::OK, Outcome::Broken("upstream_cut"), Duration::from_millis(2));
        core.first_token(Duration::from_millis(90));
        core.tries.ended(None);
        core.tries.ended(Some("upstream_status"));
        core.tries.again();
    }
    let label = "provider/\"odd\"\\name\n";
    let sum = Counted { requests: 1, estimated: 1, nano_dollars: 5, ..Counted::default() };
    ops.totals.lock().add_to("client", &Arc::from("sim/main/1"), label, &sum);
    let text = text(&ops);
    for line in [
        "keyway_requests_total{outcome=\"2xx\"} 2",
        "keyway_requests_total{outcome=\"broken\"} 2",
        "keyway_request_duration_seconds_bucket{le=\"0.005\"} 2",
        "keyway_request_duration_seconds_bucket{le=\"0.010\"} 4",
        "keyway_request_duration_seconds_bucket{le=\"+Inf\"} 4",
        "keyway_request_duration_seconds_sum 0.018000",
        "keyway_request_duration_seconds_count 4",
        "keyway_first_token_seconds_count 2",
        "keyway_attempts_total{outcome=\"answered\"} 2",
        "keyway_attempts_total{outcome=\"upstream_status\"} 2",
        "keyway_retries_total 2",
        "keyway_cost_nanodollars_total{target=\"provider/\\\"odd\\\"\\\\name\\n\"} 5",
        "keyway_unmetered_requests_total{target=\"provider/\\\"odd\\\"\\\\name\\n\"} 1",
    ] {
        assert!(text.lines().any(|emitted| emitted == line), "{line} is not in\n{text}");
    }
}
