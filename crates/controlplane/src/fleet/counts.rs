//! What was sent to replicas, since the start.

use crate::push::Begun;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counted by the streams, and by whoever makes a state.
#[derive(Debug, Default)]
pub struct Counts {
    whole: Sent,
    changes: Sent,
    resent: AtomicU64,
    refused: AtomicU64,
    built: AtomicU64,
    built_micros: AtomicU64,
    last_built_micros: AtomicU64,
}

#[derive(Debug, Default)]
struct Sent {
    states: AtomicU64,
    bytes: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Whole states that were begun, one a replica, and bytes of their resources.
    pub whole: (u64, u64),
    /// States that were begun as what changed, likewise.
    pub changes: (u64, u64),
    /// Changes that did not fit what the replica held: the whole followed.
    pub resent: u64,
    /// States that a replica refused.
    pub refused: u64,
    /// States that were made of a change of documents.
    pub built: u64,
    /// What that took, of all and of the last: compiling, checking as a replica does, signing.
    pub build: (Duration, Duration),
}

// === impl Counts ===

impl Counts {
    pub(super) fn begun(&self, begun: Option<Begun>) {
        let Some(Begun { whole, bytes }) = begun else { return };
        let sent = if whole { &self.whole } else { &self.changes };
        sent.states.fetch_add(1, Relaxed);
        sent.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn resent(&self) {
        self.resent.fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn built(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.built.fetch_add(1, Relaxed);
        self.built_micros.fetch_add(micros, Relaxed);
        self.last_built_micros.store(micros, Relaxed);
    }

    pub(super) fn read(&self) -> Pushed {
        let of = |count: &AtomicU64| count.load(Relaxed);
        let took = |micros: &AtomicU64| Duration::from_micros(of(micros));
        Pushed {
            whole: (of(&self.whole.states), of(&self.whole.bytes)),
            changes: (of(&self.changes.states), of(&self.changes.bytes)),
            resent: of(&self.resent),
            refused: of(&self.refused),
            built: of(&self.built),
            build: (took(&self.built_micros), took(&self.last_built_micros)),
        }
    }
}
