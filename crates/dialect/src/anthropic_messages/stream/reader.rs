//! The provider's events to ours. Blocks come one after the other, each with its beginning and end.

use super::super::response::{made, read_usage, usage};
use super::super::{error, wire};
use crate::canon::{CallKind, Delta, Event, Head, SealKind, Sequence};
use crate::codec::{Broken, Reader, Target};
use crate::frame::sse::Sse;
use crate::json::{Malformed, Value};
use crate::usage::Tokens;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct MessagesReader {
    sse: Sse,
    reading: Reading,
}

#[derive(Debug)]
struct Reading {
    provider: String,
    sequence: Sequence<u32>,
    tokens: Tokens,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    Over,
}

/// An event as it comes, with the fields of all kinds.
#[derive(Debug, Deserialize)]
struct Wire<'a> {
    r#type: String,
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<Piece<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    id: Option<String>,
    model: Option<String>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// A delta, with the fields of all kinds.
#[derive(Debug, Default, Deserialize)]
struct Piece<'a> {
    text: Option<String>,
    thinking: Option<String>,
    partial_json: Option<String>,
    signature: Option<String>,
    #[serde(borrow)]
    citation: Option<&'a RawValue>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    #[serde(borrow)]
    stop_details: Option<&'a RawValue>,
}

// === impl MessagesReader ===

impl MessagesReader {
    pub(crate) fn new(target: &Target<'_>) -> Self {
        let reading = Reading {
            provider: target.provider.to_owned(),
            sequence: Sequence::new(),
            tokens: Tokens::default(),
            place: Place::Before,
        };
        Self { sse: Sse::default(), reading }
    }
}

impl Reader for MessagesReader {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), Broken> {
        let reading = &mut self.reading;
        self.sse.push(bytes, &mut |_, data| reading.event(data, out))
    }

    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), Broken> {
        let reading = &mut self.reading;
        self.sse.end(&mut |_, data| reading.event(data, out))?;
        match reading.place {
            Place::Over => Ok(()),
            Place::Within if reading.sequence.is_stopped() => {
                reading.place = Place::Over;
                out.push(Event::End);
                Ok(())
            }
            Place::Before | Place::Within => Err(Broken::Cut),
        }
    }
}

// === impl Reading ===

impl Reading {
    fn event(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<(), Broken> {
        if self.place == Place::Over {
            return Ok(());
        }
        let event: Wire<'_> =
            serde_json::from_slice(data).map_err(|_| Malformed::new("is no event of a message"))?;
        match (event.r#type.as_str(), self.place) {
            ("message_start", Place::Before) => self.start(event.message, out),
            ("error", _) => {
                out.push(Event::Fault(Box::new(error::decode_event(data))));
                self.place = Place::Over;
            }
            ("ping", _) => {}
            (_, Place::Before) => return Err(Malformed::new("comes before message_start").into()),
            ("content_block_start", _) => return self.open(event.index, event.content_block, out),
            ("content_block_delta", _) => return self.more(event.index, event.delta, out),
            ("content_block_stop", _) => return self.sequence.close(0, &event.index, out),
            ("message_delta", _) => return self.stop(event.delta, event.usage, out),
            ("message_stop", _) => {
                if !self.sequence.is_stopped() {
                    return Err(Broken::Cut);
                }
                out.push(Event::End);
                self.place = Place::Over;
            }
            // Kinds of events that are added later say nothing to those who do not know them.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, message: Option<Message<'_>>, out: &mut Vec<Event>) {
        let (mut id, mut model, mut tier) = (None, None, None);
        if let Some(message) = message {
            (id, model) = (message.id, message.model);
            tier = message.usage.and_then(|usage| read_usage(&mut self.tokens, Value::of(usage)));
        }
        out.push(Event::Start { id, model, created: None, usage: usage(&self.tokens) });
        out.extend(tier.map(Event::Tier));
        self.place = Place::Within;
    }

    fn open(&mut self, index: u32, block: Option<&RawValue>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let block = block.ok_or_else(|| Malformed::missing("content_block"))?;
        let value = Value::of(block);
        let mut fields = value.fields()?;
        let mut first = Vec::new();
        let text = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Delta::Text);
        let head = match fields.need("type", Value::text)?.as_str() {
            "text" => {
                first.extend(text(fields.text("text")?));
                Head::Text
            }
            "thinking" => {
                let signature = fields.text("signature")?.unwrap_or_default();
                first.push(Delta::Seal(made(&self.provider, SealKind::Signature, signature)));
                first.extend(text(fields.text("thinking")?));
                Head::Reasoning { id: None }
            }
            "redacted_thinking" => {
                let data = fields.need("data", Value::text)?;
                first.push(Delta::Seal(made(&self.provider, SealKind::Encrypted, data)));
                Head::Reasoning { id: None }
            }
            "tool_use" => {
                // Usually `{}`, and the arguments follow; some send them here.
                let input = fields.take("input").map(|input| input.raw().as_str().to_owned());
                first.extend(text(input.filter(|input| input != wire::NO_INPUT)));
                let (id, name) = (fields.need("id", Value::text)?, fields.need("name", Value::text)?);
                Head::Call { id, name, kind: CallKind::Function }
            }
            _ => Head::Other { dialect: wire::DIALECT, raw: value.raw() },
        };
        let mut head = Some(head);
        self.sequence.piece((0, index), || head.take().unwrap_or(Head::Text), None, out)?;
        first
            .into_iter()
            .try_for_each(|delta| self.sequence.piece((0, index), || Head::Text, Some(delta), out))
    }

    fn more(&mut self, index: u32, delta: Option<Piece<'_>>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let piece = delta.unwrap_or_default();
        let Some(delta) = self.delta(piece)? else { return Ok(()) };
        if !self.sequence.knows(0, &index) {
            return Err(Malformed::new("adds to a block that is not open").into());
        }
        self.sequence.piece((0, index), || Head::Text, Some(delta), out)
    }

    fn delta(&self, piece: Piece<'_>) -> Result<Option<Delta>, Broken> {
        let text = piece.text.or(piece.thinking).or(piece.partial_json).filter(|text| !text.is_empty());
        if let Some(text) = text {
            return Ok(Some(Delta::Text(text)));
        }
        if let Some(signature) = piece.signature {
            return Ok(Some(Delta::Seal(made(&self.provider, SealKind::Signature, signature))));
        }
        let citation = piece.citation.map(|raw| wire::citation(Value::of(raw))).transpose()?;
        Ok(citation.map(|citation| Delta::Citation(Box::new(citation))))
    }

    fn stop(
        &mut self,
        delta: Option<Piece<'_>>,
        counts: Option<&RawValue>,
        out: &mut Vec<Event>,
    ) -> Result<(), Broken> {
        if let Some(counts) = counts {
            out.extend(read_usage(&mut self.tokens, Value::of(counts)).map(Event::Tier));
            out.extend(usage(&self.tokens).map(Event::Usage));
        }
        let piece = delta.unwrap_or_default();
        let Some(reason) = piece.stop_reason else { return Ok(()) };
        let detail = piece.stop_details.map(|raw| Value::of(raw).raw());
        self.sequence.stop(0, wire::stop(&reason, piece.stop_sequence, detail), out)
    }
}
