//! What is seen of a data plane from outside: counters, metrics, traces.

mod counters;
mod faults;
mod otlp;
mod trace;
mod tracer;
mod tries;

pub use otlp::Otlp;

pub(crate) use counters::{Core, Gauges};
pub(crate) use faults::{BOUNDS_MS, Durations, Endings, Faults};
pub(crate) use otlp::{Exporting, Spans};
pub(crate) use trace::{End, Trace};
pub(crate) use tracer::Tracer;
pub(crate) use tries::Tried;
