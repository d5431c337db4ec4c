//! What one request adds to sums, and how sums are added up. The data plane folds its spool by it and the control plane
//! keeps its books by it, so that a folded frame and its records always come to the same. Pure: no I/O, no clock.

mod fold;
mod sum;

pub use fold::{Fold, OTHER, fold};
pub use sum::{add, of_record};

/// Milliseconds of the minute that sums are kept by.
pub const MINUTE_MILLIS: u64 = 60_000;
