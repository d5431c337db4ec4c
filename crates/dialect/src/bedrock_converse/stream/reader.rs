//! A provider's stream as events. Text and thoughts begin with their first piece; only calls and pictures are announced.

use super::super::part::citation;
use super::super::wire::{self, Counts, IMAGES, media_type};
use super::super::{error, response};
use crate::canon::{CallKind, Delta, Event, Head, SealKind, Sequence};
use crate::codec::{Broken, Reader, Target};
use crate::frame::aws::{Frames, Kind, Message};
use crate::json::{Fields, Malformed, Value};

/// What a block is; pieces of two kinds under one index are two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Text,
    Thought,
    Call,
    Image,
}

/// Reads one stream.
#[derive(Debug)]
pub(in super::super) struct ConverseReader {
    frames: Frames,
    state: State,
}

#[derive(Debug)]
struct State {
    provider: String,
    sequence: Sequence<(u64, Piece)>,
    begun: bool,
    over: bool,
    /// The block of thoughts that has no seal yet.
    unsealed: Option<u64>,
    /// The picture whose bytes have ended.
    padded: Option<u64>,
}

// === impl ConverseReader ===

impl ConverseReader {
    pub(in super::super) fn new(target: &Target<'_>) -> Self {
        let state = State {
            provider: target.provider.to_owned(),
            sequence: Sequence::new(),
            begun: false,
            over: false,
            unsealed: None,
            padded: None,
        };
        Self { frames: Frames::default(), state }
    }
}

impl Reader for ConverseReader {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), Broken> {
        let Self { frames, state } = self;
        frames.push(bytes, &mut |message| state.message(message, out))
    }

    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), Broken> {
        let state = &mut self.state;
        if state.over {
            return Ok(());
        }
        if !state.sequence.is_stopped() {
            return Err(Broken::Cut);
        }
        state.finish(out);
        Ok(())
    }
}

// === impl State ===

impl State {
    fn message(&mut self, message: Message<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        if self.over {
            return Ok(());
        }
        if message.kind != Kind::Event {
            self.over = true;
            let fault = error::decode_event(message.name, message.error, message.payload);
            out.push(Event::Fault(Box::new(fault)));
            return Ok(());
        }
        if !matches!(
            message.name,
            "messageStart"
                | "contentBlockStart"
                | "contentBlockDelta"
                | "contentBlockStop"
                | "messageStop"
                | "metadata"
        ) {
            return Ok(());
        }
        if !self.begun {
            self.begun = true;
            out.push(Event::Start { id: None, model: None, created: None, usage: None });
        }
        let fields = Value::parse(message.payload)?.fields()?;
        match message.name {
            "contentBlockStart" => self.start(fields, out),
            "contentBlockDelta" => self.delta(fields, out),
            "contentBlockStop" => self.stop_block(fields, out),
            "messageStop" => self.stop(fields, out),
            "metadata" => self.metadata(fields, out),
            _ => Ok(()),
        }
    }

    /// Tools that the provider runs are not announced: no caller of another dialect has asked for them.
    fn start(&mut self, mut fields: Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let index = index(&mut fields)?;
        let head = fields.need("start", |start| head(start.fields()?))?;
        let Some((piece, head)) = head else { return Ok(()) };
        self.sequence.piece((0, (index, piece)), || head, None, out)
    }

    fn delta(&mut self, mut fields: Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let index = index(&mut fields)?;
        let provider = self.provider.as_str();
        let Some((piece, delta)) = fields.need("delta", |delta| delta_of(delta.fields()?, provider))? else {
            return Ok(());
        };
        let is_seal = matches!(delta, Delta::Seal(_));
        match piece {
            Piece::Thought if !is_seal => self.unsealed = Some(index),
            _ => self.unsealed = None,
        }
        let head = match piece {
            Piece::Text => Head::Text,
            Piece::Thought => Head::Reasoning { id: None },
            // Pieces of what was not announced belong to a tool that the provider runs.
            Piece::Call | Piece::Image if !self.sequence.knows(0, &(index, piece)) => return Ok(()),
            Piece::Call => return self.piece((index, piece), Head::Text, delta, out),
            Piece::Image => {
                self.joins(index, &delta)?;
                return self.piece((index, piece), Head::Text, delta, out);
            }
        };
        self.piece((index, piece), head, delta, out)
    }

