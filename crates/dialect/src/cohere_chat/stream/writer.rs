//! Events as a caller's stream. The reason for the end comes with what was used, last of all.

use super::super::error;
use super::super::wire::{PLAN, finish_reason, write_citation, write_logprobs, write_usage};
use crate::canon::{Delta, Event, Head, Stop};
use crate::codec::{Asked, Writer};
use crate::frame::sse;
use crate::json::Json;
use crate::losses::PICTURE;
use crate::usage::Usage;

/// Writes one stream.
#[derive(Debug)]
pub(in super::super) struct CohereWriter {
    id: String,
    /// Indices of the next piece of content, and of the next call.
    contents: u64,
    calls: u64,
    citations: u64,
    open: Option<Open>,
    stop: Option<Stop>,
    usage: Option<Usage>,
}

/// The block that is being written.
#[derive(Clone, Copy, Debug)]
struct Open {
    block: u32,
    piece: Piece,
    /// True once a piece of it has gone out.
    said: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Text,
    Thought,
    Plan,
    Call,
    Picture,
}

// === impl CohereWriter ===

impl CohereWriter {
    pub(in super::super) fn new(asked: &Asked) -> Self {
        let id = asked.id.clone();
        Self { id, contents: 0, calls: 0, citations: 0, open: None, stop: None, usage: None }
    }
}

impl Writer for CohereWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, usage, .. } => {
                self.usage = *usage;
                self.id = id.clone().unwrap_or_else(|| std::mem::take(&mut self.id));
                emit("message-start", None, out, |json| {
                    json.member("id", &self.id).key("delta").open_object().key("message").open_object();
                    json.member("role", "assistant").close_object().close_object();
                });
            }
            // Callers of this dialect cannot ask for several answers.
            Event::Open { choice: 0, block, head } => self.begin(*block, head, out),
            Event::Delta { block, delta } => self.delta(*block, delta, out),
            Event::Close { block } => self.close(*block, out),
            Event::Logprobs { choice: 0, raw } => self.logprobs(raw, out),
            Event::Stop { choice: 0, stop } => self.stop = Some(stop.clone()),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::End => self.end(out),
            Event::Fault(fault) => error::encode_event(fault, out),
            Event::Open { .. } | Event::Stop { .. } | Event::Logprobs { .. } | Event::Tier(_) => {}
        }
    }
}

impl CohereWriter {
    /// Blocks that the dialect has no form for are left out, with all their pieces; of a picture it is said that it was there.
    fn begin(&mut self, block: u32, head: &Head, out: &mut Vec<u8>) {
        let piece = match head {
            Head::Text | Head::Refusal => Piece::Text,
            Head::Reasoning { id } if id.as_deref() == Some(PLAN) => Piece::Plan,
            Head::Reasoning { .. } => Piece::Thought,
            Head::Call { id, name, .. } => {
                message("tool-call-start", Some(self.calls), out, |json| {
                    json.key("tool_calls").open_object().member("id", id).member("type", "function");
                    json.key("function").open_object().member("name", name).member("arguments", "");
                    json.close_object().close_object();
                });
                Piece::Call
            }
            Head::Image { .. } => Piece::Picture,
            Head::Sound { .. } | Head::Other { .. } => return,
        };
        self.open = Some(Open { block, piece, said: false });
        if let Some(kind) = kind(piece) {
            message("content-start", Some(self.contents), out, |json| {
                json.key("content").open_object().member("type", kind).member(kind, "").close_object();
            });
        }
        if piece == Piece::Picture {
            self.content("text", PICTURE, out);
        }
    }

    fn delta(&mut self, block: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(open) = self.open.filter(|open| open.block == block) else { return };
        match delta {
            Delta::Text(text) => self.text(open, text, out),
            Delta::Citation(citation) => {
                message("citation-start", Some(self.citations), out, |json| {
                    write_citation(json.key("citations"), citation);
                });
                emit("citation-end", Some(self.citations), out, |_| {});
                self.citations += 1;
            }
            // The dialect has no place for seals.
            Delta::Seal(_) | Delta::Transcript(_) | Delta::Expires(_) => {}
        }
    }

    fn text(&mut self, open: Open, text: &str, out: &mut Vec<u8>) {
        self.open = Some(Open { said: true, ..open });
        match open.piece {
            Piece::Plan => message("tool-plan-delta", None, out, |json| {
                json.member(PLAN, text);
            }),
            Piece::Call => message("tool-call-delta", Some(self.calls), out, |json| {
                json.key("tool_calls").open_object().key("function").open_object().member("arguments", text);
                json.close_object().close_object();
            }),
            Piece::Text => self.content("text", text, out),
            Piece::Thought => self.content("thinking", text, out),
            // Its bytes, in place of which words were told.
            Piece::Picture => {}
        }
    }

    fn content(&self, kind: &str, text: &str, out: &mut Vec<u8>) {
        message("content-delta", Some(self.contents), out, |json| {
            json.key("content").open_object().member(kind, text).close_object();
        });
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(open) = self.open.filter(|open| open.block == block) else { return };
        if open.piece == Piece::Call && !open.said {
            self.text(open, "{}", out);
        }
        self.open = None;
        match open.piece {
            Piece::Text | Piece::Thought | Piece::Picture => {
                emit("content-end", Some(self.contents), out, |_| {});
                self.contents += 1;
            }
            Piece::Call => {
                emit("tool-call-end", Some(self.calls), out, |_| {});
                self.calls += 1;
            }
            Piece::Plan => {}
        }
    }

    /// Probabilities ride on pieces of content, one item on each.
    fn logprobs(&self, raw: &crate::canon::Raw, out: &mut Vec<u8>) {
        let mut items = Vec::new();
        write_logprobs(Json::new(&mut items).open_list(), raw);
        items.push(b']');
        let list = crate::json::Value::parse(&items).and_then(|list| list.each(|_, item| Ok(item.raw())));
        for item in list.unwrap_or_default() {
            emit("content-delta", Some(self.contents), out, |json| {
                json.key("logprobs").raw(&item);
            });
        }
    }

    fn end(&self, out: &mut Vec<u8>) {
        emit("message-end", None, out, |json| {
            json.member("id", &self.id).key("delta").open_object();
            json.maybe("finish_reason", self.stop.as_ref().map(finish_reason));
            if let Some(usage) = &self.usage {
                write_usage(json.key("usage"), usage);
            }
            json.close_object();
        });
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// The word for a piece of content; plans and calls are none.
fn kind(piece: Piece) -> Option<&'static str> {
    match piece {
        Piece::Text | Piece::Picture => Some("text"),
        Piece::Thought => Some("thinking"),
        Piece::Plan | Piece::Call => None,
    }
}

fn emit(kind: &str, index: Option<u64>, out: &mut Vec<u8>, write: impl FnOnce(&mut Json<'_>)) {
    sse::write(Some(kind), out, |json| {
        json.open_object().member("type", kind).maybe_number("index", index);
        write(json);
        json.close_object();
    });
}

fn message(kind: &str, index: Option<u64>, out: &mut Vec<u8>, write: impl FnOnce(&mut Json<'_>)) {
    emit(kind, index, out, |json| {
        json.key("delta").open_object().key("message").open_object();
        write(json);
        json.close_object().close_object();
    });
}
