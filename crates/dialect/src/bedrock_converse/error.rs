//! Error replies: `{"message"}`, with the name of the exception in a header, in `__type` or in a stream's frame.

use crate::fault::{Code, Fault};
use crate::frame::aws::{self, Kind};
use crate::json::{Json, Value};
use bytes::Bytes;

/// What a provider's error reply means. The exception's name stands in a header, which is not seen here; statuses tell
/// them apart well enough.
pub(super) fn decode(status: u16, body: &[u8]) -> Fault {
    let fields = Value::parse(body).and_then(Value::fields);
    let message = fields.ok().and_then(|mut fields| {
        let lower = fields.text("message").ok().flatten();
        lower.or_else(|| fields.text("Message").ok().flatten())
    });
    let message = message.unwrap_or_else(|| "the provider gave no reason".to_owned());
    Fault { status, ..Fault::new(code(status, &message), message) }
}

/// The status that an exception within a stream would have had as a plain reply.
pub(crate) fn exception_status(name: &str) -> u16 {
    match name {
        "validationException" => 400,
        "throttlingException" => 429,
        "modelTimeoutException" => 408,
        "modelStreamErrorException" => 424,
        "serviceUnavailableException" => 503,
        _ => 500,
    }
}

/// What an exception within a stream means.
pub(super) fn decode_event(name: &str, error: &str, payload: &[u8]) -> Fault {
    let fault = decode(exception_status(name), payload);
    if error.is_empty() { fault } else { Fault { message: error.to_owned(), ..fault } }
}

fn code(status: u16, message: &str) -> Code {
    let of_window = ["too long", "context window", "maximum context length", "too many input tokens"];
    match status {
        400 if of_window.iter().any(|words| message.to_ascii_lowercase().contains(words)) => {
            Code::ContextLengthExceeded
        }
        // The model itself failed, on a request that was well formed.
        424 => Code::UpstreamError,
        _ => Code::of_status(status),
    }
}

/// The body of an error reply. SDKs find the exception's name in `__type`, so that no header is needed; `code` would
/// be taken for that name, therefore ours is called `error_code`.
pub(crate) fn encode(fault: &Fault) -> Bytes {
    let mut body = Vec::with_capacity(256);
    write(&mut Json::new(&mut body), fault, Some(exception(fault.status)));
    body.into()
}

/// The exception that ends a stream that has begun.
pub(crate) fn encode_event(fault: &Fault, out: &mut Vec<u8>) {
    let name = match fault.status {
        429 => "throttlingException",
        424 | 500 | 502 => "modelStreamErrorException",
        503 | 504 | 529 => "serviceUnavailableException",
        400..=499 => "validationException",
        _ => "internalServerException",
    };
    let mut payload = Vec::with_capacity(256);
    write(&mut Json::new(&mut payload), fault, None);
    aws::write(Kind::Exception, name, &payload, out);
}

fn write(json: &mut Json<'_>, fault: &Fault, exception: Option<&str>) {
    json.open_object().maybe("__type", exception).member("message", &fault.message);
    json.member("error_code", fault.code.as_str()).maybe("reason", fault.reason);
    json.maybe("param", fault.param.as_deref());
    let id = Some(fault.request_id.as_str()).filter(|id| !id.is_empty());
    json.maybe("request_id", id);
    let shown =
        fault.attempts.get(..fault.attempts.len().min(crate::fault::ATTEMPTS_LIMIT)).unwrap_or_default();
    if !shown.is_empty() {
        json.key("attempts").number(shown);
    }
    json.close_object();
}

/// The name of the exception that SDKs raise for a status.
pub(crate) fn exception(status: u16) -> &'static str {
    match status {
        401 => "UnrecognizedClientException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 | 529 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    }
}
