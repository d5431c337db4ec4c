//! W3C trace context, the part that names a span: `00-TRACE-SPAN-FLAGS`. What cannot be read names none.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use std::fmt;

/// The header.
pub const TRACEPARENT: &str = "traceparent";
/// Not a version, by the standard.
const NO_VERSION: u8 = 0xff;

/// One span of one trace, perhaps of another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
}

// === impl TraceParent ===

impl TraceParent {
    /// Reads the header's text; `None` if it is none, or names no trace or span.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let (trace, span) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?);
        let flags = hex(parts.next()?, 2)?;
        // A later version may have more parts; this one has none.
        if version == u128::from(NO_VERSION) || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span) = (TraceId::from(trace), SpanId::from(u64::try_from(span).ok()?));
        let sampled = flags & 1 == 1;
        let valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        valid.then_some(Self { trace, span, sampled })
    }

    /// A trace of its own, that is to be recorded, and a span in it that nobody may ever send.
    #[must_use]
    pub fn random() -> Self {
        let ids = RandomIdGenerator::default();
        Self { trace: ids.new_trace_id(), span: ids.new_span_id(), sampled: true }
    }

    /// Names the trace: 32 digits, hex.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.trace.to_string()
    }

    /// `None` for a span without a trace.
    #[must_use]
    pub fn of(context: &SpanContext) -> Option<Self> {
        let (trace, span) = (context.trace_id(), context.span_id());
        context.is_valid().then(|| Self { trace, span, sampled: context.is_sampled() })
    }

    /// As the SDK names it: a span of another program's.
    #[must_use]
    pub fn context(&self) -> SpanContext {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        SpanContext::new(self.trace, self.span, flags, true, TraceState::NONE)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// So many lower-case digits and nothing else.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let right = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    right.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_again() {
        for text in [GOOD, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"] {
            assert_eq!(TraceParent::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(TraceParent::parse(GOOD).unwrap().trace_id(), "0af7651916cd43dd8448eb211c80319c");
        let made = TraceParent::random();
        assert_eq!(TraceParent::parse(&made.to_string()), Some(made));
        assert_eq!(TraceParent::of(&made.context()), Some(made));
        assert_ne!(made, TraceParent::random());
    }

    #[test]
    fn later_versions_are_read_and_only_the_known_flag_is_kept() {
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-more";
        assert_eq!(TraceParent::parse(later).unwrap().to_string(), GOOD);
    }

    #[test]
    fn anything_else_names_no_span() {
        let upper = GOOD.to_uppercase();
        for text in [
            "",
            "00",
            &upper,
            &GOOD[..54],
            &format!("{GOOD}-more"),
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b71692033310-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }
}
