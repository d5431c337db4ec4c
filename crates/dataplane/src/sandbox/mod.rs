//! The built-in provider: answers `sandbox/echo` itself, with no network, in the caller's dialect. It takes tools,
//! unknown fields and any `stream_options`.

mod anthropic;
mod openai;

use bytes::Bytes;
use keyway_snapshot::{Dialect, Endpoint};
use serde_json::Value;
use std::collections::VecDeque;

/// Characters of the caller's text that are echoed.
const ECHO_LIMIT: usize = 2_000;

/// What the sandbox says.
#[derive(Debug)]
pub(crate) enum Said {
    Whole(Bytes),
    /// And what tells of usage, where the caller did not ask for it.
    Events(VecDeque<Bytes>, Option<Bytes>),
}

impl Said {
    /// How many.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Whole(body) => body.len() as u64,
            Self::Events(events, _) => events.iter().map(|event| event.len() as u64).sum(),
        }
    }
}

/// The facts of one answer.
struct Echo<'a> {
    id: &'a str,
    model: &'a str,
    text: String,
    input: u64,
    output: u64,
    created: u64,
    wants_usage: bool,
}

/// Whether the sandbox has this endpoint.
pub(crate) fn serves(dialect: Dialect, endpoint: Endpoint) -> bool {
    matches!(
        (dialect, endpoint),
        (Dialect::OpenaiChat, Endpoint::ChatCompletions)
            | (Dialect::AnthropicMessages, Endpoint::Messages | Endpoint::CountTokens)
    )
}

/// In builds for development alone a field of the body fails the request as none should fail, so that what follows can be
/// tested.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "a fault that no other test can bring about")]
fn fail_if_asked(asked: &Value) {
    if asked.get("sandbox_panic") == Some(&Value::Bool(true)) {
        panic!("the sandbox was asked to fail");
    }
}

/// Answers a call; `None` where the sandbox has no such endpoint.
pub(crate) fn answer(
    (dialect, endpoint): (Dialect, Endpoint),
    body: &[u8],
    (id, model): (&str, &str),
    stream: bool,
    created: u64,
) -> Option<Said> {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    #[cfg(debug_assertions)]
    fail_if_asked(&asked);
    let said = last_text(&asked);
    // Agents wrap their own context in markup and hide it when it comes back: an echo of it would be no visible answer.
    let is_markup = said.trim_start().starts_with('<');
    let text = if said.is_empty() || is_markup { "Hello from the Keyway sandbox.".to_owned() } else { said };
    let wants_usage =
        asked.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false);
    let echo =
        Echo { id, model, input: words(&asked), output: word_count(&text), text, created, wants_usage };
    match (dialect, endpoint, stream) {
        (Dialect::OpenaiChat, Endpoint::ChatCompletions, false) => Some(Said::Whole(openai::whole(&echo))),
        (Dialect::OpenaiChat, Endpoint::ChatCompletions, true) => {
            let unheard = (!echo.wants_usage).then(|| openai::counted(&echo));
            Some(Said::Events(openai::events(&echo), unheard))
        }
        (Dialect::AnthropicMessages, Endpoint::Messages, false) => Some(Said::Whole(anthropic::whole(&echo))),
        (Dialect::AnthropicMessages, Endpoint::Messages, true) => {
            Some(Said::Events(anthropic::events(&echo), None))
        }
        (Dialect::AnthropicMessages, Endpoint::CountTokens, _) => Some(Said::Whole(anthropic::count(&echo))),
        _ => None,
    }
}

/// The text of the last message, whichever of the two shapes it has.
fn last_text(asked: &Value) -> String {
    let last = asked.get("messages").and_then(Value::as_array).and_then(|all| all.last());
    let text = match last.and_then(|message| message.get("content")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    };
    text.chars().take(ECHO_LIMIT).collect()
}

fn words(asked: &Value) -> u64 {
    match asked {
        Value::String(text) => word_count(text),
        Value::Array(all) => all.iter().map(words).sum(),
        Value::Object(all) => {
            ["messages", "system", "content", "text"].iter().filter_map(|key| all.get(*key)).map(words).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn word_count(text: &str) -> u64 {
    text.split_whitespace().count().max(1) as u64
}

/// The text in the pieces in which a stream brings it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}
