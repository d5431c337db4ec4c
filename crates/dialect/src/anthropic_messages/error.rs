//! Error replies and error events: `{"type": "error", "error": {"type", "message"}}`.

use crate::fault::{Code, Fault};
use crate::json::Value;
use crate::stream::Refused;

/// How the dialect begins to say that the window is full; it has no code for it.
const TOO_LONG: &str = "prompt is too long";

/// What a provider's error reply means.
pub(super) fn decode(status: u16, body: &[u8]) -> Fault {
    let outer = Value::parse(body).and_then(Value::fields).ok();
    let error = outer.and_then(|mut outer| outer.take("error")?.fields().ok());
    let message = error.and_then(|mut error| error.text("message").ok().flatten());
    let Some(message) = message else {
        return Fault { status, ..Fault::new(Code::of_status(status), "the provider gave no reason") };
    };
    let code = if status == 400 && message.starts_with(TOO_LONG) {
        Code::ContextLengthExceeded
    } else {
        Code::of_status(status)
    };
    Fault { status, ..Fault::new(code, message) }
}

/// What an error event means; its status follows from its type.
pub(super) fn decode_event(data: &[u8]) -> Fault {
    decode(Refused::read(data).status, data)
}
