//! Error replies: `{"message"}`, with an `id`; in a stream a `message-end` whose reason is `ERROR`.

use crate::fault::{ATTEMPTS_LIMIT, Code, Fault};
use crate::frame::sse;
use crate::json::{Json, Value};
use bytes::Bytes;

/// What a provider's error reply means.
pub(super) fn decode(status: u16, body: &[u8]) -> Fault {
    let fields = Value::parse(body).and_then(Value::fields);
    let message = fields.ok().and_then(|mut fields| fields.text("message").ok().flatten());
    let message = message.unwrap_or_else(|| "the provider gave no reason".to_owned());
    Fault { status, ..Fault::new(code(status, &message), message) }
}

/// The status that a reason for the end stands for; none if the answer is one.
pub(crate) fn failed_status(reason: &str) -> Option<u16> {
    match reason {
        "TIMEOUT" => Some(504),
        "ERROR" => Some(500),
        _ => None,
    }
}

/// What a stream that ended with an error means.
pub(super) fn decode_event(reason: &str, message: Option<String>) -> Fault {
    let status = failed_status(reason).unwrap_or(500);
    let message = message.unwrap_or_else(|| "the provider gave no reason".to_owned());
    Fault { status, ..Fault::new(code(status, &message), message) }
}

fn code(status: u16, message: &str) -> Code {
    match status {
        400 | 422 if message.contains("too many tokens") => Code::ContextLengthExceeded,
        // A refused token, which is not the caller's.
        498 => Code::UpstreamError,
        _ => Code::of_status(status),
    }
}

/// The body of an error reply.
pub(crate) fn encode(fault: &Fault) -> Bytes {
    let mut body = Vec::with_capacity(256);
    let json = &mut Json::new(&mut body);
    json.open_object().member("id", &fault.request_id).member("message", &fault.message);
    more(json, fault);
    json.close_object();
    body.into()
}

/// The event that ends a stream that has begun.
pub(crate) fn encode_event(fault: &Fault, out: &mut Vec<u8>) {
    sse::write(Some("message-end"), out, |json| {
        json.open_object().member("type", "message-end").member("id", &fault.request_id);
        json.key("delta").open_object().member("finish_reason", "ERROR").member("error", &fault.message);
        more(json, fault);
        json.close_object().close_object();
    });
}

/// What the gateway tells beyond the dialect.
fn more(json: &mut Json<'_>, fault: &Fault) {
    json.member("code", fault.code.as_str())
        .maybe("reason", fault.reason)
        .maybe("param", fault.param.as_deref());
    let shown = fault.attempts.get(..fault.attempts.len().min(ATTEMPTS_LIMIT)).unwrap_or_default();
    if !shown.is_empty() {
        json.key("attempts").number(shown);
    }
}
