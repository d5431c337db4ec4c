//! Who of several control planes writes. Decisions only: what etcd said and what time it is come in. A leader is told from
//! one that was by etcd itself, which refuses whoever writes without the leader's key; no clock decides that.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Seconds that a leader which says nothing stays leader.
pub(crate) const LEASE_SECONDS: i64 = 3;
/// The lease is kept so often.
pub(crate) const KEEP_EVERY: Duration = Duration::from_secs(1);
/// An answer to that is waited for so long: then another node is asked.
pub(crate) const KEEP_LIMIT: Duration = Duration::from_millis(700);

/// A control plane, as the others know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its own name, the same after each start.
    pub name: String,
    /// Where replicas and other control planes reach it: `http://HOST:PORT`.
    pub fleet: String,
    /// Where its admin API is: `http://HOST:PORT`.
    pub admin: String,
}

/// How one control plane stands to the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who leads, as far as is known.
    pub leader: Option<Member>,
    /// This one leads, since that revision of etcd.
    pub term: Option<i64>,
    /// The store answers.
    pub contact: bool,
}

/// What is known when it is decided what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen<'a> {
    /// Who leads, and since when.
    pub(crate) leader: Option<(&'a Member, i64)>,
    /// Since when this one leads by the lease that it holds; absent = it never won with this lease.
    pub(crate) office: Option<i64>,
    /// The lease was kept within its time.
    pub(crate) kept: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nobody leads: try to.
    Run,
    /// This one leads.
    Lead(i64),
    /// Another one leads, or nothing is known.
    Follow,
}

/// What a control plane does that knows this.
pub(crate) fn next(seen: Seen<'_>) -> Step {
    match (seen.leader, seen.office) {
        (None, _) if seen.kept => Step::Run,
        (Some((_, since)), Some(office)) if since == office && seen.kept => Step::Lead(office),
        _ => Step::Follow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_was_made_with_this_lease_makes_a_leader() {
        let one = Member { name: "one".to_owned(), ..Member::default() };
        for (leader, office, kept, step) in [
            (None, None, true, Step::Run),
            (None, Some(7), true, Step::Run),
            (None, None, false, Step::Follow),
            (Some(7), Some(7), true, Step::Lead(7)),
            (Some(7), Some(7), false, Step::Follow),
            (Some(7), None, true, Step::Follow),
            (Some(8), Some(7), true, Step::Follow),
        ] {
            let seen = Seen { leader: leader.map(|since| (&one, since)), office, kept };
            assert_eq!(next(seen), step, "{seen:?}");
        }
    }
}
