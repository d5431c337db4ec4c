//! How far a bill and the books may lie apart and still agree.

use std::str::FromStr;

use super::bill::Amount;

/// Parts of a whole: per cent are kept with nine decimals, as dollars are.
const PARTS: u128 = 100 * 1_000_000_000;

/// Of each row, and of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tolerance {
    /// So many nano-dollars.
    Nano(u64),
    /// So many billionths of a per cent of what was billed.
    PerCent(u64),
}

/// It is none.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a tolerance is dollars like 0.01 or per cent like 0.5%")]
pub(super) struct NoTolerance;

// === impl Tolerance ===

impl Tolerance {
    /// Whether these amounts agree, in nano-dollars.
    pub(super) fn admits(self, billed: i64, booked: i64) -> bool {
        let apart = u128::from(billed.abs_diff(booked));
        match self {
            Self::Nano(most) => apart <= u128::from(most),
            Self::PerCent(parts) => apart * PARTS <= u128::from(billed.unsigned_abs()) * u128::from(parts),
        }
    }

    /// Whether these counts agree: dollars are no measure of them.
    pub(super) fn admits_count(self, billed: u64, booked: u64) -> bool {
        let apart = u128::from(billed.abs_diff(booked));
        match self {
            Self::Nano(_) => apart == 0,
            Self::PerCent(parts) => apart * PARTS <= u128::from(billed) * u128::from(parts),
        }
    }
}

impl FromStr for Tolerance {
    type Err = NoTolerance;

    fn from_str(text: &str) -> Result<Self, NoTolerance> {
        let (number, per_cent) = text.strip_suffix('%').map_or((text, false), |number| (number, true));
        let nano = Amount::dollars(number).map(Amount::nano).and_then(|nano| u64::try_from(nano).ok());
        let nano = nano.ok_or(NoTolerance)?;
        Ok(if per_cent { Self::PerCent(nano) } else { Self::Nano(nano) })
    }
}
