//! Limits of providers that several keys share, as this replica knows them: read of replies' headers, exchanged with the
//! rest of the fleet, asked before a key is chosen. Refuses nobody but who has had its share of what is scarce.
//!
//! Where nothing is scarce a request pays one load for it. Nothing here locks; a value read while another core writes it
//! is at worst that of the reply before.

mod domain;
mod exchange;
mod level;
mod reading;
mod shares;
mod slot;
#[cfg(test)]
mod tests;

pub(crate) use domain::{Domain, Told};
pub(crate) use level::Level;
pub(crate) use reading::wait;
pub(crate) use slot::Spent;

use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Room of a limit that is whole or not known, in thousandths.
pub(crate) const WHOLE: u32 = 1000;

/// What one request would take, and for whom.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ask {
    client: u64,
    /// A token is four bytes, until the provider says otherwise.
    tokens: u64,
    /// Other clients may come.
    has_rivals: bool,
}

/// Whether a limit lets one more request through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It does; thousandths of the limit that are left, at least 1.
    Left(u32),
    /// What is left is for clients that have had less; until this moment.
    Over(u64),
    /// It is used up until this moment, as far as is known.
    Out(u64),
}

// === impl Ask ===

impl Ask {
    /// `clients`: that there are in all.
    pub(crate) fn new(client: &str, body: usize, clients: usize) -> Self {
        Self { client: hash(client), tokens: (body / 4) as u64, has_rivals: clients > 1 }
    }
}

/// The same in all of this process; 0 is nobody's.
fn hash(name: &str) -> u64 {
    FixedState::default().hash_one(name).max(1)
}
