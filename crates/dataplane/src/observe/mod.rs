//! What is seen of a data plane from outside: counters, metrics, traces.

mod applying;
mod counters;
mod faults;
mod trace;
mod tracer;
mod tries;

pub(crate) use applying::Applying;
pub(crate) use counters::{Core, Gauges, ROUND};
pub(crate) use faults::{BOUNDS_MS, Durations, Endings, Faults};
pub(crate) use trace::{End, Trace};
pub(crate) use tracer::Tracer;
pub(crate) use tries::Tried;
