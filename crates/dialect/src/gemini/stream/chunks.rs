//! Chunks to events. A whole reply is read as a stream of one chunk.

use super::super::{citation, error, logprobs, response::Piece, response::piece, usage, wire};
use crate::canon::{
    CHOICES_LIMIT, CallKind, Delta, Event, Head, Raw, Seal, SealKind, Sequence, Stop, StopReason,
};
use crate::codec::{Broken, Reader, Target};
use crate::frame::sse::Sse;
use crate::json::{Fields, Malformed, Value};
use crate::usage::Usage;

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct GeminiReader {
    sse: Sse,
    chunks: Chunks,
}

/// Makes events of chunks.
#[derive(Debug)]
pub(crate) struct Chunks {
    provider: String,
    /// The reply's id, from the first chunk on.
    id: Option<String>,
    place: Place,
    usage: Option<Usage>,
    sequence: Sequence<u32>,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    Over,
}

/// One answer so far.
#[derive(Debug)]
struct Candidate {
    number: u32,
    last: Last,
    /// Blocks so far; numbers them for the sequence.
    blocks: u32,
    called: bool,
    /// True while its text has had a character for every byte.
    ascii: bool,
}

/// What the last part was that more may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Text,
    /// Thoughts that no signature has closed yet.
    Thought,
    Whole,
}

// === impl GeminiReader ===

impl GeminiReader {
    pub(crate) fn new(target: &Target<'_>) -> Self {
        Self { sse: Sse::default(), chunks: Chunks::new(target) }
    }
}

impl Reader for GeminiReader {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), Broken> {
        let chunks = &mut self.chunks;
        self.sse.push(bytes, &mut |_, data| chunks.take(data, out))
    }

    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), Broken> {
        let chunks = &mut self.chunks;
        self.sse.end(&mut |_, data| chunks.take(data, out))?;
        match chunks.place {
            Place::Over => Ok(()),
            Place::Within if chunks.is_stopped() => {
                chunks.place = Place::Over;
                out.push(Event::End);
                Ok(())
            }
            Place::Before | Place::Within => Err(Broken::Cut),
        }
    }
}

// === impl Chunks ===

impl Chunks {
    pub(crate) fn new(target: &Target<'_>) -> Self {
        Self {
            provider: target.provider.to_owned(),
            id: None,
            place: Place::Before,
            usage: None,
            sequence: Sequence::new(),
            candidates: Vec::new(),
        }
    }

