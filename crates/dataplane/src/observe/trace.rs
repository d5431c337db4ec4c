//! One request's spans: the server's, and one for each upstream attempt. They hold names, counts and reasons; never
//! prompts, completions, tokens of clients or keys of providers.

use super::Tracer;
use crate::{attempt::Failure, call::Call, meter::Outcome, route::Step, translate};
use http::StatusCode;
use keyway_dialect::usage::Usage;
use keyway_snapshot::{Client, Endpoint, NanoDollars};
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt},
};
use opentelemetry_sdk::trace::Span;

const ERROR: &str = "error.type";
const STATUS: &str = "http.response.status_code";

/// Open spans of one request.
#[derive(Debug)]
pub(crate) struct Trace {
    tracer: Tracer,
    server: Span,
    /// Open until its answer has ended.
    attempt: Option<Span>,
    /// Why the gateway refused.
    refused: Option<&'static str>,
}

/// What is known of a request at its end.
#[derive(Debug)]
pub(crate) struct End<'a> {
    pub(crate) client: Option<&'a Client>,
    pub(crate) outcome: Outcome,
    /// `None` if there was no answer before the caller left.
    pub(crate) status: Option<StatusCode>,
    pub(crate) usage: Option<&'a Usage>,
    pub(crate) cost: Option<NanoDollars>,
}

// === impl Trace ===

impl Trace {
    pub(super) fn new(tracer: Tracer, server: Span) -> Self {
        Self { tracer, server, attempt: None, refused: None }
    }

    /// The state that the request is served by.
    pub(crate) fn snapshot(&mut self, version: &impl ToString) {
        self.server.set_attribute(KeyValue::new("keyway.snapshot", version.to_string()));
    }

    /// An attempt begins, with the key of this id.
    pub(crate) fn attempt(&mut self, call: &Call, step: &Step, key: &str) {
        let target = &step.target;
        let operation = operation(call.endpoint);
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", operation),
            KeyValue::new("gen_ai.provider.name", target.provider.name.to_string()),
            KeyValue::new("gen_ai.request.model", target.model.to_string()),
            KeyValue::new("keyway.key", key.to_owned()),
        ];
        let surface = translate::surface(target, call.dialect, (call.endpoint, call.stream));
        if let Some(url) = surface.and_then(|(surface, endpoint)| surface.url(endpoint, call.stream)) {
            attributes.push(KeyValue::new("server.address", url.origin.host.to_string()));
            attributes.push(KeyValue::new("server.port", i64::from(url.origin.port)));
        }
        let brought =
            self.tracer.changes().brought(key).map(|change| vec![Link::with_context(change.context())]);
        let span = SpanBuilder {
            name: format!("{operation} {}", target.model).into(),
            span_kind: Some(SpanKind::Client),
            attributes: Some(attributes),
            links: brought,
            ..SpanBuilder::default()
        };
        let within = Context::new().with_remote_span_context(self.server.span_context().clone());
        self.attempt = Some(span.start_with_context(self.tracer.sdk(), &within));
    }

    /// The attempt brought no answer.
    pub(crate) fn attempt_failed(&mut self, failure: &Failure) {
        let Some(mut span) = self.attempt.take() else { return };
        if let Some(status) = failure.status {
            span.set_attribute(KeyValue::new(STATUS, i64::from(status.as_u16())));
        }
        fail(&mut span, failure.reason);
        span.end();
    }

    /// The first content of a stream goes to the caller.
    pub(crate) fn first_token(&mut self) {
        self.server.add_event("first_token", Vec::new());
    }

    /// The gateway ends the request with this code or reason.
    pub(crate) fn refused(&mut self, reason: &'static str) {
        self.refused = Some(reason);
    }

    /// The last byte has gone out, or none will.
    pub(crate) fn end(mut self, end: &End<'_>) {
        if let Some(mut attempt) = self.attempt.take() {
            close_attempt(&mut attempt, end);
        }
        let span = &mut self.server;
        if let Some(client) = end.client {
            span.set_attribute(KeyValue::new("keyway.client", client.name.to_string()));
            if !client.team.is_empty() {
                span.set_attribute(KeyValue::new("keyway.team", client.team.to_string()));
            }
        }
        if let Some(status) = end.status {
            span.set_attribute(KeyValue::new(STATUS, i64::from(status.as_u16())));
        }
        if let Some(cost) = end.cost {
            span.set_attribute(KeyValue::new(
                "keyway.cost_nanodollars",
                i64::try_from(cost.0).unwrap_or(i64::MAX),
            ));
        }
        match (end.outcome, end.status) {
            (Outcome::Served, _) => {}
            (Outcome::Broken(reason), _) => fail(span, reason),
            (Outcome::Cancelled, _) => span.set_attribute(KeyValue::new(ERROR, "cancelled")),
            (Outcome::Refused, status) => {
                let status = status.unwrap_or_default();
                let reason = self.refused.map_or_else(|| status.as_str().to_owned(), str::to_owned);
                span.set_attribute(KeyValue::new(ERROR, reason));
                // A caller's mistake is no fault of the server's (semantic conventions for HTTP).
                if status.is_server_error() {
                    span.set_status(Status::error(""));
                }
            }
        }
        span.end();
    }
}

fn close_attempt(span: &mut Span, end: &End<'_>) {
    if let Some(status) = end.status {
        span.set_attribute(KeyValue::new(STATUS, i64::from(status.as_u16())));
    }
    if let Some(usage) = end.usage {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        span.set_attribute(KeyValue::new("gen_ai.usage.input_tokens", count(usage.input_total())));
        span.set_attribute(KeyValue::new("gen_ai.usage.output_tokens", count(usage.output_total())));
    }
    match end.outcome {
        Outcome::Served | Outcome::Refused => {}
        Outcome::Broken(reason) => fail(span, reason),
        Outcome::Cancelled => span.set_attribute(KeyValue::new(ERROR, "cancelled")),
    }
    span.end();
}

fn fail(span: &mut Span, reason: &'static str) {
    span.set_attribute(KeyValue::new(ERROR, reason));
    span.set_status(Status::error(""));
}

/// As the GenAI conventions name it, where they have a name.
fn operation(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Messages | Endpoint::Responses => "chat",
        Endpoint::Completions => "text_completion",
        Endpoint::Embeddings | Endpoint::EmbeddingsBatch => "embeddings",
        Endpoint::CountTokens => "count_tokens",
        Endpoint::Rerank => "rerank",
        Endpoint::Moderations => "moderation",
        Endpoint::ImagesGenerations | Endpoint::ImagesEdits | Endpoint::ImagesVariations => "image",
        Endpoint::AudioSpeech => "speech",
        Endpoint::AudioTranscriptions | Endpoint::AudioTranslations => "transcription",
        Endpoint::Invoke | Endpoint::Models | Endpoint::Unspecified => "other",
    }
}
