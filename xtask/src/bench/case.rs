//! What is asked of every subject.

use super::{Outcome, body::Body};

/// One kind of load.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// One line for the page.
    pub(super) about: &'static str,
    pub(super) body: Body,
    pub(super) connections: usize,
    /// Milliseconds between a stream's chunks.
    pub(super) pace_ms: u64,
    pub(super) cores: Cores,
}

/// Who runs where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    /// The subject has a core of its own; load and upstream share the other.
    Apart,
    /// All three on the subject's core: with one request at a time only one of them ever runs, so no wake-up
    /// crosses cores and the latency is the work alone.
    Together,
}

/// Chunks in a stream, and with the end mark the events that a caller must see.
pub(super) const CHUNKS: usize = 50;
const SPREAD_SECONDS: f64 = 0.01;
const PACED_LENGTH: f64 = 2.0;
pub(super) const CASES: &[Case] = &[
    chat("chat-1k-c1", "1 KB request, 0.8 KB reply, one at a time", 1),
    chat("chat-1k-c16", "1 KB request, 0.8 KB reply, 16 connections", 16),
    chat("chat-1k-c64", "1 KB request, 0.8 KB reply, 64 connections", 64),
    chat("chat-1k-c256", "1 KB request, 0.8 KB reply, 256 connections", 256),
    Case {
        cores: Cores::Together,
        ..chat("chat-1k-one-core", "1 KB request, 0.8 KB reply, one at a time, everything on one core", 1)
    },
    stream("stream-burst-c1", "stream of 50 chunks that come together, one at a time", 1, 0),
    stream("stream-burst-c16", "stream of 50 chunks that come together, 16 connections", 16, 0),
    stream("stream-paced-c64", "stream of 50 chunks 10 ms apart, 64 connections", 64, 10),
    Case {
        body: Body::Kilobytes(64),
        ..chat("body-64k-c16", "64 KB request, 0.8 KB reply, 16 connections", 16)
    },
    Case {
        body: Body::Kilobytes(1024),
        ..chat("body-1m-c4", "1 MB request, 0.8 KB reply, 4 connections", 4)
    },
];

const fn chat(name: &'static str, about: &'static str, connections: usize) -> Case {
    Case { name, about, body: Body::Chat, connections, pace_ms: 0, cores: Cores::Apart }
}

const fn stream(name: &'static str, about: &'static str, connections: usize, pace_ms: u64) -> Case {
    Case { name, about, body: Body::Stream, connections, pace_ms, cores: Cores::Apart }
}

// === impl Case ===

impl Case {
    /// Connections start spread over this many seconds. Streams whose chunks come one by one start all over the
    /// time that one takes: streams in step would measure each other's first bytes.
    pub(super) fn spread(&self) -> f64 {
        if self.pace_ms == 0 { SPREAD_SECONDS } else { (self.pace_ms * CHUNKS as u64) as f64 / 1_000.0 }
    }

    /// How many times as long as another case's turn one of this case is: there are few paced streams in a second.
    pub(super) fn length(&self) -> f64 {
        if self.pace_ms == 0 { 1.0 } else { PACED_LENGTH }
    }
}

/// The cases whose names start with one of `prefixes`; all if there is none.
pub(super) fn chosen(prefixes: &[String]) -> Outcome<Vec<&'static Case>> {
    let unknown =
        prefixes.iter().find(|prefix| !CASES.iter().any(|case| case.name.starts_with(prefix.as_str())));
    if let Some(prefix) = unknown {
        let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        return Err(format!("no case starts with `{prefix}`; there are {}", names.join(", ")).into());
    }
    let wanted = |case: &&Case| {
        prefixes.is_empty() || prefixes.iter().any(|prefix| case.name.starts_with(prefix.as_str()))
    };
    Ok(CASES.iter().filter(wanted).collect())
}
