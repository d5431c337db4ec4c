//! Numbers for weights and request ids: unpredictable enough to spread load and never to repeat an id, not for secrets.

use std::cell::Cell;

/// SplitMix64 (Steele, Lea, Flood 2014), seeded by the system, one a core.
#[derive(Debug)]
pub(crate) struct Random(Cell<u64>);

// === impl Random ===

impl Random {
    pub(crate) fn new() -> Self {
        Self(Cell::new(getrandom::u64().unwrap_or_else(|_| crate::clock::since_epoch().as_nanos() as u64)))
    }

    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
