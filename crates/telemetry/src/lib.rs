//! Traces for all programs: the way of spans to a collector, spans made by hand with their parent named, and W3C trace
//! context. Knows what a span is and nothing of what Keyway does in one.

mod exporting;
mod otlp;
mod span;
mod traceparent;

pub use exporting::{Exporting, Spans, Unusable};
pub use otlp::Otlp;
pub use span::{Span, Tracer};
pub use traceparent::{TRACEPARENT, TraceParent};
