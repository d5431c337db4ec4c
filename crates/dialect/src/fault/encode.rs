//! Faults as JSON bodies and as error events of streams, in each dialect's form and with its names of types.

use super::{ATTEMPTS_LIMIT, Attempted, Code, Fault};
use crate::{bedrock_converse, cohere_chat};
use bytes::{BufMut, Bytes, BytesMut};
use keyway_proto::snapshot::v1::{Dialect, Endpoint};
use serde::Serialize;

/// The body that an OpenAI SDK expects. `request_id` stands beside the error, as in Anthropic's form.
#[derive(Serialize)]
struct OpenaiBody<'a> {
    error: OpenaiError<'a>,
    request_id: &'a str,
}

/// `param` and `code` are always there, as OpenAI writes them.
#[derive(Serialize)]
struct OpenaiError<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attempts: &'a [Attempted],
}

#[derive(Serialize)]
struct AnthropicBody<'a> {
    r#type: &'static str,
    error: AnthropicError<'a>,
    request_id: &'a str,
}

/// SDKs read `details.error_code`; `code` is for those who read bodies.
#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'static str,
    message: &'a str,
    details: AnthropicDetails,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attempts: &'a [Attempted],
}

#[derive(Serialize)]
struct AnthropicDetails {
    error_code: &'static str,
}

/// The official event has its fields at the top; SDKs raise only if there is an `error` too, so it has both. Its
/// `sequence_number` is left out: only the target knew it.
#[derive(Serialize)]
struct ResponsesEvent<'a> {
    r#type: &'static str,
    code: &'static str,
    message: &'a str,
    param: Option<&'a str>,
    error: OpenaiError<'a>,
    request_id: &'a str,
}

/// SDKs raise if `error` comes first. Its code is the status; the contract's code is the reason of an `ErrorInfo`.
#[derive(Serialize)]
struct GeminiBody<'a> {
    error: GeminiError<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct GeminiError<'a> {
    code: u16,
    message: &'a str,
    status: &'static str,
    details: Vec<GeminiDetail<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attempts: &'a [Attempted],
}

/// Google's own kinds of details: <https://cloud.google.com/apis/design/errors#error_details>.
#[derive(Serialize)]
#[serde(tag = "@type", rename_all_fields = "camelCase")]
enum GeminiDetail<'a> {
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    Info { reason: &'static str, domain: &'static str, metadata: GeminiMetadata },
    #[serde(rename = "type.googleapis.com/google.rpc.BadRequest")]
    BadRequest { field_violations: [GeminiViolation<'a>; 1] },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo")]
    Retry { retry_delay: String },
}

#[derive(Serialize)]
struct GeminiMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct GeminiViolation<'a> {
    field: &'a str,
    description: &'a str,
}

/// The body of an error reply in the caller's dialect; its content type is `application/json`.
#[must_use]
pub fn encode(fault: &Fault, dialect: Dialect) -> Bytes {
    match dialect {
        Dialect::AnthropicMessages => json(&[], &anthropic(fault), &[]),
        Dialect::Gemini => json(&[], &gemini(fault), &[]),
        Dialect::BedrockConverse => bedrock_converse::encode_fault(fault),
        Dialect::CohereChat => cohere_chat::encode_fault(fault),
        Dialect::Unspecified | Dialect::OpenaiChat | Dialect::OpenaiResponses => {
            json(&[], &openai(fault), &[])
        }
    }
}

/// The header, name and value, that an error reply carries beside its body, where SDKs look for the exception's name.
#[must_use]
pub fn header(fault: &Fault, dialect: Dialect) -> Option<(&'static str, &'static str)> {
    match dialect {
        Dialect::BedrockConverse => Some(("x-amzn-errortype", bedrock_converse::fault_name(fault.status))),
        Dialect::Unspecified
        | Dialect::OpenaiChat
        | Dialect::OpenaiResponses
        | Dialect::AnthropicMessages
        | Dialect::Gemini
        | Dialect::CohereChat => None,
    }
}