    /// The next chunk.
    pub(crate) fn take(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<(), Broken> {
        if self.place == Place::Over {
            return Ok(());
        }
        let mut fields = wire::fields(error::only(Value::parse(data)?)?)?;
        if let Some(error) = fields.take("error") {
            self.place = Place::Over;
            out.push(Event::Fault(Box::new(error::decode_event(error))));
            return Ok(());
        }
        self.begin(&mut fields, out)?;
        let candidates =
            fields.with("candidates", |list| list.each(|_, one| wire::fields(one)))?.unwrap_or_default();
        let blocked = candidates.is_empty();
        for candidate in candidates {
            self.candidate(candidate, out)?;
        }
        if blocked && let Some(stop) = fields.with("promptFeedback", blocked_prompt)?.flatten() {
            self.sequence.stop(0, stop, out)?;
        }
        Ok(())
    }

    /// Ends answers that came without a reason, as a whole reply may have them.
    pub(crate) fn finish(&mut self, out: &mut Vec<Event>) -> Result<(), Broken> {
        let numbers: Vec<u32> = self.candidates.iter().map(|candidate| candidate.number).collect();
        let none = numbers.is_empty() && !self.sequence.is_stopped();
        for number in numbers.into_iter().chain(none.then_some(0)) {
            if !self.sequence.has_stopped(number) {
                let at = self.find(number)?;
                self.stop(at, Stop::new(StopReason::Other, None), out)?;
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        let stopped = |candidate: &Candidate| self.sequence.has_stopped(candidate.number);
        self.sequence.is_stopped() && self.candidates.iter().all(stopped)
    }

    /// What a chunk says of the reply as a whole.
    fn begin(&mut self, fields: &mut Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let (id, model) = (fields.text("responseId")?, fields.text("modelVersion")?);
        let usage = fields.take("usageMetadata").and_then(usage::read);
        let changed = usage.is_some() && usage != self.usage;
        self.usage = usage.or(self.usage);
        if self.place == Place::Before {
            self.place = Place::Within;
            self.id.clone_from(&id);
            out.push(Event::Start { id, model, created: None, usage });
        } else if changed {
            out.extend(usage.map(Event::Usage));
        }
        Ok(())
    }

    fn candidate(&mut self, mut fields: Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let number = fields.with("index", wire::small)?.unwrap_or_default();
        if self.sequence.has_stopped(number) {
            return Ok(());
        }
        let at = self.find(number)?;
        let parts =
            fields.with("content", |value| wire::fields(value)?.with("parts", |list| list.each(piece)))?;
        for piece in parts.flatten().unwrap_or_default() {
            self.part(at, piece, out)?;
        }
        let spans = self.candidates.get(at).is_some_and(|candidate| candidate.ascii);
        for cited in citation::read(&mut fields, spans)? {
            self.more(at, Last::Text, Delta::Citation(Box::new(cited)), out)?;
        }
        if let Some(raw) = fields.with("logprobsResult", logprobs::read)?.flatten() {
            // A choice is known to the grammar from its first event on, whichever it is.
            out.push(Event::Logprobs { choice: number, raw });
        }
        if let Some(native) = fields.text("finishReason")? {
            let called = self.candidates.get(at).is_some_and(|candidate| candidate.called);
            let detail = fields.text("finishMessage")?.and_then(|message| explanation(&message));
            self.stop(at, Stop { detail, ..wire::stop(&native, called) }, out)?;
        }
        Ok(())
    }

    /// The place of a candidate, which begins if it is new.
    fn find(&mut self, number: u32) -> Result<usize, Broken> {
        if number >= CHOICES_LIMIT {
            return Err(Malformed::new("has more than 128 candidates").into());
        }
        if let Some(at) = self.candidates.iter().position(|candidate| candidate.number == number) {
            return Ok(at);
        }
        self.candidates.push(Candidate { number, last: Last::Whole, blocks: 0, called: false, ascii: true });
        Ok(self.candidates.len() - 1)
    }

    fn part(
        &mut self,
        at: usize,
        (signature, piece): (Option<String>, Piece),
        out: &mut Vec<Event>,
    ) -> Result<(), Broken> {
        if let Piece::Thought(text) = piece {
            if !text.is_empty() {
                self.more(at, Last::Thought, Delta::Text(text), out)?;
            }
            let Some(value) = signature else { return Ok(()) };
            self.more(at, Last::Thought, Delta::Seal(self.seal(value)), out)?;
            self.ends(at);
            return Ok(());
        }
        if signature.is_none() && matches!(&piece, Piece::Text(text) if text.is_empty()) {
            return Ok(());
        }
        self.end_thoughts(at, out)?;
        if let Some(value) = signature {
            let seal = Delta::Seal(self.seal(value));
            self.whole(at, Head::Reasoning { id: None }, Some(seal), out)?;
        }
        match piece {
            Piece::Text(text) if text.is_empty() => Ok(()),
            Piece::Text(text) => {
                if let Some(candidate) = self.candidates.get_mut(at) {
                    candidate.ascii &= text.is_ascii();
                }
                self.more(at, Last::Text, Delta::Text(text), out)
            }
            Piece::Call { id, name, args } => self.call(at, (id, name, args), out),
            Piece::Image { media_type, data } => {
                self.whole(at, Head::Image { media_type }, Some(Delta::Text(data)), out)
            }
            Piece::Other(raw) => self.whole(at, Head::Other { dialect: wire::DIALECT, raw }, None, out),
            Piece::Thought(_) => Ok(()),
        }
    }

    fn call(
        &mut self,
        at: usize,
        (id, name, args): (Option<String>, String, String),
        out: &mut Vec<Event>,
    ) -> Result<(), Broken> {
        let Some(candidate) = self.candidates.get_mut(at) else { return Ok(()) };
        candidate.called = true;
        // The reply's id makes it another id in every reply, even for a call that is asked for again.
        let seed = (&self.id, candidate.number, candidate.blocks, &name, &args);
        let id = id.unwrap_or_else(|| wire::mint(seed));
        self.whole(at, Head::Call { id, name, kind: CallKind::Function }, Some(Delta::Text(args)), out)
    }

    /// A block that one part holds.
    fn whole(
        &mut self,
        at: usize,
        head: Head,
        delta: Option<Delta>,
        out: &mut Vec<Event>,
    ) -> Result<(), Broken> {
        let Some(candidate) = self.candidates.get_mut(at) else { return Ok(()) };
        candidate.blocks = candidate.blocks.saturating_add(1);
        candidate.last = Last::Whole;
        self.sequence.piece((candidate.number, candidate.blocks), || head, delta, out)
    }

    /// More text or thoughts, in the block that is open if it is one of theirs. Sources join text only.
    fn more(&mut self, at: usize, kind: Last, delta: Delta, out: &mut Vec<Event>) -> Result<(), Broken> {
        let Some(candidate) = self.candidates.get_mut(at) else { return Ok(()) };
        if candidate.last != kind {
            if matches!(delta, Delta::Citation(_)) {
                return Ok(());
            }
            candidate.blocks = candidate.blocks.saturating_add(1);
            candidate.last = kind;
        }
        let head = || if kind == Last::Text { Head::Text } else { Head::Reasoning { id: None } };
        self.sequence.piece((candidate.number, candidate.blocks), head, Some(delta), out)
    }

    /// Thoughts that came without a signature still tell who thought them.
    fn end_thoughts(&mut self, at: usize, out: &mut Vec<Event>) -> Result<(), Broken> {
        if self.candidates.get(at).is_some_and(|candidate| candidate.last == Last::Thought) {
            self.more(at, Last::Thought, Delta::Seal(self.seal(String::new())), out)?;
            self.ends(at);
        }
        Ok(())
    }

    fn ends(&mut self, at: usize) {
        if let Some(candidate) = self.candidates.get_mut(at) {
            candidate.last = Last::Whole;
        }
    }

    fn stop(&mut self, at: usize, stop: Stop, out: &mut Vec<Event>) -> Result<(), Broken> {
        self.end_thoughts(at, out)?;
        let number = self.candidates.get(at).map_or(0, |candidate| candidate.number);
        self.sequence.stop(number, stop, out)
    }

    fn seal(&self, value: String) -> Seal {
        let provider = Some(self.provider.clone());
        Seal { dialect: wire::DIALECT, provider, kind: SealKind::Signature, value }
    }
}

/// A prompt that was blocked gives no candidates.
fn blocked_prompt(value: Value<'_>) -> Result<Option<Stop>, Malformed> {
    let mut fields = wire::fields(value)?;
    let message = fields.text("blockReasonMessage")?;
    let stop = fields.text("blockReason")?.map(|native| Stop {
        detail: message.and_then(|message| explanation(&message)),
        ..Stop::new(StopReason::Filtered, Some(&native))
    });
    Ok(stop)
}

fn explanation(message: &str) -> Option<Raw> {
    let mut out = Vec::new();
    crate::json::Json::new(&mut out).open_object().member("explanation", message).close_object();
    Raw::parse(std::str::from_utf8(&out).ok()?)
}
