//! What the spool counts of itself, for metrics; and the log line of a disk that refuses, once until it takes again.

use keyway_proto::fleet::v1::{Record, Sum};
use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// Since the start, but for the bytes.
#[derive(Debug, Default)]
pub(crate) struct SpoolCounts {
    /// Requests with a record.
    pub(crate) records: AtomicU64,
    /// Requests without one.
    pub(crate) summed: AtomicU64,
    pub(crate) frames: AtomicU64,
    /// Entries that the control plane has booked.
    pub(crate) accepted: AtomicU64,
    /// Frames that became part of another.
    pub(crate) folded: AtomicU64,
    pub(crate) errors: AtomicU64,
    /// Bytes that were no frames of ours.
    pub(crate) damaged: AtomicU64,
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) memory_bytes: AtomicU64,
    /// Streams to the control plane that were opened.
    pub(crate) streams: AtomicU64,
    /// There is no room for single requests: more of them would cost detail, or have already.
    pub(crate) is_full: AtomicBool,
    is_failing: AtomicBool,
}

// === impl SpoolCounts ===

impl SpoolCounts {
    pub(super) fn metered(&self, records: &[Record], sums: &[Sum]) {
        self.records.fetch_add(records.len() as u64, Relaxed);
        self.summed.fetch_add(sums.iter().map(|sum| sum.requests).sum(), Relaxed);
    }

    pub(super) fn written(&self) {
        self.frames.fetch_add(1, Relaxed);
    }

    pub(super) fn accepted(&self, count: u64) {
        self.accepted.fetch_add(count, Relaxed);
    }

    pub(super) fn folded(&self, count: u64) {
        self.folded.fetch_add(count, Relaxed);
    }

    pub(super) fn damaged(&self, bytes: u64) {
        if bytes > 0 {
            self.damaged.fetch_add(bytes, Relaxed);
            tracing::warn!(
                bytes,
                "the spool held bytes that are no usage, as a crash leaves them; passed over"
            );
        }
    }

    pub(super) fn holds(&self, disk: u64, memory: u64) {
        self.disk_bytes.store(disk, Relaxed);
        self.memory_bytes.store(memory, Relaxed);
    }

    pub(super) fn full(&self, is_full: bool) {
        if self.is_full.swap(is_full, Relaxed) != is_full {
            match is_full {
                true => tracing::warn!("the spool of usage is full; what comes now costs detail"),
                false => tracing::info!("the spool of usage has room again"),
            }
        }
    }

    pub(super) fn failed(&self, error: &io::Error, what: &'static str) {
        self.errors.fetch_add(1, Relaxed);
        if !self.is_failing.swap(true, Relaxed) {
            tracing::error!(%error, "{what}; requests are served on, make room on the disk of --state-dir");
        }
    }

    pub(super) fn recovered(&self) {
        if self.is_failing.swap(false, Relaxed) {
            tracing::info!("the disk takes usage again");
        }
    }
}
