//! What was sent to replicas, since the start.

use crate::push::Begun;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counted by the streams.
#[derive(Debug, Default)]
pub struct Counts {
    whole: AtomicU64,
    changes: AtomicU64,
    bytes: AtomicU64,
    resent: AtomicU64,
    refused: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pushed {
    /// Whole states that were begun, one a replica.
    pub whole: u64,
    /// States that were begun as what changed.
    pub changes: u64,
    /// Bytes of resources in all of them.
    pub bytes: u64,
    /// Changes that did not fit what the replica held: the whole followed.
    pub resent: u64,
    /// States that a replica refused.
    pub refused: u64,
}

// === impl Counts ===

impl Counts {
    pub(super) fn begun(&self, begun: Option<Begun>) {
        let Some(Begun { whole, bytes }) = begun else { return };
        if whole { &self.whole } else { &self.changes }.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn resent(&self) {
        self.resent.fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> Pushed {
        let of = |count: &AtomicU64| count.load(Relaxed);
        Pushed {
            whole: of(&self.whole),
            changes: of(&self.changes),
            bytes: of(&self.bytes),
            resent: of(&self.resent),
            refused: of(&self.refused),
        }
    }
}
