//! Begins traces. A worker has one only if a collector is configured.

use super::{Trace, applying::Changes};
use crate::ingress::{Asked, endpoint};
use http::{HeaderMap, Method, request::Parts};
use keyway_telemetry::Exporting;
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span, SpanBuilder, SpanKind},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};
use std::sync::Arc;
use ulid::Ulid;

/// Makes spans.
#[derive(Debug, Clone)]
pub(crate) struct Tracer {
    requests: SdkTracer,
    changes: Arc<Changes>,
}

/// W3C trace context of a caller.
struct Headers<'a>(&'a HeaderMap);

// === impl Tracer ===

impl Tracer {
    pub(crate) fn new(exporting: &Exporting) -> Self {
        Self { requests: exporting.sdk(), changes: Arc::new(Changes::new(exporting.tracer())) }
    }

    /// For changes of configuration.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    pub(super) fn sdk(&self) -> &SdkTracer {
        &self.requests
    }

    /// The server span of a request, under the caller's span if it named one. `None` if the sampler leaves it out.
    pub(crate) fn begin(&self, head: &Parts, id: &Ulid) -> Option<Box<Trace>> {
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(&head.headers));
        let method = method(&head.method);
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.unwrap_or("_OTHER")),
            KeyValue::new("keyway.request_id", id.to_string()),
        ];
        // Only names of our own: a path that is not ours may hold anything.
        let name = match route(&head.method, head.uri.path()) {
            Some(route) => {
                attributes.push(KeyValue::new("http.route", route));
                format!("{} {route}", method.unwrap_or("HTTP")).into()
            }
            None => method.unwrap_or("HTTP").into(),
        };
        let span = SpanBuilder {
            name,
            span_kind: Some(SpanKind::Server),
            attributes: Some(attributes),
            ..SpanBuilder::default()
        };
        let span = span.start_with_context(&self.requests, &parent);
        span.is_recording().then(|| Box::new(Trace::new(self.clone(), span)))
    }
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Standard methods; others are of the caller's making and would be names without bound.
fn method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| method.as_str() == *known)
}

fn route(method: &Method, path: &str) -> Option<&'static str> {
    Some(match endpoint(method, path).ok()? {
        Asked::Models(None) => "/v1/models",
        Asked::Models(Some(_)) => "/v1/models/{model}",
        Asked::Call(called) => {
            keyway_snapshot::route(called.dialect, called.endpoint, called.stream.unwrap_or_default())
        }
    })
}
