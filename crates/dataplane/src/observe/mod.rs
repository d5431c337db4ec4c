//! What is seen of a data plane from outside: counters, metrics, traces.

mod counters;
mod faults;
mod tracer;

pub(crate) use counters::{Core, Gauges};
pub(crate) use faults::{BOUNDS_MS, Endings, Faults};
pub(crate) use tracer::Tracer;
