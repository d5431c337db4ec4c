//! Events as a caller's stream. What the dialect counts comes after the reason for the end.

use super::super::part::write_citation;
use super::super::wire::{DIALECT, IMAGES, call_id, format};
use super::super::{error, response};
use crate::canon::{Delta, Event, Head, Seal, SealKind};
use crate::codec::Writer;
use crate::frame::aws::{self, Kind};
use crate::json::Json;
use crate::usage::Usage;

/// Writes one stream.
#[derive(Debug, Default)]
pub(in super::super) struct ConverseWriter {
    /// The index of the next block.
    next: u64,
    open: Option<Open>,
    /// The open block's seal: the latest, since users add up what comes in pieces.
    seal: Option<Seal>,
    usage: Option<Usage>,
    tier: Option<String>,
    payload: Vec<u8>,
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
    Call,
    Image,
}

// === impl ConverseWriter ===

impl Writer for ConverseWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { usage, .. } => {
                self.usage = *usage;
                self.event("messageStart", out, |json| {
                    json.member("role", "assistant");
                });
            }
            // Callers of this dialect cannot ask for several answers.
            Event::Open { choice: 0, block, head } => self.begin(*block, head, out),
            Event::Delta { block, delta } => self.delta(*block, delta, out),
            Event::Close { block } => self.close(*block, out),
            Event::Stop { choice: 0, stop } => {
                self.event("messageStop", out, |json| response::write_stop(json, stop));
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Tier(tier) => self.tier = Some(tier.clone()),
            Event::End => {
                let (usage, tier) = (self.usage, self.tier.take());
                self.event("metadata", out, |json| {
                    response::write_metadata(json, usage.as_ref(), tier.as_deref());
                });
            }
            Event::Fault(fault) => error::encode_event(fault, out),
            Event::Open { .. } | Event::Stop { .. } | Event::Logprobs { .. } => {}
        }
    }
}

impl ConverseWriter {
    fn event(&mut self, name: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Json<'_>)) {
        self.payload.clear();
        let json = &mut Json::new(&mut self.payload);
        json.open_object();
        write(json);
        json.close_object();
        aws::write(Kind::Event, name, &self.payload, out);
    }

    /// Blocks that the dialect has no form for are left out, with all their pieces.
    fn begin(&mut self, block: u32, head: &Head, out: &mut Vec<u8>) {
        let image = match head {
            Head::Image { media_type } => format(IMAGES, media_type),
            _ => None,
        };
        let piece = match head {
            Head::Text | Head::Refusal => Piece::Text,
            Head::Reasoning { .. } => Piece::Thought,
            Head::Call { .. } => Piece::Call,
            Head::Image { .. } if image.is_some() => Piece::Image,
            Head::Image { .. } | Head::Sound { .. } | Head::Other { .. } => return,
        };
        self.open = Some(Open { block, piece, said: false });
        let index = self.next;
        if let Head::Call { id, name, .. } = head {
            self.event("contentBlockStart", out, |json| {
                json.key("start").open_object().key("toolUse").open_object();
                json.member("toolUseId", &call_id(id)).member("name", name).close_object().close_object();
                json.key("contentBlockIndex").count(index);
            });
        }
        if let Some(format) = image {
            self.event("contentBlockStart", out, |json| {
                json.key("start").open_object().key("image").open_object().member("format", format);
                json.close_object().close_object().key("contentBlockIndex").count(index);
            });
        }
    }

    fn delta(&mut self, block: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(open) = self.open.filter(|open| open.block == block) else { return };
        match delta {
            Delta::Text(text) => self.text(open, text, out),
            Delta::Citation(citation) => {
                self.piece(open, out, |json| write_citation(json.key("citation"), citation))
            }
            Delta::Seal(seal) => self.seal = Some(seal.clone()),
            Delta::Transcript(_) | Delta::Expires(_) => {}
        }
    }

    /// What another dialect has sealed stands in the signature. An empty seal only names its maker, which callers of
    /// this dialect need not be told.
    fn seal(&mut self, open: Open, seal: &Seal, out: &mut Vec<u8>) {
        let encrypted = seal.dialect == DIALECT && seal.kind == SealKind::Encrypted;
        let name = if encrypted { "redactedContent" } else { "signature" };
        let value = seal.wrap(DIALECT);
        if !value.is_empty() {
            self.piece(open, out, |json| {
                json.key("reasoningContent").open_object().member(name, &value).close_object();
            });
        }
    }

    fn text(&mut self, open: Open, text: &str, out: &mut Vec<u8>) {
        self.piece(open, out, |json| {
            match open.piece {
                Piece::Text => json.member("text", text),
                Piece::Thought => {
                    json.key("reasoningContent").open_object().member("text", text).close_object()
                }
                Piece::Call => json.key("toolUse").open_object().member("input", text).close_object(),
                Piece::Image => {
                    json.key("image").open_object().key("source").open_object().member("bytes", text);
                    json.close_object().close_object()
                }
            };
        });
    }

    fn piece(&mut self, open: Open, out: &mut Vec<u8>, write: impl FnOnce(&mut Json<'_>)) {
        let index = self.next;
        self.open = Some(Open { said: true, ..open });
        self.event("contentBlockDelta", out, |json| {
            write(json.key("delta").open_object());
            json.close_object().key("contentBlockIndex").count(index);
        });
    }

    /// A block is there for its pieces only: one without any says so with an empty one.
    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(open) = self.open.filter(|open| open.block == block) else { return };
        if let Some(seal) = self.seal.take() {
            self.seal(open, &seal, out);
        }
        let Some(open) = self.open else { return };
        match open.piece {
            Piece::Text | Piece::Thought if !open.said => self.text(open, "", out),
            Piece::Call if !open.said => self.text(open, "{}", out),
            _ => {}
        }
        self.open = None;
        let index = self.next;
        self.next += 1;
        self.event("contentBlockStop", out, |json| {
            json.key("contentBlockIndex").count(index);
        });
    }
}
