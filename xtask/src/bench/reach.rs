//! The goals, and whether this run reaches them.

use super::{
    case::CASES,
    figures::{Figure, Found, Turn},
    subject::Kind,
};

/// One goal beside what was measured.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) what: String,
    pub(super) limit: String,
    pub(super) measured: String,
    /// `None`: this run did not measure it.
    pub(super) reached: Option<bool>,
}

/// Speed at which a scan may read a request body, bytes per second.
const SCAN_SPEED: f64 = 3e9;
const MEGABYTE: f64 = 1e6;
/// Memory may differ by this much between two looks without having grown: an allocator keeps pages.
const NO_GROWTH: f64 = 1.0;

/// Keyway's data plane against the goals.
pub(super) fn goals(found: &Found) -> Vec<Goal> {
    let kind = Kind::Keyway;
    let ratio =
        |case, figure: Figure| found.pair(case, kind).and_then(|(keyway, bare)| keyway.ratio(bare, figure));
    let later = |case, figure: Figure| {
        found.pair(case, kind).and_then(|(keyway, bare)| keyway.difference(bare, figure))
    };
    let megabytes = |bytes: u64| bytes as f64 / MEGABYTE;
    let footprint = found.footprint(kind);
    let growth = footprint.and_then(|print| {
        let (first, second) = print.millions?;
        Some(megabytes(second.resident) - megabytes(first.resident))
    });
    vec![
        at_most("CPU per request, 64 connections", 1.2, "x bare", ratio("chat-1k-c64", Turn::cpu_per_reply)),
        at_least("requests/s on one core", 0.85, "x bare", ratio("chat-1k-c64", Turn::per_second)),
        at_most("p50 above bare, everything on one core", 10.0, "us", later("chat-1k-one-core", Turn::p50)),
        at_most("CPU per burst stream", 0.3, "x bare", ratio("stream-burst-c16", Turn::cpu_per_reply)),
        at_most(
            "CPU per stream, chunks 10 ms apart",
            1.1,
            "x bare",
            ratio("stream-paced-c64", Turn::cpu_per_reply),
        ),
        at_most("first byte of a stream later, p50, worst case", 50.0, "us", first_byte(found, kind)),
        at_most(
            "CPU above bare of a 1 MB request",
            scan_limit(),
            "us",
            later("body-1m-c4", Turn::cpu_per_reply),
        ),
        at_most("idle", 12.0, "MB", footprint.map(|print| megabytes(print.idle.resident))),
        at_most(
            "after 256 connections, 100,000 requests",
            30.0,
            "MB",
            footprint.map(|print| megabytes(print.loaded.resident)),
        ),
        at_most("growth over 1,000,000 requests", NO_GROWTH, "MB", growth),
        at_most("first answer after start", 100.0, "ms", footprint.map(|print| print.first_answer_ms)),
    ]
}

/// Of all stream cases, by how much the first byte comes later than through the bare proxy.
fn first_byte(found: &Found, kind: Kind) -> Option<f64> {
    let streams = CASES.iter().filter(|case| case.body.is_stream());
    let late = streams.filter_map(|case| {
        let (keyway, bare) = found.pair(case.name, kind)?;
        keyway.difference(bare, Turn::first_p50)
    });
    late.reduce(f64::max)
}

/// Microseconds that one scan of a 1 MB body may take.
fn scan_limit() -> f64 {
    f64::from(1 << 20) / SCAN_SPEED * 1e6
}

fn at_most(what: &str, limit: f64, unit: &str, measured: Option<f64>) -> Goal {
    goal(what, &format!("at most {}", amount(limit, unit)), unit, measured, |value| value <= limit)
}

fn at_least(what: &str, limit: f64, unit: &str, measured: Option<f64>) -> Goal {
    goal(what, &format!("at least {}", amount(limit, unit)), unit, measured, |value| value >= limit)
}

fn goal(what: &str, limit: &str, unit: &str, measured: Option<f64>, met: impl Fn(f64) -> bool) -> Goal {
    Goal {
        what: what.to_owned(),
        limit: limit.to_owned(),
        measured: measured.map_or("-".to_owned(), |value| amount(value, unit)),
        reached: measured.map(met),
    }
}

fn amount(value: f64, unit: &str) -> String {
    if unit.starts_with('x') { format!("{value:.2} {unit}") } else { format!("{value:.1} {unit}") }
}
