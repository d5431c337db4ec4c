//! What is known of the control plane and of where the configuration came from: for `/readyz`, metrics, and the time
//! for which secrets may be used without word from it.

use keyway_proto::{EVICTED, fleet::v1::AuditHead};
use std::time::{Duration, Instant};
use tonic::Status;

/// Where what is served came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Source {
    #[default]
    None,
    /// From the last good state on disk; the control plane has not confirmed it.
    Disk,
    ControlPlane,
}

/// What `/readyz` tells of the link.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkStatus {
    pub(crate) connected: bool,
    pub(crate) last_error: Option<String>,
    /// Of the last state that was refused.
    pub(crate) refused: Option<String>,
    /// Why the control plane does not want this replica: another cluster's, evicted.
    pub(crate) rejected: Option<String>,
    /// It was evicted: what it holds is not its own any more.
    pub(crate) evicted: bool,
    /// That has been forgotten.
    pub(crate) forgotten: bool,
    pub(crate) source: Source,
    /// Why what lies on disk cannot be served, or could not be written.
    pub(crate) last_good_error: Option<String>,
    /// Bytes that were written to keep it, since the start.
    pub(crate) last_good_bytes: u64,
    /// Bytes of what was kept that the start passed over: a change that was not whole.
    pub(crate) last_good_torn: u64,
    /// Why this node got no certificate when it last asked, or could not keep it.
    pub(crate) identity_error: Option<String>,
    /// The newest that it was told of the control plane's audit log.
    pub(crate) audit: Option<AuditHead>,
    word: Option<Word>,
}

/// When the control plane was last heard: monotonic, and what had passed before this process began.
#[derive(Debug, Clone, Copy)]
struct Word {
    at: Instant,
    before: Duration,
}

// === impl Source ===

impl Source {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Disk, Self::ControlPlane];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Disk => "disk",
            Self::ControlPlane => "control_plane",
        }
    }
}

// === impl LinkStatus ===

impl LinkStatus {
    /// Starts from disk, with a state that was confirmed then; both in seconds since 1970. A clock that was set back
    /// meanwhile makes no state younger than new.
    pub(crate) fn begin_from_disk(&mut self, confirmed_at: u64, now_unix: u64, now: Instant) {
        self.source = Source::Disk;
        let before = Duration::from_secs(now_unix.saturating_sub(confirmed_at));
        self.word = Some(Word { at: now, before });
    }

    /// The control plane does not want this replica, or has no certificate for its node.
    pub(crate) fn turned_away(&mut self, why: &Status) {
        self.rejected = Some(why.message().to_owned());
        self.evicted = why.details() == EVICTED;
    }

    /// How far the audit log is: what is older than what is known changes nothing, since a log only grows.
    pub(crate) fn audit_is_at(&mut self, told: AuditHead) {
        let place = |head: &AuditHead| (head.epoch, head.revision);
        if self.audit.as_ref().is_none_or(|known| place(known) < place(&told)) {
            self.audit = Some(told);
        }
    }

    /// The control plane was heard.
    pub(crate) fn heard(&mut self, now: Instant) {
        (self.rejected, self.evicted, self.forgotten) = (None, false, false);
        self.word = Some(Word { at: now, before: Duration::ZERO });
    }

    /// Since the control plane was last heard; `None` = never.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.word.map(|word| now.saturating_duration_since(word.at).saturating_add(word.before))
    }

    /// Whether secrets may no longer be used.
    pub(crate) fn is_lapsed(&self, lease: Option<Duration>, now: Instant) -> bool {
        lease.zip(self.age(now)).is_some_and(|(lease, age)| age >= lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_lapse_by_the_calendar_over_a_start_and_by_the_monotonic_clock_after() {
        let now = Instant::now();
        let lease = Some(Duration::from_secs(100));
        for (confirmed_at, now_unix, passed, lapsed) in [
            (1000, 1000, 0, false),
            (1000, 1060, 39, false),
            (1000, 1060, 40, true),
            (1000, 1100, 0, true),
            (1000, 900, 99, false),
            (1000, 900, 100, true),
            (0, u64::MAX, 0, true),
        ] {
            let mut status = LinkStatus::default();
            status.begin_from_disk(confirmed_at, now_unix, now);
            let then = now + Duration::from_secs(passed);
            assert_eq!(status.is_lapsed(lease, then), lapsed, "{confirmed_at} {now_unix} {passed}");
            assert!(!status.is_lapsed(None, then), "no lease, no end");
            status.heard(then);
            assert!(!status.is_lapsed(lease, then), "heard again");
        }
        assert!(!LinkStatus::default().is_lapsed(lease, now), "nothing is held yet");
    }
}
