//! Error replies and failed runs: `{"error": {"message", "type", "param", "code"}}`; a run's error has no type.

use crate::fault::{Code, Fault};
use crate::json::{Fields, Value};
use crate::stream::Refused;

/// What a provider's error reply means, or the whole reply of a failed run, which comes with status 200.
pub(super) fn decode(status: u16, body: &[u8]) -> Fault {
    let error = Value::parse(body).and_then(Value::fields).ok().map(inner);
    let mut word = Words(error);
    let (message, kind, said) = (word.take("message"), word.take("type"), word.take("code"));
    let param = Some(word.take("param")).filter(|param| !param.is_empty());
    let message = if message.is_empty() { "the provider gave no reason".to_owned() } else { message };
    let status = if status < 400 { Refused::read(body).status } else { status };
    match filtered(&said, &kind) {
        true => Fault { status: 400, param, ..Fault::new(Code::ContentFilter, message) },
        false if said == "context_length_exceeded" => {
            Fault { status: 400, param, ..Fault::new(Code::ContextLengthExceeded, message) }
        }
        false => Fault { status, param, ..Fault::new(Code::of_status(status), message) },
    }
}

/// The object that tells: a failed run has it in its `response`, an `error` event has its members at the top.
fn inner(mut outer: Fields<'_>) -> Fields<'_> {
    let mut outer = match outer.with("response", Value::fields) {
        Ok(Some(response)) => response,
        _ => outer,
    };
    match outer.with("error", Value::fields) {
        Ok(Some(error)) => error,
        _ => outer,
    }
}

fn filtered(code: &str, kind: &str) -> bool {
    const WORDS: [&str; 4] =
        ["content_filter", "bio_policy", "misalignment_policy_violation", "image_content_policy_violation"];
    WORDS.contains(&code) || WORDS.contains(&kind)
}

/// Members that are text.
struct Words<'a>(Option<Fields<'a>>);

impl Words<'_> {
    fn take(&mut self, name: &str) -> String {
        self.0.as_mut().and_then(|error| error.text(name).ok().flatten()).unwrap_or_default()
    }
}
