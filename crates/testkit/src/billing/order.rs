//! What a request asks to be answered. It travels in the prompt, so that the simulator needs no script and no gateway can change
//! it unnoticed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::provider::Seen;

/// Stands for the length of the body until it is known, in as many digits.
const LENGTH: &str = "#####";

/// Which API it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/responses`
    Responses,
    /// `/v1/messages`
    Messages,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/images/generations`
    Images,
}

/// What the answer says of usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// The truth.
    #[default]
    Truth,
    /// Nothing.
    Nothing,
    /// A number below zero.
    Negative,
    /// A number that no model can reach.
    Absurd,
}

/// One request's wish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    /// Its name. What comes again under it is one more attempt.
    pub request: String,
    /// Who asks, as the gateway knows it.
    pub client: String,
    /// The alias that it asks for; empty where it names a provider's model.
    pub alias: String,
    /// `k=v`, sorted.
    pub tags: Vec<String>,
    /// Statuses of the first attempts.
    pub fails: Vec<u16>,
    /// Tokens of the prompt, without cached and written ones and images.
    pub input: u64,
    /// Tokens read from the provider's cache.
    pub cached: u64,
    /// Tokens written to it, for five minutes.
    pub written: u64,
    /// Tokens written to it, for an hour.
    pub written_1h: u64,
    /// Tokens of images in the prompt.
    pub images: u64,
    /// Tokens of the answer, reasoning included; of images where those are asked for.
    pub output: u64,
    /// Of these, reasoning.
    pub reasoning: u64,
    /// The service tier that it is served with.
    pub tier: Option<String>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Texts that the answer is made of.
    pub words: Vec<String>,
    /// Of a stream: after so many of them nothing comes until the caller has left.
    pub leave_after: Option<usize>,
    /// Of a stream: after so many of them the connection breaks.
    pub break_after: Option<usize>,
    /// What is said of usage.
    pub told: Told,
    /// Bytes of the body as its caller sent it.
    pub body_bytes: String,
}

// === impl Kind ===

impl Kind {
    /// Where callers send it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Embeddings => "/v1/embeddings",
            Self::Images => "/v1/images/generations",
        }
    }

    fn of(path: &str) -> Option<Self> {
        let all = [Self::Chat, Self::Responses, Self::Messages, Self::Embeddings, Self::Images];
        all.into_iter().find(|kind| kind.path() == path)
    }

    /// Where the prompt stands in a body.
    fn prompt(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages => "/messages/0/content",
            Self::Responses | Self::Embeddings => "/input",
            Self::Images => "/prompt",
        }
    }
}

// === impl Order ===

impl Order {
    /// The body that carries it.
    #[must_use]
    pub fn body(&self, kind: Kind, model: &str) -> String {
        let order = Self { body_bytes: LENGTH.to_owned(), ..self.clone() };
        // An order has only text keys, so it can always be written.
        let prompt = serde_json::to_string(&order).unwrap_or_default();
        let mut body = match kind {
            Kind::Chat => json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] }),
            Kind::Messages => {
                json!({ "model": model, "max_tokens": 64, "messages": [{ "role": "user", "content": prompt }] })
            }
            Kind::Responses | Kind::Embeddings => json!({ "model": model, "input": prompt }),
            Kind::Images => json!({ "model": model, "prompt": prompt }),
        };
        if let Some(body) = body.as_object_mut().filter(|_| self.stream) {
            body.insert("stream".to_owned(), Value::Bool(true));
        }
        let body = body.to_string();
        let length = format!("{:0width$}", body.len(), width = LENGTH.len());
        body.replacen(LENGTH, &length, 1)
    }

    /// The order that came in a request, and by which API.
    #[must_use]
    pub fn of(seen: &Seen) -> Option<(Kind, Self)> {
        let kind = Kind::of(seen.path())?;
        let body = seen.json();
        let prompt = words(body.pointer(kind.prompt())?)?;
        Some((kind, serde_json::from_str(prompt).ok()?))
    }

    /// The words that go out: all, or those before its caller leaves or its connection breaks.
    #[must_use]
    pub fn sent(&self) -> &[String] {
        let count = self.leave_after.or(self.break_after).unwrap_or(self.words.len());
        self.words.get(..count).unwrap_or(&self.words)
    }
}

/// The text of a prompt in whichever form its dialect allows: itself, or the first of a list of messages or parts.
fn words(prompt: &Value) -> Option<&str> {
    match prompt {
        Value::String(text) => Some(text),
        Value::Array(list) => words(list.first()?),
        Value::Object(one) => words(one.get("content").or_else(|| one.get("text"))?),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}
