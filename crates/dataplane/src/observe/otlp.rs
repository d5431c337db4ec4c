//! Where spans go: OTLP over gRPC, from threads of its own and never from a core's. What the collector does not take in
//! time is dropped and counted; no request ever waits for it.

use super::Tracer;
use opentelemetry::{Context, Key, KeyValue, trace::TracerProvider};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter,
        SpanProcessor,
    },
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::runtime::Runtime;

/// Ended spans that wait for the collector.
const QUEUE: usize = 8192;
/// What the end of a replica waits for the collector to take the last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` name another.
const SERVICE: &str = "keyway-dataplane";

/// Where traces go. Without an endpoint there are none, and nothing is made for them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Otlp {
    /// Collector that takes OTLP over gRPC, such as http://127.0.0.1:4317; without one there are no traces
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Collector for traces where it is another than for the rest
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL")]
    pub otlp_traces_endpoint: Option<String>,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    queued: AtomicU64,
    pub(crate) exported: AtomicU64,
    /// Sent and not taken.
    pub(crate) failed: AtomicU64,
    /// Never sent, since the queue was full.
    pub(crate) dropped: AtomicU64,
}

/// The way of spans to the collector.
pub(crate) struct Exporting {
    provider: SdkTracerProvider,
    runtime: Option<Runtime>,
    spans: Arc<Spans>,
}

/// A queue with a bound, in front of the SDK's own thread.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    spans: Arc<Spans>,
}

/// The SDK's exporter, counted.
#[derive(Debug)]
struct Counted {
    exporter: opentelemetry_otlp::SpanExporter,
    spans: Arc<Spans>,
    failing: AtomicBool,
}

// === impl Otlp ===

impl Otlp {
    /// The collector for traces; a variable that is set and empty counts as not set.
    #[must_use]
    pub fn traces(&self) -> Option<String> {
        let ways = [&self.otlp_traces_endpoint, &self.otlp_endpoint];
        ways.into_iter().flatten().map(|url| url.trim()).find(|url| !url.is_empty()).map(str::to_owned)
    }
}

// === impl Exporting ===

impl Exporting {
    /// Makes it ready to send to `endpoint`; the collector need not be there yet. Headers, timeout, batches and sampler
    /// are read by the SDK from its standard variables.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub(crate) fn start(endpoint: &str, replica: &str) -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("keyway-traces").enable_all().build()?;
        // The connection is driven by this runtime; batches are made on a thread of the SDK's.
        let entered = runtime.enter();
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint);
        let exporter = exporter.build().map_err(io::Error::other)?;
        drop(entered);
        let spans = Arc::new(Spans::default());
        let counted = Counted { exporter, spans: Arc::clone(&spans), failing: AtomicBool::new(false) };
        let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
        let batches = BatchSpanProcessor::new(counted, config);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(replica))
            .with_span_processor(Bounded { batches, spans: Arc::clone(&spans) })
            .build();
        Ok(Self { provider, runtime: Some(runtime), spans })
    }

    /// Makes spans that go this way.
    pub(crate) fn tracer(&self) -> Tracer {
        Tracer::new(self.provider.tracer("keyway"))
    }

    pub(crate) fn spans(&self) -> Arc<Spans> {
        Arc::clone(&self.spans)
    }

    /// Sends what is left, within `LAST_SPANS`. Blocks.
    pub(crate) fn flush(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        // Waits for nothing, so that it may be dropped wherever it is.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn resource(replica: &str) -> Resource {
    let unnamed = Resource::builder()
        .build()
        .get(&Key::from_static_str("service.name"))
        .is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let resource = Resource::builder().with_attributes([
        KeyValue::new("service.instance.id", replica.to_owned()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    if unnamed { resource.with_service_name(SERVICE) } else { resource }.build()
}

// === impl Bounded ===

impl SpanProcessor for Bounded {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.queued.fetch_add(1, Relaxed) >= QUEUE as u64 {
            self.spans.queued.fetch_sub(1, Relaxed);
            self.spans.dropped.fetch_add(1, Relaxed);
        } else {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

// === impl Counted ===

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        self.spans.queued.fetch_sub(count, Relaxed);
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => {
                self.spans.exported.fetch_add(count, Relaxed);
                self.failing.store(false, Relaxed);
            }
            Err(error) => {
                self.spans.failed.fetch_add(count, Relaxed);
                if !self.failing.swap(true, Relaxed) {
                    tracing::warn!(%error, "the collector of OTEL_EXPORTER_OTLP_ENDPOINT takes no spans");
                }
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_for_traces_wins_and_empty_is_unset() {
        let of = |all: Option<&str>, traces: Option<&str>| Otlp {
            otlp_endpoint: all.map(str::to_owned),
            otlp_traces_endpoint: traces.map(str::to_owned),
        };
        assert_eq!(of(None, None).traces(), None);
        assert_eq!(of(Some(""), Some(" ")).traces(), None);
        assert_eq!(of(Some("http://a"), Some("")).traces().as_deref(), Some("http://a"));
        assert_eq!(of(Some("http://a"), Some("http://b")).traces().as_deref(), Some("http://b"));
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        // Nothing listens on port 9 of this machine, and nothing is sent before the test ends.
        let exporting = Exporting::start("http://127.0.0.1:9", "r").unwrap();
        exporting.spans.queued.store(QUEUE as u64, Relaxed);
        let head = http::Request::post("/v1/messages").body(()).unwrap().into_parts().0;
        drop(exporting.tracer().begin(&head, &ulid::Ulid::nil()).unwrap());
        assert_eq!(exporting.spans.dropped.load(Relaxed), 1);
        assert_eq!(exporting.spans.queued.load(Relaxed), QUEUE as u64);
    }
}
