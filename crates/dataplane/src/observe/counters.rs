//! Counters of a replica. Each core writes its own; readers add them up.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use std::time::Duration;
use tokio::time::Instant;

/// How often each core comes round.
pub(crate) const ROUND: Duration = Duration::from_secs(1);
/// One that does so later than this was held up.
const STALL: Duration = Duration::from_millis(100);
/// After it a replica with such a core is not ready: the round and five seconds.
const BLOCKED_MILLIS: u64 = 6_000;

/// One core's counters: written by its thread alone, so that a cache line never wanders.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Core {
    pub(crate) requests: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) connections: AtomicU64,
    cut_by_key: AtomicU64,
    cut_by_client: AtomicU64,
    /// When it last came round, milliseconds since the start of the process.
    seen: AtomicU64,
    stalls: AtomicU64,
}

/// All of a replica's.
#[derive(Debug)]
pub(crate) struct Gauges {
    cores: Vec<Arc<Core>>,
    started: Instant,
    applied: AtomicU64,
    /// Milliseconds from the start to the last apply.
    applied_at: AtomicU64,
    apply_micros: AtomicU64,
    refused: AtomicU64,
    states_held: AtomicU64,
    changes: AtomicU64,
    bytes: AtomicU64,
}

// === impl Core ===

impl Core {
    /// So many requests were cut since their key was revoked, and so many since their client was.
    pub(crate) fn cut(&self, by_key: u64, by_client: u64) {
        self.cut_by_key.fetch_add(by_key, Relaxed);
        self.cut_by_client.fetch_add(by_client, Relaxed);
    }

    /// It comes round, so late after the time that it meant to.
    pub(crate) fn round(&self, now: u64, late: Duration) {
        self.seen.store(now, Relaxed);
        if late > STALL {
            self.stalls.fetch_add(1, Relaxed);
        }
    }
}

// === impl Gauges ===

impl Gauges {
    pub(crate) fn new(cores: Vec<Arc<Core>>, started: Instant) -> Self {
        Self {
            cores,
            started,
            applied: AtomicU64::new(0),
            applied_at: AtomicU64::new(0),
            apply_micros: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            states_held: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    fn sum(&self, of: impl Fn(&Core) -> &AtomicU64) -> u64 {
        self.cores.iter().map(|core| of(core).load(Relaxed)).fold(0, u64::wrapping_add)
    }

    /// Requests that have begun and not ended, streams included.
    pub(crate) fn in_flight(&self) -> u64 {
        self.sum(|core| &core.in_flight)
    }

    /// Requests that have begun since the start.
    pub(crate) fn requests(&self) -> u64 {
        self.sum(|core| &core.requests)
    }

    /// Requests that were cut since their key was revoked, and since their client was.
    pub(crate) fn cuts(&self) -> (u64, u64) {
        (self.sum(|core| &core.cut_by_key), self.sum(|core| &core.cut_by_client))
    }

    /// Milliseconds since the core that is longest away came round.
    pub(crate) fn silence(&self, now: u64) -> u64 {
        self.cores.iter().map(|core| now.saturating_sub(core.seen.load(Relaxed))).max().unwrap_or(0)
    }

    /// Whether some core does nothing any more.
    pub(crate) fn is_blocked(&self, now: u64) -> bool {
        self.silence(now) > BLOCKED_MILLIS
    }

    /// Times that a core came round late.
    pub(crate) fn stalls(&self) -> u64 {
        self.sum(|core| &core.stalls)
    }

    /// Connections from callers.
    pub(crate) fn connections(&self) -> u64 {
        self.sum(|core| &core.connections)
    }

    /// Since the start.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Since the last apply; `None` before the first.
    pub(crate) fn age(&self) -> Option<Duration> {
        let applied_at = Duration::from_millis(self.applied_at.load(Relaxed));
        (self.applied.load(Relaxed) > 0).then(|| self.uptime().saturating_sub(applied_at))
    }

    /// A state was applied.
    pub(crate) fn applied(&self, micros: u64) {
        self.applied.fetch_add(1, Relaxed);
        let now = u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX);
        self.applied_at.store(now, Relaxed);
        self.apply_micros.store(micros, Relaxed);
    }

    /// A state was refused.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Its resources came as so many bytes: everything, or what changed.
    pub(crate) fn came(&self, bytes: u64, whole: bool) {
        self.changes.fetch_add(u64::from(!whole), Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Of the states applied, those that came as what changed, and bytes of resources of all.
    pub(crate) fn coming(&self) -> (u64, u64) {
        (self.changes.load(Relaxed), self.bytes.load(Relaxed))
    }

    /// So many states are in memory: the one that is served, and those that some request still has.
    pub(crate) fn holds(&self, states: usize) {
        self.states_held.store(states as u64, Relaxed);
    }

    /// States in memory.
    pub(crate) fn states_held(&self) -> u64 {
        self.states_held.load(Relaxed)
    }

    /// States applied, states refused, microseconds of the last apply.
    pub(crate) fn states(&self) -> (u64, u64, u64) {
        (self.applied.load(Relaxed), self.refused.load(Relaxed), self.apply_micros.load(Relaxed))
    }
}
