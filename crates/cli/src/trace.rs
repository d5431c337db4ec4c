//! The trace of one command. Whatever it changes happens below its span in the control plane and the data planes. The
//! span itself is sent only where a collector is set; the trace's name always goes along.

use std::cell::OnceCell;
use std::time::Duration;

use keyway_telemetry::{Exporting, Otlp, Span, TraceParent, Tracer};

use crate::args::Global;
use crate::print;

/// Of the command line in traces.
const SERVICE: &str = "keyway";
/// What the end of a command waits for the collector.
const FLUSH: Duration = Duration::from_secs(1);

/// Begins with the first call that may change something: what is typed or read before it is no part.
pub(crate) struct Trace {
    command: String,
    otlp: Otlp,
    begun: OnceCell<Begun>,
}

struct Begun {
    span: Span,
    exporting: Option<Exporting>,
}

// === impl Trace ===

impl Trace {
    pub(crate) fn new(global: &Global) -> Self {
        Self { command: global.command.clone(), otlp: global.otlp.clone(), begun: OnceCell::new() }
    }

    /// For the header `traceparent`.
    pub(crate) fn parent(&self) -> String {
        self.begun.get_or_init(|| self.begin()).span.traceparent()
    }

    fn begin(&self) -> Begun {
        // A change is not worth less because nobody can watch it.
        let exporting = self.otlp.start(SERVICE, &std::process::id().to_string()).unwrap_or_else(|error| {
            print::note(&format!("warning: this command is not traced: {error}"));
            None
        });
        let tracer = exporting.as_ref().map_or_else(Tracer::default, Exporting::tracer);
        // Unsent, it names a trace all the same.
        let parent = (!tracer.is_on()).then(TraceParent::random);
        Begun { span: tracer.root(self.command.clone(), parent), exporting }
    }

    /// The command is over; sends its span, within `FLUSH`. Blocks.
    pub(crate) fn end(self, well: bool) {
        let Some(Begun { span, exporting }) = self.begun.into_inner() else { return };
        if !well {
            span.fail("failed");
        }
        span.end();
        if let Some(exporting) = exporting {
            exporting.flush_within(FLUSH);
        }
    }
}
