//! Idle connections of one core. No lock: whoever holds the pool is on its thread.

use super::Link;
use std::{cell::RefCell, collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Connections that rest to one origin.
const IDLE_PER_ORIGIN: usize = 512;
/// Shorter than the idle time of common load balancers (60 s), so that we close first.
const IDLE_TIME: Duration = Duration::from_secs(50);
/// How often resting connections are looked at.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Connections that rest, newest last.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<u128, Vec<Link>>>,
}

// === impl Pool ===

impl Pool {
    /// The connection that rested least; one that has ended is dropped on the way.
    pub(crate) fn take(&self, origin: u128, now: Instant) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        let links = idle.get_mut(&origin)?;
        while let Some(mut link) = links.pop() {
            if now.duration_since(link.idle_since) < IDLE_TIME && link.is_reusable() {
                return Some(link);
            }
        }
        None
    }

    /// Takes back a connection whose reply was read to its end; anything less is dropped.
    pub(crate) fn give_back(&self, mut link: Link, now: Instant) {
        if !link.is_reusable() {
            return;
        }
        link.idle_since = now;
        let mut idle = self.idle.borrow_mut();
        let links = idle.entry(link.origin()).or_default();
        if links.len() < IDLE_PER_ORIGIN {
            links.push(link);
        }
    }

    /// Drops all that rest: the buffer that each wrote its last request from still holds the key of that request.
    pub(crate) fn clear(&self) {
        self.idle.take();
    }

    /// Drops what has ended or rested too long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, links| {
            links.retain_mut(|link| now.duration_since(link.idle_since) < IDLE_TIME && link.is_reusable());
            links.shrink_to_fit();
            !links.is_empty()
        });
    }
}
