//! Prometheus text. Names, units and labels stand in docs/metrics.md; a test compares the two.

use super::Ops;
use crate::observe::{BOUNDS_MS, Endings};
use keyway_snapshot::{METERS, Meter};
use std::{collections::BTreeMap, fmt::Write};

#[derive(Default)]
struct ByModel {
    requests: u64,
    errors: u64,
    cancelled: u64,
    counts: [u64; METERS],
    nano_dollars: u64,
    unpriced: u64,
}

/// All metrics of this replica.
pub(super) fn text(ops: &Ops) -> String {
    let mut out = String::with_capacity(8 * 1024);
    gauges(&mut out, ops);
    endings(&mut out, ops);
    models(&mut out, ops);
    keys(&mut out, ops);
    out
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn one(out: &mut String, (name, kind, help): (&str, &str, &str), value: u64) {
    family(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

fn gauges(out: &mut String, ops: &Ops) {
    let (applied, refused, micros) = ops.gauges.states();
    let state = ops.held.pin();
    let version = state.as_ref().map(|state| state.snapshot.version.counter).unwrap_or_default();
    let connected = u64::from(ops.link.lock().connected);
    for (metric, value) in [
        (
            (
                "keyway_requests_in_flight",
                "gauge",
                "Requests that have begun and not ended, streams included.",
            ),
            ops.gauges.in_flight(),
        ),
        (("keyway_connections", "gauge", "Open connections from callers."), ops.gauges.connections()),
        (("keyway_snapshot_version", "gauge", "Counter of the snapshot that is served."), version),
        (("keyway_snapshots_applied_total", "counter", "Snapshots applied since the start."), applied),
        (("keyway_snapshots_refused_total", "counter", "Snapshots refused since the start."), refused),
        (
            (
                "keyway_snapshot_apply_microseconds",
                "gauge",
                "Time that the last snapshot took from its first chunk to the swap.",
            ),
            micros,
        ),
        (
            ("keyway_control_plane_connected", "gauge", "1 while the stream to the control plane is open."),
            connected,
        ),
    ] {
        one(out, metric, value);
    }
}

fn endings(out: &mut String, ops: &Ops) {
    let mut sum = Endings::default();
    ops.faults.iter().for_each(|core| core.add_to(&mut sum));
    family(out, "keyway_requests_total", "counter", "Requests that have ended, by how.");
    for (class, count) in ["2xx", "3xx", "4xx", "5xx"].iter().zip(sum.by_class) {
        let _ = writeln!(out, "keyway_requests_total{{outcome=\"{class}\"}} {count}");
    }
    let _ = writeln!(out, "keyway_requests_total{{outcome=\"broken\"}} {}", sum.broken);
    let _ = writeln!(out, "keyway_requests_total{{outcome=\"cancelled\"}} {}", sum.cancelled);
    family(
        out,
        "keyway_request_duration_seconds",
        "histogram",
        "From a request's first byte to its answer's last.",
    );
    let mut total = 0;
    for (at, count) in sum.buckets.iter().enumerate() {
        total += count;
        let bound =
            BOUNDS_MS.get(at).map_or("+Inf".to_owned(), |ms| format!("{}.{:03}", ms / 1000, ms % 1000));
        let _ = writeln!(out, "keyway_request_duration_seconds_bucket{{le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(
        out,
        "keyway_request_duration_seconds_sum {}.{:06}",
        sum.sum_micros / 1_000_000,
        sum.sum_micros % 1_000_000
    );
    let _ = writeln!(out, "keyway_request_duration_seconds_count {total}");
}

fn models(out: &mut String, ops: &Ops) {
    let mut by_model: BTreeMap<String, ByModel> = BTreeMap::new();
    for core in &ops.totals {
        for row in core.lock().rows() {
            let sum = by_model.entry(row.model.to_string()).or_default();
            sum.requests += row.requests;
            sum.errors += row.errors;
            sum.cancelled += row.cancelled;
            sum.nano_dollars = sum.nano_dollars.saturating_add(row.nano_dollars);
            sum.unpriced += row.unpriced;
            for (sum, count) in sum.counts.iter_mut().zip(row.counts) {
                *sum = sum.saturating_add(count);
            }
        }
    }
    family(
        out,
        "keyway_model_requests_total",
        "counter",
        "Requests that reached a target, by target and how they ended.",
    );
    for (model, sum) in &by_model {
        let label = label(model);
        let served = sum.requests.saturating_sub(sum.errors + sum.cancelled);
        for (outcome, count) in [("served", served), ("error", sum.errors), ("cancelled", sum.cancelled)] {
            let _ = writeln!(
                out,
                "keyway_model_requests_total{{target=\"{label}\",outcome=\"{outcome}\"}} {count}"
            );
        }
    }
    family(out, "keyway_tokens_total", "counter", "Tokens as providers told them, by target and kind.");
    for (model, sum) in &by_model {
        for (kind, meter) in KINDS {
            let count = sum.counts.get(meter as usize).copied().unwrap_or_default();
            if count > 0 {
                let _ = writeln!(
                    out,
                    "keyway_tokens_total{{target=\"{}\",kind=\"{kind}\"}} {count}",
                    label(model)
                );
            }
        }
    }
    family(
        out,
        "keyway_cost_nanodollars_total",
        "counter",
        "Cost of priced requests in nano-dollars (1e-9 USD), by target.",
    );
    for (model, sum) in &by_model {
        let _ = writeln!(
            out,
            "keyway_cost_nanodollars_total{{target=\"{}\"}} {}",
            label(model),
            sum.nano_dollars
        );
    }
    family(out, "keyway_unpriced_requests_total", "counter", "Requests whose cost is unknown, by target.");
    for (model, sum) in &by_model {
        let _ =
            writeln!(out, "keyway_unpriced_requests_total{{target=\"{}\"}} {}", label(model), sum.unpriced);
    }
}

const KINDS: [(&str, Meter); 7] = [
    ("input", Meter::Input),
    ("output", Meter::Output),
    ("cache_read", Meter::CacheRead),
    ("cache_write_5m", Meter::CacheWrite5m),
    ("cache_write_1h", Meter::CacheWrite1h),
    ("audio_input", Meter::AudioInput),
    ("audio_output", Meter::AudioOutput),
];

fn keys(out: &mut String, ops: &Ops) {
    let Some(state) = ops.held.pin() else { return };
    let now = u64::try_from(ops.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut keys: Vec<_> = state.keyring.all().collect();
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    family(out, "keyway_key_uses_total", "counter", "Attempts with a key version since the start.");
    for key in &keys {
        let _ = writeln!(out, "keyway_key_uses_total{{key=\"{}\"}} {}", label(&key.id), key.uses());
    }
    family(out, "keyway_key_in_flight", "gauge", "Attempts that hold a key version now.");
    for key in &keys {
        let _ = writeln!(out, "keyway_key_in_flight{{key=\"{}\"}} {}", label(&key.id), key.in_flight());
    }
    family(
        out,
        "keyway_key_benched",
        "gauge",
        "1 while a key version rests because its provider refused it.",
    );
    for key in &keys {
        let benched = u8::from(key.health.is_benched(now));
        let _ = writeln!(out, "keyway_key_benched{{key=\"{}\"}} {benched}", label(&key.id));
    }
}

/// Prometheus' escapes.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
