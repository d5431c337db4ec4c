//! Where spans go: OTLP over gRPC, from threads of its own and never from those that work. What the collector does not take in
//! time is dropped and counted; nobody ever waits for it.

use crate::Tracer;
use opentelemetry::{Context, Key, KeyValue, trace::TracerProvider};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter,
        SpanProcessor,
    },
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Ended spans that wait for the collector.
const QUEUE: usize = 8192;
/// What the end of a plane waits for the collector to take the last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// What became of spans.
#[derive(Debug, Default)]
pub struct Spans {
    queued: AtomicU64,
    /// Taken by the collector.
    pub exported: AtomicU64,
    /// Sent and not taken.
    pub failed: AtomicU64,
    /// Never sent, since the queue was full.
    pub dropped: AtomicU64,
}

/// The collector's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("OTEL_EXPORTER_OTLP_ENDPOINT {endpoint}: {source}; give one like http://127.0.0.1:4317, or unset it")]
pub struct Unusable {
    endpoint: String,
    source: io::Error,
}

/// The way of spans to the collector.
#[derive(Debug)]
pub struct Exporting {
    provider: SdkTracerProvider,
    spans: Arc<Spans>,
    /// After the provider, which sends through it.
    _driver: Driver,
}

/// The thread that drives the connection to the collector, until dropped.
#[derive(Debug)]
struct Driver {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
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

// === impl Exporting ===

impl Exporting {
    /// Makes it ready to send to `endpoint`; the collector need not be there yet. Headers, timeout, batches and sampler
    /// are read by the SDK from its standard variables, which may name another service too.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn start(endpoint: &str, service: &'static str, instance: &str) -> Result<Self, Unusable> {
        let unusable = |source| Unusable { endpoint: endpoint.to_owned(), source };
        Self::towards(endpoint, resource(service, instance)).map_err(unusable)
    }

    fn towards(endpoint: &str, resource: Resource) -> io::Result<Self> {
        let driver = Driver::start()?;
        // The connection is the driver's; batches are made on a thread of the SDK's.
        let exporter = {
            let _entered = driver.handle.enter();
            let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint);
            exporter.build().map_err(io::Error::other)?
        };
        let spans = Arc::new(Spans::default());
        let counted = Counted { exporter, spans: Arc::clone(&spans), failing: AtomicBool::new(false) };
        let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
        let batches = BatchSpanProcessor::new(counted, config);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_span_processor(Bounded { batches, spans: Arc::clone(&spans) })
            .build();
        Ok(Self { provider, spans, _driver: driver })
    }

    /// Makes spans that go this way.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        Tracer::new(self.sdk())
    }

    /// As [`Self::tracer`], for a path so hot that it uses the SDK itself.
    #[must_use]
    pub fn sdk(&self) -> SdkTracer {
        self.provider.tracer("keyway")
    }

    /// What became of them.
    #[must_use]
    pub fn spans(&self) -> Arc<Spans> {
        Arc::clone(&self.spans)
    }

    /// Sends what is left, within 2 s. Blocks.
    pub fn flush(self) {
        self.flush_within(LAST_SPANS);
    }

    /// As [`Self::flush`], within another time.
    pub fn flush_within(self, limit: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(limit) {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

// === impl Driver ===

impl Driver {
    fn start() -> io::Result<Self> {
        let (told, handle) = mpsc::sync_channel(1);
        let (end, ended) = oneshot::channel::<()>();
        let drive = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let handle = runtime.as_ref().map(|runtime| runtime.handle().clone());
            // Who started it waits for this.
            let _ = told.send(handle.map_err(|error| io::Error::new(error.kind(), error.to_string())));
            let Ok(runtime) = runtime else { return };
            // An end, or its sender is gone: it is over.
            let _ = runtime.block_on(ended);
            // A name that is being resolved is not waited for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("keyway-traces".to_owned()).spawn(drive)?;
        let handle = handle.recv().map_err(io::Error::other)??;
        Ok(Self { handle, end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It would only tell that it panicked.
            let _ = thread.join();
        }
    }
}

fn resource(service: &'static str, instance: &str) -> Resource {
    let unnamed = Resource::builder()
        .build()
        .get(&Key::from_static_str("service.name"))
        .is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let resource = Resource::builder().with_attributes([
        KeyValue::new("service.instance.id", instance.to_owned()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    if unnamed { resource.with_service_name(service) } else { resource }.build()
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
    fn a_full_queue_drops_and_counts() {
        // Nothing listens on port 9 of this machine, and nothing is sent before the test ends.
        let exporting = Exporting::start("http://127.0.0.1:9", "test", "i").unwrap();
        exporting.spans.queued.store(QUEUE as u64, Relaxed);
        drop(exporting.tracer().root("one too many", None));
        assert_eq!(exporting.spans.dropped.load(Relaxed), 1);
        assert_eq!(exporting.spans.queued.load(Relaxed), QUEUE as u64);
    }
}
