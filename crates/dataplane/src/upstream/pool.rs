//! Idle connections of one core. No lock: whoever holds the pool is on its thread.

use super::Link;
use foldhash::HashMap;
use std::{cell::RefCell, time::Duration};

/// Connections that rest to one origin.
const IDLE_PER_ORIGIN: usize = 512;
/// How often resting connections are looked at.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Sweeps that a resting connection outlives: at most 50 s, shorter than the idle time of common load balancers (60 s),
/// so that we close first.
const SWEEPS: u32 = 4;

/// Connections that rest, newest last.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<u128, Vec<Link>>>,
}

// === impl Pool ===

impl Pool {
    /// The connection that rested least, of those that have not ended meanwhile.
    pub(crate) fn take(&self, origin: u128) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        let links = idle.get_mut(&origin)?;
        std::iter::from_fn(|| links.pop()).find_map(|mut link| link.is_reusable().then_some(link))
    }

    /// Takes back a connection whose reply was read to its end; anything less is dropped.
    pub(crate) fn give_back(&self, mut link: Link) {
        if !link.is_reusable() {
            return;
        }
        link.rest();
        let mut idle = self.idle.borrow_mut();
        let links = idle.entry(link.origin()).or_default();
        if links.len() < IDLE_PER_ORIGIN {
            links.push(link);
        }
    }

    /// Drops all that rest: a provider may go on trusting a connection whose key was revoked.
    pub(crate) fn clear(&self) {
        self.idle.take();
    }

    /// Drops what has ended or rested too long.
    pub(crate) fn sweep(&self) {
        self.idle.borrow_mut().retain(|_, links| {
            links.retain_mut(|link| {
                link.sweeps += 1;
                link.sweeps <= SWEEPS && link.is_reusable()
            });
            links.shrink_to_fit();
            !links.is_empty()
        });
    }
}
