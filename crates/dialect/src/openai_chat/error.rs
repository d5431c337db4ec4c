//! Error replies: `{"error": {"message", "type", "param", "code"}}`, and the shapes that relatives send.

use crate::fault::{Code, Fault};
use crate::json::{Fields, Value};
use crate::stream::Refused;

const UNSAID: &str = "the provider gave no reason";

/// What a provider's error reply means.
pub(super) fn decode(status: u16, body: &[u8]) -> Fault {
    let error = Value::parse(body).and_then(Value::fields).ok().and_then(inner);
    let Some(mut error) = error else {
        return Fault { status, ..Fault::new(code(status, "", ""), UNSAID) };
    };
    let mut word = |name| error.text(name).ok().flatten().unwrap_or_default();
    let (message, text, kind, said) = (word("message"), word("error"), word("type"), word("code"));
    let message = [message, text].into_iter().find(|words| !words.is_empty());
    let message = message.unwrap_or_else(|| UNSAID.to_owned());
    let param = Some(word("param")).filter(|param| !param.is_empty());
    Fault { status, param, ..Fault::new(code(status, &kind, &said), message) }
}

/// What an error event of a stream means; its status stands in it or follows from its words.
pub(super) fn decode_event(data: &[u8]) -> Fault {
    decode(Refused::read(data).status, data)
}

/// The object that tells; some send it without its envelope, some as a text.
fn inner(mut outer: Fields<'_>) -> Option<Fields<'_>> {
    match outer.peek("error") {
        Some(error) if error.is_object() => outer.take("error")?.fields().ok(),
        _ => Some(outer),
    }
}

fn code(status: u16, kind: &str, code: &str) -> Code {
    match (status, code, kind) {
        (_, "context_length_exceeded", _) => Code::ContextLengthExceeded,
        (_, "content_filter" | "content_policy_violation", _) => Code::ContentFilter,
        _ => Code::of_status(status),
    }
}
