//! Which targets a request tries, in which order, and with which key. The decisions are pure; `pipeline` acts on them.

mod budget;
mod choose;
mod order;

pub(crate) use budget::RetryBudget;
pub(crate) use choose::{Choice, Moment, Tried, Verdict, choose};
pub(crate) use order::{Step, steps};
