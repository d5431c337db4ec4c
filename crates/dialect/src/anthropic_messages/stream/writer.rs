//! Our events to the caller's. The reason for the end waits for the last counts, which stand in the same event.

use super::super::response::{own, write_usage};
use super::super::wire::{DIALECT, write_stop};
use crate::canon::{Delta, Event, Head, Seal, SealKind, Stop};
use crate::codec::{Asked, Writer};
use crate::fault;
use crate::frame::sse;
use crate::json::Json;
use crate::losses::PICTURE;
use crate::usage::Usage;
use keyway_proto::snapshot::v1::Endpoint;

/// Writes one stream. It holds no text.
#[derive(Debug)]
pub(crate) struct MessagesWriter {
    asked: Asked,
    /// The number of the next block of ours.
    next: u64,
    open: What,
    usage: Usage,
    tier: Option<String>,
    stop: Option<Stop>,
}

/// The block that is open.
#[derive(Debug)]
enum What {
    Nothing,
    Text,
    /// Its beginning is written once it is known to hold text.
    Thinking {
        begun: bool,
        seal: Option<Seal>,
    },
    Call,
    /// The transcript is what can be said of it.
    Sound,
    Picture,
    /// Passed on whole.
    Other,
}

// === impl MessagesWriter ===

impl MessagesWriter {
    pub(crate) fn new(asked: &Asked) -> Self {
        Self {
            asked: asked.clone(),
            next: 0,
            open: What::Nothing,
            usage: Usage::default(),
            tier: None,
            stop: None,
        }
    }

    fn start(&mut self, id: Option<&str>, model: Option<&str>, usage: Option<Usage>, out: &mut Vec<u8>) {
        self.usage = usage.unwrap_or_default();
        event("message_start", out, |json| {
            json.key("message").open_object().member("id", id.unwrap_or(&self.asked.id));
            json.member("type", "message").member("role", "assistant");
            json.member("model", model.unwrap_or(&self.asked.model)).key("content").open_list().close_list();
            write_stop(json, None);
            json.key("usage");
            write_usage(json, self.usage, None);
            json.close_object();
        });
    }

    fn begin(&mut self, out: &mut Vec<u8>, block: impl FnOnce(&mut Json<'_>)) {
        event("content_block_start", out, |json| {
            block(json.key("index").count(self.next).key("content_block"));
        });
    }

    fn delta(&mut self, out: &mut Vec<u8>, kind: &str, field: &str, text: &str) {
        event("content_block_delta", out, |json| {
            json.key("index").count(self.next).key("delta").open_object();
            json.member("type", kind).member(field, text).close_object();
        });
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        event("content_block_stop", out, |json| {
            json.key("index").count(self.next);
        });
        self.next += 1;
    }

    fn open(&mut self, head: &Head, out: &mut Vec<u8>) {
        self.open = match head {
            Head::Text | Head::Refusal => {
                self.begin(out, text);
                What::Text
            }
            Head::Reasoning { .. } => What::Thinking { begun: false, seal: None },
            Head::Call { id, name, .. } => {
                self.begin(out, |json| {
                    json.open_object().member("type", "tool_use").member("id", id).member("name", name);
                    json.key("input").open_object().close_object().close_object();
                });
                What::Call
            }
            Head::Sound { .. } => {
                self.begin(out, text);
                What::Sound
            }
            Head::Image { .. } => {
                self.begin(out, text);
                self.delta(out, "text_delta", "text", PICTURE);
                What::Picture
            }
            Head::Other { dialect: DIALECT, raw } => {
                self.begin(out, |json| {
                    json.raw(raw);
                });
                What::Other
            }
            Head::Other { .. } => What::Nothing,
        };
    }

    fn more(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match (&mut self.open, delta) {
            (What::Text, Delta::Text(text)) | (What::Sound, Delta::Transcript(text)) => {
                self.delta(out, "text_delta", "text", text);
            }
            (What::Text, Delta::Citation(citation)) => {
                if let Some(raw) = own(citation) {
                    event("content_block_delta", out, |json| {
                        json.key("index").count(self.next).key("delta").open_object();
                        json.member("type", "citations_delta").key("citation").raw(raw).close_object();
                    });
                }
            }
            (What::Call, Delta::Text(text)) => self.delta(out, "input_json_delta", "partial_json", text),
            (What::Thinking { begun, .. }, Delta::Text(text)) => {
                if !std::mem::replace(begun, true) {
                    self.begin(out, thinking);
                }
                self.delta(out, "thinking_delta", "thinking", text);
            }
            (What::Thinking { seal, .. }, Delta::Seal(made)) => *seal = Some(made.clone()),
            _ => {}
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.open, What::Nothing) {
            What::Nothing => {}
            What::Thinking { begun, seal } => self.close_thinking(begun, seal.as_ref(), out),
            What::Text | What::Call | What::Sound | What::Picture | What::Other => self.finish(out),
        }
    }

    /// Encrypted thoughts without text are redacted; a stamp alone says nothing and is left out.
    fn close_thinking(&mut self, begun: bool, seal: Option<&Seal>, out: &mut Vec<u8>) {
        let value = seal.map(|seal| seal.wrap(DIALECT)).filter(|value| !value.is_empty());
        let encrypted = seal.is_some_and(|seal| seal.kind == SealKind::Encrypted);
        match value {
            Some(data) if !begun && encrypted => self.begin(out, |json| {
                json.open_object().member("type", "redacted_thinking").member("data", &data).close_object();
            }),
            Some(signature) => {
                if !begun {
                    self.begin(out, thinking);
                }
                self.delta(out, "signature_delta", "signature", &signature);
            }
            None if !begun => return,
            None => {}
        }
        self.finish(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        event("message_delta", out, |json| {
            json.key("delta").open_object();
            write_stop(json, self.stop.as_ref());
            json.close_object().key("usage");
            write_usage(json, self.usage, self.tier.as_deref());
        });
        event("message_stop", out, |_| ());
    }
}

impl Writer for MessagesWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model, usage, .. } => self.start(id.as_deref(), model.as_deref(), *usage, out),
            Event::Open { choice: 0, head, .. } => self.open(head, out),
            Event::Delta { delta, .. } => self.more(delta, out),
            Event::Close { .. } => self.close(out),
            Event::Stop { choice: 0, stop } => self.stop = Some(stop.clone()),
            Event::Usage(usage) => self.usage = *usage,
            Event::Tier(tier) => self.tier = Some(tier.clone()),
            Event::Fault(fault) => {
                out.extend_from_slice(&fault::encode_event(fault, DIALECT, Endpoint::Messages));
            }
            Event::End => self.end(out),
            // Nobody who speaks this dialect can have asked for several answers, or for probabilities.
            Event::Open { .. } | Event::Stop { .. } | Event::Logprobs { .. } => {}
        }
    }
}

/// An event whose data names its kind too.
fn event(name: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Json<'_>)) {
    sse::write(Some(name), out, |json| {
        members(json.open_object().member("type", name));
        json.close_object();
    });
}

fn text(json: &mut Json<'_>) {
    json.open_object().member("type", "text").member("text", "").close_object();
}

fn thinking(json: &mut Json<'_>) {
    json.open_object()
        .member("type", "thinking")
        .member("thinking", "")
        .member("signature", "")
        .close_object();
}