/// The event that ends a stream that has begun, in the form of the endpoint, without an end marker.
#[must_use]
pub fn encode_event(fault: &Fault, dialect: Dialect, endpoint: Endpoint) -> Bytes {
    const NAMED: &[u8] = b"event: error\ndata: ";
    const END: &[u8] = b"\n\n";
    match (dialect, endpoint) {
        (Dialect::AnthropicMessages, _) => json(NAMED, &anthropic(fault), END),
        (Dialect::Gemini, _) => json(b"data: ", &gemini(fault), END),
        (Dialect::BedrockConverse, _) => {
            let mut frame = Vec::new();
            bedrock_converse::encode_fault_event(fault, &mut frame);
            frame.into()
        }
        (Dialect::CohereChat, _) => {
            let mut event = Vec::new();
            cohere_chat::encode_fault_event(fault, &mut event);
            event.into()
        }
        (Dialect::OpenaiResponses, _) | (_, Endpoint::Responses) => {
            let OpenaiBody { error, request_id } = openai(fault);
            let (code, message, param) = (error.code, error.message, error.param);
            json(NAMED, &ResponsesEvent { r#type: "error", code, message, param, error, request_id }, END)
        }
        _ => json(b"data: ", &openai(fault), END),
    }
}

fn openai(fault: &Fault) -> OpenaiBody<'_> {
    let error = OpenaiError {
        message: &fault.message,
        r#type: openai_type(fault),
        param: fault.param.as_deref(),
        code: fault.code.as_str(),
        reason: fault.reason,
        attempts: shown(fault),
    };
    OpenaiBody { error, request_id: &fault.request_id }
}

fn anthropic(fault: &Fault) -> AnthropicBody<'_> {
    let error = AnthropicError {
        r#type: anthropic_type(fault.status),
        message: &fault.message,
        details: AnthropicDetails { error_code: fault.code.as_str() },
        code: fault.code.as_str(),
        param: fault.param.as_deref(),
        reason: fault.reason,
        attempts: shown(fault),
    };
    AnthropicBody { r#type: "error", error, request_id: &fault.request_id }
}

fn gemini(fault: &Fault) -> GeminiBody<'_> {
    let (code, message) = (fault.status, fault.message.as_str());
    let metadata = GeminiMetadata { reason: fault.reason };
    let info = GeminiDetail::Info { reason: fault.code.as_str(), domain: "keyway", metadata };
    let field = fault.param.as_deref();
    let violations = field.map(|field| GeminiDetail::BadRequest {
        field_violations: [GeminiViolation { field, description: message }],
    });
    let retry = fault.retry_after.map(|wait| GeminiDetail::Retry { retry_delay: format!("{wait}s") });
    let details = [Some(info), violations, retry].into_iter().flatten().collect();
    let status = gemini_status(fault.status);
    let error = GeminiError { code, message, status, details, attempts: shown(fault) };
    GeminiBody { error, request_id: &fault.request_id }
}

fn shown(fault: &Fault) -> &[Attempted] {
    fault.attempts.get(..ATTEMPTS_LIMIT.min(fault.attempts.len())).unwrap_or_default()
}

fn openai_type(fault: &Fault) -> &'static str {
    match (fault.code, fault.status) {
        (Code::BudgetExceeded, _) => "insufficient_quota",
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 429) => "rate_limit_error",
        (_, 408 | 504) => "timeout_error",
        (_, 500..) => "server_error",
        _ => "invalid_request_error",
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn gemini_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 | 403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        502 | 503 | 529 => "UNAVAILABLE",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

fn json(before: &[u8], value: &impl Serialize, after: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_slice(before);
    // Writing strings and numbers to memory cannot fail; if it ever did, the body would be short, not wrong.
    let _ = serde_json::to_writer((&mut bytes).writer(), value);
    bytes.put_slice(after);
    bytes.freeze()
}
