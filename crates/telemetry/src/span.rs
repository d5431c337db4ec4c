//! Spans by hand: each names its parent, nothing is kept in threads or tasks. Made for what happens a few times a
//! second; a path that is hotter uses the SDK itself.

use crate::TraceParent;
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt},
};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use parking_lot::Mutex;
use std::{borrow::Cow, sync::Arc};

const ERROR: &str = "error.type";

/// Makes spans. Without a collector it makes none, and passes on whose trace it is.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<SdkTracer>);

/// A span under way, shared by its clones. It ends with [`Span::end`], or when the last of them is dropped.
#[derive(Debug, Clone, Default)]
pub struct Span {
    tracer: Tracer,
    parent: Option<TraceParent>,
    span: Option<Arc<Mutex<SdkSpan>>>,
}

// === impl Tracer ===

impl Tracer {
    pub(crate) fn new(tracer: SdkTracer) -> Self {
        Self(Some(tracer))
    }

    /// Whether it makes any.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The first span that this program has of a trace: below `parent` if another program began it.
    #[must_use]
    pub fn root(&self, name: impl Into<Cow<'static, str>>, parent: Option<TraceParent>) -> Span {
        self.start(name.into(), SpanKind::Internal, parent)
    }

    /// As [`Self::root`], for an answer to somebody.
    #[must_use]
    pub fn server(&self, name: impl Into<Cow<'static, str>>, parent: Option<TraceParent>) -> Span {
        self.start(name.into(), SpanKind::Server, parent)
    }

    /// A span below the one that a text names as `traceparent` does; none if it names none.
    #[must_use]
    pub fn child(&self, parent: &str, name: impl Into<Cow<'static, str>>) -> Span {
        match TraceParent::parse(parent) {
            Some(parent) => self.start(name.into(), SpanKind::Internal, Some(parent)),
            None => Span::default(),
        }
    }

    fn start(&self, name: Cow<'static, str>, kind: SpanKind, parent: Option<TraceParent>) -> Span {
        let span = self.0.as_ref().map(|tracer| {
            let within = parent.map_or_else(Context::new, |parent| {
                Context::new().with_remote_span_context(parent.context())
            });
            let builder = SpanBuilder { name, span_kind: Some(kind), ..SpanBuilder::default() };
            Arc::new(Mutex::new(builder.start_with_context(tracer, &within)))
        });
        Span { tracer: self.clone(), parent, span }
    }
}

// === impl Span ===

impl Span {
    /// A span below it.
    #[must_use]
    pub fn child(&self, name: impl Into<Cow<'static, str>>) -> Self {
        match self.context() {
            Some(context) => self.tracer.start(name.into(), SpanKind::Internal, Some(context)),
            None => Self::default(),
        }
    }

    /// What others are to call their parent; where nothing is recorded, the parent that it was given.
    #[must_use]
    pub fn context(&self) -> Option<TraceParent> {
        let own = self.span.as_ref().and_then(|span| TraceParent::of(span.lock().span_context()));
        own.or(self.parent)
    }

    /// [`Self::context`] as `traceparent` has it; empty = not traced.
    #[must_use]
    pub fn traceparent(&self) -> String {
        self.context().map(|context| context.to_string()).unwrap_or_default()
    }

    /// Whether anybody will see it.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.span.as_ref().is_some_and(|span| span.lock().is_recording())
    }

    /// Says something of it. Names, counts and versions; never a secret.
    pub fn set(&self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &self.span {
            span.lock().set_attribute(KeyValue::new(name, value));
        }
    }

    /// It failed, for a reason in a fixed word.
    pub fn fail(&self, reason: &'static str) {
        self.set(ERROR, reason);
        if let Some(span) = &self.span {
            span.lock().set_status(Status::error(""));
        }
    }

    /// It is over. Later calls change nothing.
    pub fn end(&self) {
        if let Some(span) = &self.span {
            span.lock().end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exporting;

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn without_a_collector_the_callers_context_goes_through() {
        let off = Tracer::default();
        let span = off.server("POST /x", TraceParent::parse(CALLER));
        span.set("keyway.key", "sim/main");
        span.end();
        assert!(!off.is_on() && !span.is_recording());
        assert_eq!(span.traceparent(), CALLER);
        assert_eq!(span.child("journal").traceparent(), CALLER);
        assert_eq!(off.child(CALLER, "push").traceparent(), CALLER);
        assert_eq!(off.root("start", None).child("push").traceparent(), "");
        assert_eq!(off.child("", "push").traceparent(), "");
    }

    #[test]
    fn spans_stay_in_their_trace_and_unnamed_parents_make_none() {
        // Nothing listens on port 9 of this machine.
        let exporting = Exporting::start("http://127.0.0.1:9", "test", "i").unwrap();
        let tracer = exporting.tracer();
        let span = tracer.server("POST /x", TraceParent::parse(CALLER));
        let (own, child) = (span.traceparent(), span.child("journal").traceparent());
        assert!(span.is_recording() && own != CALLER && child != own);
        assert!(own.starts_with(&CALLER[..36]) && child.starts_with(&CALLER[..36]), "{own} {child}");
        assert!(!tracer.child("", "journal").is_recording());
        let unsampled = CALLER.replace("-01", "-00");
        assert!(!tracer.child(&unsampled, "journal").is_recording());
        assert!(tracer.child(&unsampled, "journal").traceparent().ends_with("-00"));
    }
}
