//! Attempts by how they ended and refusals by code: fixed sets of counters, one set a core.

use keyway_dialect::fault::Code;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Every way in which an attempt ends; the last stands for what a version to come may add.
pub(crate) const REASONS: [&str; 28] = [
    "answered",
    "client_revoked",
    "connect_timeout",
    "credential_revoked",
    "credential_unusable",
    "dialect",
    "endpoint",
    "first_token_timeout",
    "token_unavailable",
    "upstream_address_refused",
    "upstream_auth_failed",
    "upstream_bad_content_type",
    "upstream_bad_encoding",
    "upstream_bad_framing",
    "upstream_cut",
    "upstream_line_too_long",
    "upstream_malformed",
    "upstream_payment_required",
    "upstream_rate_limited",
    "upstream_redirect",
    "upstream_refused",
    "upstream_reply_too_large",
    "upstream_status",
    "upstream_stream_cut",
    "upstream_stream_error",
    "upstream_timeout",
    "upstream_tls_failed",
    "upstream_unreachable",
];
const OTHER: &str = "other";

/// One core's counts.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    ended: [AtomicU64; REASONS.len() + 1],
    retries: AtomicU64,
    refusals: [AtomicU64; Code::ALL.len()],
}

/// Sums over cores.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    ended: [u64; REASONS.len() + 1],
    pub(crate) retries: u64,
    refusals: [u64; Code::ALL.len()],
}

/// One writer a counter: a plain load and store is enough, and cheaper than a locked add.
pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

// === impl Tries ===

impl Tries {
    /// An attempt after a request's first begins.
    pub(crate) fn again(&self) {
        add(&self.retries, 1);
    }

    /// An attempt brought an answer (`None`) or failed.
    pub(crate) fn ended(&self, failed: Option<&'static str>) {
        let place = failed
            .map_or(0, |reason| REASONS.iter().position(|known| *known == reason).unwrap_or(REASONS.len()));
        if let Some(counter) = self.ended.get(place) {
            add(counter, 1);
        }
    }

    /// A request ends with a fault of this code, before or after its first byte.
    pub(crate) fn refused(&self, code: Code) {
        let place = Code::ALL.iter().position(|known| *known == code);
        if let Some(counter) = place.and_then(|place| self.refusals.get(place)) {
            add(counter, 1);
        }
    }

    /// Adds this core's counts to a sum.
    pub(crate) fn add_to(&self, sum: &mut Tried) {
        let each = |sums: &mut [u64], counters: &[AtomicU64]| {
            sums.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter.load(Relaxed));
        };
        each(&mut sum.ended, &self.ended);
        each(&mut sum.refusals, &self.refusals);
        sum.retries += self.retries.load(Relaxed);
    }
}

// === impl Tried ===

impl Tried {
    /// Attempts by how they ended.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().chain([OTHER]).zip(self.ended)
    }

    /// Requests that ended with a fault, by its code.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Code::ALL.iter().map(|code| code.as_str()).zip(self.refusals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_that_attempts_give_has_its_counter() {
        let sources = concat!(
            include_str!("../attempt/crossed.rs"),
            include_str!("../attempt/crossed.rs"),
            include_str!("../attempt/failure.rs"),
            include_str!("../attempt/first.rs"),
            include_str!("../attempt/mod.rs"),
            include_str!("../attempt/send.rs"),
            include_str!("../attempt/whole.rs"),
            include_str!("../translate/crossing.rs"),
            include_str!("../translate/stream.rs"),
        );
        let mut found = 0;
        for word in sources.split('"').skip(1).step_by(2) {
            let quoted = |start: &str| sources.contains(&format!("{start}{word}\""));
            if quoted("Failure::broken(\"")
                || quoted("Failure::passing(\"")
                || word.starts_with("upstream_")
                || word.ends_with("_timeout")
            {
                assert!(REASONS.contains(&word), "{word} has no counter");
                found += 1;
            }
        }
        assert!(found > 20, "{found}");
    }

    #[test]
    fn each_ending_has_a_counter_and_strangers_go_to_other() {
        let tries = Tries::default();
        tries.ended(None);
        REASONS.iter().skip(1).for_each(|reason| tries.ended(Some(reason)));
        tries.ended(Some("something new"));
        Code::ALL.into_iter().for_each(|code| tries.refused(code));
        let mut sum = Tried::default();
        tries.add_to(&mut sum);
        assert!(sum.attempts().all(|(_, count)| count == 1));
        assert_eq!(sum.attempts().last(), Some(("other", 1)));
        assert!(sum.refusals().all(|(_, count)| count == 1));
    }
}