    /// Pieces of base64 join only if all but the last come without padding.
    fn joins(&mut self, index: u64, delta: &Delta) -> Result<(), Broken> {
        if self.padded == Some(index) {
            return Err(Malformed::new("has bytes of a picture behind its end").into());
        }
        if matches!(delta, Delta::Text(text) if text.ends_with('=')) {
            self.padded = Some(index);
        }
        Ok(())
    }

    fn piece(
        &mut self,
        key: (u64, Piece),
        head: Head,
        delta: Delta,
        out: &mut Vec<Event>,
    ) -> Result<(), Broken> {
        self.sequence.piece((0, key), || head, Some(delta), out)
    }

    fn stop_block(&mut self, mut fields: Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let index = index(&mut fields)?;
        self.seal_unsealed(Some(index), out)?;
        for piece in [Piece::Text, Piece::Thought, Piece::Call, Piece::Image] {
            self.sequence.close(0, &(index, piece), out)?;
        }
        Ok(())
    }

    /// Thoughts that the model does not sign get a seal that only names their maker.
    fn seal_unsealed(&mut self, index: Option<u64>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let Some(open) = self.unsealed.filter(|open| index.is_none_or(|index| index == *open)) else {
            return Ok(());
        };
        self.unsealed = None;
        let seal = wire::seal(&self.provider, SealKind::Signature, String::new());
        self.piece((open, Piece::Thought), Head::Reasoning { id: None }, Delta::Seal(seal), out)
    }

    fn stop(&mut self, mut fields: Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        self.seal_unsealed(None, out)?;
        let stop = response::stop(&mut fields)?;
        self.sequence.stop(0, stop, out)
    }

    /// Comes last.
    fn metadata(&mut self, mut fields: Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let usage = fields.with("usage", |usage| response::counts(usage.fields()?))?.and_then(Counts::usage);
        out.extend(response::tier(&mut fields)?.map(Event::Tier));
        out.extend(usage.map(Event::Usage));
        if self.sequence.is_stopped() {
            self.finish(out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        self.over = true;
        out.push(Event::End);
    }
}

fn index(fields: &mut Fields<'_>) -> Result<u64, Malformed> {
    fields.need("contentBlockIndex", Value::count)
}

/// What a block is that is announced.
fn head(mut start: Fields<'_>) -> Result<Option<(Piece, Head)>, Malformed> {
    let call = start.with("toolUse", |call| {
        let mut call = call.fields()?;
        let (id, name) = (call.need("toolUseId", Value::text)?, call.need("name", Value::text)?);
        let own = call.take("type").is_none();
        Ok(own.then_some((Piece::Call, Head::Call { id, name, kind: CallKind::Function })))
    })?;
    let image = start.with("image", |image| {
        let format = image.fields()?.need("format", Value::text)?;
        let known =
            media_type(IMAGES, &format).ok_or_else(|| Malformed::new("is not known").within("format"))?;
        Ok((Piece::Image, Head::Image { media_type: known.to_owned() }))
    })?;
    Ok(call.flatten().or(image))
}

/// A piece of a block; none for kinds that the model does not have.
fn delta_of(mut delta: Fields<'_>, provider: &str) -> Result<Option<(Piece, Delta)>, Malformed> {
    if let Some(text) = delta.text("text")? {
        return Ok(Some((Piece::Text, Delta::Text(text))));
    }
    if let Some(input) = delta.with("toolUse", |call| call.fields()?.text("input"))?.flatten() {
        return Ok(Some((Piece::Call, Delta::Text(input))));
    }
    if let Some(thought) =
        delta.with("reasoningContent", |thought| thought_of(thought.fields()?, provider))?
    {
        return Ok(thought.map(|delta| (Piece::Thought, delta)));
    }
    if let Some(citation) = delta.with("citation", citation)? {
        return Ok(Some((Piece::Text, Delta::Citation(Box::new(citation)))));
    }
    let bytes = delta.with("image", |image| {
        let source = image.fields()?.with("source", |source| source.fields()?.text("bytes"))?;
        Ok(source.flatten())
    })?;
    Ok(bytes.flatten().map(|bytes| (Piece::Image, Delta::Text(bytes))))
}

fn thought_of(mut thought: Fields<'_>, provider: &str) -> Result<Option<Delta>, Malformed> {
    if let Some(text) = thought.text("text")? {
        return Ok(Some(Delta::Text(text)));
    }
    let signature = thought.text("signature")?.map(|value| (SealKind::Signature, value));
    let sealed = signature.or(thought.text("redactedContent")?.map(|value| (SealKind::Encrypted, value)));
    Ok(sealed.map(|(kind, value)| Delta::Seal(wire::seal(provider, kind, value))))
}
