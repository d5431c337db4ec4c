//! What was used, what it cost and how it ended: opened first, closed last, so that every ending is counted once. A core
//! only lays what has ended on its sheet; writing, summing and sending are the spool's.

mod budget;
mod ended;
mod record;
mod sheet;
mod spool;
mod tags;
mod tally;
mod totals;
mod used;

pub(crate) use budget::Budget;
pub(crate) use ended::{Asked, Ended, Story, Try};
#[cfg(test)]
pub(crate) use sheet::Counted;
pub(crate) use sheet::{Bell, Tray};
pub(crate) use spool::{BATCH, DISK_LIMIT, Ends, Spool, SpoolCounts, Spooling};
pub(crate) use tags::tags;
pub(crate) use tally::{Outcome, Tally};
pub(crate) use totals::Totals;
#[cfg(test)]
pub(crate) use used::counts;
pub(crate) use used::{Seen, Used};
