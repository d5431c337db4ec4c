//! Prometheus text. Names, units and labels stand in docs/metrics.md; a test compares the two.

mod quota;

use super::Ops;
use crate::clock;
use crate::meter::SpoolCounts;
use crate::observe::{BOUNDS_MS, Durations, Endings, Tried};
use crate::sync::Source;
use keyway_proto::fleet::v1::KeyUse;
use keyway_snapshot::{METERS, Meter};
use keyway_telemetry::Spans;
use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

#[derive(Default)]
struct ByModel {
    requests: u64,
    errors: u64,
    cancelled: u64,
    counts: [u64; METERS],
    nano_dollars: u64,
    unpriced: u64,
    unmetered: u64,
}

/// All metrics of this replica.
pub(super) fn text(ops: &Ops) -> String {
    let mut out = String::with_capacity(16 * 1024);
    replica(&mut out, ops);
    snapshot(&mut out, ops);
    endings(&mut out, ops);
    tries(&mut out, ops);
    models(&mut out, ops);
    spool(&mut out, ops);
    keys(&mut out, ops);
    quota::text(&mut out, ops);
    cuts(&mut out, ops);
    spans(&mut out, ops);
    out
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn one(out: &mut String, name: &str, kind: &str, help: &str, value: impl Display) {
    family(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

/// A duration in seconds, exact to the microsecond.
fn seconds(micros: u128) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn replica(out: &mut String, ops: &Ops) {
    family(out, "keyway_build_info", "gauge", "Always 1; the version stands in its label.");
    let _ = writeln!(out, "keyway_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    let uptime = seconds(ops.gauges.uptime().as_micros());
    one(out, "keyway_uptime_seconds", "gauge", "Time since this replica started.", uptime);
    let draining = u8::from(*ops.draining.borrow());
    one(out, "keyway_draining", "gauge", "1 while this replica drains.", draining);
    let in_flight = ops.gauges.in_flight();
    let help = "Requests that have begun and not ended, streams included.";
    one(out, "keyway_requests_in_flight", "gauge", help, in_flight);
    one(out, "keyway_connections", "gauge", "Open connections from callers.", ops.gauges.connections());
    let help = "Bytes of request bodies that are held now; one bound for all of them.";
    one(out, "keyway_body_bytes_in_flight", "gauge", help, ops.budget.held());
    let help = "What has to go since memory is scarce: 0 nothing, 1 what rests, 2 large bodies, 3 every new request.";
    one(out, "keyway_memory_pressure", "gauge", help, ops.budget.pressure() as u8);
    let silence = seconds(Duration::from_millis(ops.gauges.silence(ops.millis())).as_micros());
    let help = "Since a core last came round, of the one that is longest away; each does once a second.";
    one(out, "keyway_core_silence_seconds", "gauge", help, silence);
    let help = "Times that a core came round more than 100 ms late.";
    one(out, "keyway_core_stalls_total", "counter", help, ops.gauges.stalls());
}

fn snapshot(out: &mut String, ops: &Ops) {
    let (applied, refused, micros) = ops.gauges.states();
    let state = ops.held.pin();
    let version = state.as_ref().map(|state| state.snapshot.version.counter).unwrap_or_default();
    one(out, "keyway_snapshot_version", "gauge", "Counter of the snapshot that is served.", version);
    let help = "Time since the snapshot that is served was applied; no sample before the first.";
    family(out, "keyway_snapshot_age_seconds", "gauge", help);
    if let Some(age) = ops.gauges.age() {
        let _ = writeln!(out, "keyway_snapshot_age_seconds {}", seconds(age.as_micros()));
    }
    let help = "Snapshots applied since the start.";
    one(out, "keyway_snapshots_applied_total", "counter", help, applied);
    let (changes, bytes) = ops.gauges.coming();
    let help = "Of the snapshots applied, those that came as what changed since the one before.";
    one(out, "keyway_snapshot_changes_applied_total", "counter", help, changes);
    let help = "Bytes of resources in the snapshots that were applied, as they came.";
    one(out, "keyway_snapshot_bytes_total", "counter", help, bytes);
    let help = "Snapshots in memory: the one that is served, and those that some request still has.";
    one(out, "keyway_snapshots_held", "gauge", help, ops.gauges.states_held());
    let help = "Snapshots refused since the start.";
    one(out, "keyway_snapshots_refused_total", "counter", help, refused);
    let help = "Time that the last snapshot took from its first chunk to the swap.";
    one(out, "keyway_snapshot_apply_seconds", "gauge", help, seconds(micros.into()));
    let help = "1 while the stream to the control plane is open.";
    let connected = u8::from(ops.link.lock().connected);
    one(out, "keyway_control_plane_connected", "gauge", help, connected);
    let link = ops.link.lock().clone();
    let help = "Bytes written to keep the last good state on disk, since the start.";
    one(out, "keyway_last_good_bytes_total", "counter", help, link.last_good_bytes);
    let help = "Bytes of changes on disk that were no whole ones at the start and were passed over.";
    one(out, "keyway_last_good_torn_bytes_total", "counter", help, link.last_good_torn);
    let help = "1 for where the configuration came from.";
    family(out, "keyway_config_source", "gauge", help);
    for source in Source::ALL {
        let is = u8::from(source == link.source);
        let _ = writeln!(out, "keyway_config_source{{source=\"{}\"}} {is}", source.word());
    }
    let help = "Time since the control plane was last heard; no sample where it never was.";
    family(out, "keyway_config_age_seconds", "gauge", help);
    if let Some(age) = link.age(std::time::Instant::now()) {
        let _ = writeln!(out, "keyway_config_age_seconds {}", seconds(age.as_micros()));
    }
    let help = "Until this node's certificate ends; renewed at half of its life. No sample before the node has joined.";
    family(out, "keyway_certificate_seconds_left", "gauge", help);
    if let Some(identity) = ops.badge.identity() {
        let left = identity.left(clock::since_epoch().as_secs());
        let _ = writeln!(out, "keyway_certificate_seconds_left {}", left.as_secs());
    }
    let lapsed = u8::from(state.is_some_and(|state| state.keyring.is_lapsed()));
    let help = "1 while provider keys may not be used, since the control plane was silent for too long.";
    one(out, "keyway_secrets_unavailable", "gauge", help, lapsed);
}

fn endings(out: &mut String, ops: &Ops) {
    let mut sum = Endings::default();
    ops.faults.iter().for_each(|core| core.add_to(&mut sum));
    family(out, "keyway_requests_total", "counter", "Requests that have ended, by how.");
    let classes = ["2xx", "3xx", "4xx", "5xx"].into_iter().zip(sum.by_class);
    for (outcome, count) in classes.chain([("broken", sum.broken), ("cancelled", sum.cancelled)]) {
        let _ = writeln!(out, "keyway_requests_total{{outcome=\"{outcome}\"}} {count}");
    }
    let help = "From a request's first byte to its answer's last.";
    histogram(out, "keyway_request_duration_seconds", help, &sum.took);
    let help = "From a request's first byte to the first content of its stream.";
    histogram(out, "keyway_first_token_seconds", help, &sum.first_token);
}

fn histogram(out: &mut String, name: &str, help: &str, durations: &Durations) {
    family(out, name, "histogram", help);
    let mut total = 0;
    for (at, count) in durations.buckets.iter().enumerate() {
        total += count;
        let bound =
            BOUNDS_MS.get(at).map_or("+Inf".to_owned(), |ms| format!("{}.{:03}", ms / 1000, ms % 1000));
        let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(out, "{name}_sum {}\n{name}_count {total}", seconds(durations.sum_micros.into()));
}

fn tries(out: &mut String, ops: &Ops) {
    let mut sum = Tried::default();
    ops.faults.iter().for_each(|core| core.tries.add_to(&mut sum));
    let help = "Attempts at targets that have ended, by how.";
    family(out, "keyway_attempts_total", "counter", help);
    for (outcome, count) in sum.attempts() {
        let _ = writeln!(out, "keyway_attempts_total{{outcome=\"{outcome}\"}} {count}");
    }
    let help = "Attempts after a request's first.";
    one(out, "keyway_retries_total", "counter", help, sum.retries);
    let help = "Requests that the gateway ended with an error of its own, by its code.";
    family(out, "keyway_refusals_total", "counter", help);
    for (code, count) in sum.refusals() {
        let _ = writeln!(out, "keyway_refusals_total{{code=\"{code}\"}} {count}");
    }
}

fn spans(out: &mut String, ops: &Ops) {
    let help = "Spans of traces by what became of them; all 0 without a collector.";
    family(out, "keyway_spans_total", "counter", help);
    let of =
        |count: fn(&Spans) -> &AtomicU64| ops.spans.as_ref().map_or(0, |spans| count(spans).load(Relaxed));
    for (outcome, count) in [
        ("exported", of(|spans| &spans.exported)),
        ("failed", of(|spans| &spans.failed)),
        ("dropped", of(|spans| &spans.dropped)),
    ] {
        let _ = writeln!(out, "keyway_spans_total{{outcome=\"{outcome}\"}} {count}");
    }
}

fn models(out: &mut String, ops: &Ops) {
    let mut by_model: BTreeMap<String, ByModel> = BTreeMap::new();
    for row in ops.totals.lock().rows() {
        let sum = by_model.entry(row.model.to_string()).or_default();
        sum.requests += row.requests;
        sum.errors += row.errors;
        sum.cancelled += row.cancelled;
        sum.nano_dollars = sum.nano_dollars.saturating_add(row.nano_dollars);
        sum.unpriced += row.unpriced;
        sum.unmetered += row.unmetered;
        for (sum, count) in sum.counts.iter_mut().zip(row.counts) {
            *sum = sum.saturating_add(count);
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
    let help = "Requests whose usage is an estimate, wholly or in part, by target.";
    family(out, "keyway_unmetered_requests_total", "counter", help);
    for (model, sum) in &by_model {
        let _ =
            writeln!(out, "keyway_unmetered_requests_total{{target=\"{}\"}} {}", label(model), sum.unmetered);
    }
}

fn spool(out: &mut String, ops: &Ops) {
    let of = |count: fn(&SpoolCounts) -> &AtomicU64| count(&ops.usage).load(Relaxed);
    let help = "Requests by how their usage is kept: each by itself, or summed with others of its minute.";
    family(out, "keyway_usage_requests_total", "counter", help);
    for (kept, count) in [("record", of(|usage| &usage.records)), ("sum", of(|usage| &usage.summed))] {
        let _ = writeln!(out, "keyway_usage_requests_total{{kept=\"{kept}\"}} {count}");
    }
    let help = "Frames of usage by what became of them.";
    family(out, "keyway_usage_frames_total", "counter", help);
    for (step, count) in [
        ("written", of(|usage| &usage.frames)),
        ("folded", of(|usage| &usage.folded)),
        ("accepted", of(|usage| &usage.accepted)),
    ] {
        let _ = writeln!(out, "keyway_usage_frames_total{{step=\"{step}\"}} {count}");
    }
    let help = "Bytes of usage that wait for the control plane, or for room to be made behind what it took.";
    family(out, "keyway_usage_spool_bytes", "gauge", help);
    for (place, bytes) in
        [("disk", of(|usage| &usage.disk_bytes)), ("memory", of(|usage| &usage.memory_bytes))]
    {
        let _ = writeln!(out, "keyway_usage_spool_bytes{{place=\"{place}\"}} {bytes}");
    }
    let help = "1 while the spool has no room for single requests, or holds some that became sums.";
    one(out, "keyway_usage_spool_full", "gauge", help, u8::from(ops.usage.is_full.load(Relaxed)));
    let help = "Times that the disk did not take or give usage.";
    one(out, "keyway_usage_spool_errors_total", "counter", help, of(|usage| &usage.errors));
    let help = "Bytes in the spool that were no usage, as a crash leaves them.";
    one(out, "keyway_usage_damaged_bytes_total", "counter", help, of(|usage| &usage.damaged));
    let help = "Streams of usage to the control plane that were opened.";
    one(out, "keyway_usage_streams_total", "counter", help, of(|usage| &usage.streams));
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
    let state = ops.held.pin();
    let now = u64::try_from(ops.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut keys = state.as_ref().map(|state| state.keyring.uses()).unwrap_or_default();
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    let mut of = |name: &str, kind: &str, help: &str, count: &dyn Fn(&KeyUse) -> u64| {
        family(out, name, kind, help);
        for key in &keys {
            let _ = writeln!(out, "{name}{{key=\"{}\"}} {}", label(&key.id), count(key));
        }
    };
    let help = "Attempts with a key version since the start.";
    of("keyway_key_uses_total", "counter", help, &|key| key.started);
    let help = "Attempts that hold a key version now.";
    of("keyway_key_in_flight", "gauge", help, &|key| key.in_flight);
    let help = "Attempts that took a retiring key version, since all active ones were refused.";
    of("keyway_key_standby_uses_total", "counter", help, &|key| key.standby);
    let help = "Attempts that the provider answered with 401 or 403.";
    of("keyway_key_refused_total", "counter", help, &|key| key.refused);
    let help = "Requests that failed since a key version was refused, withdrawn or cut.";
    of("keyway_key_failed_requests_total", "counter", help, &|key| key.failed);
    let help = "1 while a key version rests because its provider refused it.";
    let benched = |key: &KeyUse| {
        let key = state.as_ref().and_then(|state| state.keyring.named(&key.id));
        u64::from(key.is_some_and(|key| key.health.is_benched(now)))
    };
    of("keyway_key_benched", "gauge", help, &benched);
}

fn cuts(out: &mut String, ops: &Ops) {
    let (by_key, by_client) = ops.gauges.cuts();
    let help = "Requests that were cut since what they used was revoked.";
    family(out, "keyway_cuts_total", "counter", help);
    for (reason, count) in [("credential_revoked", by_key), ("client_revoked", by_client)] {
        let _ = writeln!(out, "keyway_cuts_total{{reason=\"{reason}\"}} {count}");
    }
}

/// Prometheus' escapes.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
