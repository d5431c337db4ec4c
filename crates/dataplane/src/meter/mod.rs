//! What was used and how it ended: opened first, closed last, so that every ending is counted once.
//! Totals are kept per core by (client, key version, model) and read by whoever reports them.

mod tally;
mod totals;

pub(crate) use tally::{Outcome, Tally};
pub(crate) use totals::Totals;
