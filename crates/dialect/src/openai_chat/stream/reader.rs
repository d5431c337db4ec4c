//! Chunks to events. Blocks have no numbers here: a block lasts as long as pieces of its kind come.

use super::super::{
    error, response,
    wire::{self, detail},
};
use super::chunk::{Audio, Call, Choice, Chunk, Delta as Piece, Image};
use crate::canon::{CallKind, Delta, Event, Head, Raw, Sequence, Source, Stop};
use crate::codec::{Broken, Reader, Target};
use crate::frame::sse::Sse;
use crate::json::{Malformed, Value};

const DONE: &[u8] = b"[DONE]";
/// Calls that one stream may have: each is remembered to its end.
const CALLS_LIMIT: usize = 512;

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct ChatReader {
    sse: Sse,
    reading: Reading,
}

#[derive(Debug)]
struct Reading {
    provider: String,
    sequence: Sequence<Key>,
    calls: Vec<Numbered>,
    refused: Vec<u32>,
    tier: Option<String>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    Over,
}

/// What tells one block of a choice from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Text,
    Refusal,
    /// The entry of `reasoning_details`, where there are any.
    Reasoning(Option<u64>),
    Sound,
    Image,
    /// The call's place in `calls`.
    Call(usize),
}

/// A call that has begun. Some providers number every call 0, so that a new id tells a new one.
#[derive(Debug)]
struct Numbered {
    choice: u32,
    index: u32,
    id: String,
}

// === impl ChatReader ===

impl ChatReader {
    pub(crate) fn new(target: &Target<'_>) -> Self {
        let reading = Reading {
            provider: target.provider.to_owned(),
            sequence: Sequence::new(),
            calls: Vec::new(),
            refused: Vec::new(),
            tier: None,
            place: Place::Before,
        };
        Self { sse: Sse::default(), reading }
    }
}

impl Reader for ChatReader {
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
                reading.finish(out);
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
        if data.trim_ascii() == DONE {
            // A relative that never tells a reason still ends here.
            for choice in self.sequence.going() {
                self.sequence.stop(choice, self.stop_of(choice, "stop"), out)?;
            }
            if !self.sequence.is_stopped() {
                return Err(Broken::Cut);
            }
            self.finish(out);
            return Ok(());
        }
        let chunk: Chunk<'_> =
            serde_json::from_slice(data).map_err(|_| Malformed::new("is no chunk of a chat completion"))?;
        if chunk.error.is_some() {
            out.push(Event::Fault(Box::new(error::decode_event(data))));
            self.place = Place::Over;
            return Ok(());
        }
        self.chunk(chunk, out)
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        out.push(Event::End);
        self.place = Place::Over;
    }

    fn chunk(&mut self, chunk: Chunk<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let choices = chunk.choices.unwrap_or_default();
        let id = chunk.id.filter(|id| !id.is_empty());
        if self.place == Place::Before {
            // Azure's first chunk only tells of its filters.
            if choices.is_empty() && id.is_none() {
                return Ok(());
            }
            let created = chunk.created.and_then(|created| created.get().parse().ok());
            out.push(Event::Start { id, model: chunk.model, created, usage: None });
            self.place = Place::Within;
        }
        if chunk.service_tier.is_some() && chunk.service_tier != self.tier {
            self.tier.clone_from(&chunk.service_tier);
            out.extend(chunk.service_tier.map(Event::Tier));
        }
        choices.into_iter().try_for_each(|choice| self.choice(choice, out))?;
        let usage = chunk.usage.and_then(|usage| response::usage(Value::of(usage)));
        out.extend(usage.map(Event::Usage));
        Ok(())
    }

    fn choice(&mut self, choice: Choice<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let number = choice.index;
        if let Some(delta) = choice.delta {
            self.delta(number, delta, out)?;
        }
        let logprobs = choice.logprobs.and_then(|logprobs| logprobs.content);
        if let Some(content) = logprobs.filter(|_| !self.sequence.has_stopped(number)) {
            out.push(Event::Logprobs { choice: number, raw: Raw::of(content) });
        }
        match choice.finish_reason {
            Some(native) => {
                let stop = self.stop_of(number, &native);
                self.sequence.stop(number, stop, out)
            }
            None => Ok(()),
        }
    }

    fn stop_of(&self, choice: u32, native: &str) -> Stop {
        let called = self.calls.iter().any(|call| call.choice == choice);
        wire::stop(native, self.refused.contains(&choice), called)
    }

    fn delta(&mut self, choice: u32, piece: Piece<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        self.reasoning(choice, &piece, out)?;
        for (is_thought, text) in
            piece.content.map(|raw| wire::said(Value::of(raw))).transpose()?.unwrap_or_default()
        {
            if is_thought {
                self.thought(choice, None, Some(Delta::Text(text)), out)?;
            } else {
                self.text((choice, Key::Text), Head::Text, text, out)?;
            }
        }
        if let Some(refusal) = piece.refusal.filter(|refusal| !refusal.is_empty()) {
            if !self.refused.contains(&choice) {
                self.refused.push(choice);
            }
            self.text((choice, Key::Refusal), Head::Refusal, refusal, out)?;
        }
        if let Some(list) = piece.annotations {
            let cited = Value::of(list).each(|_, one| response::citation(one))?;
            for citation in cited {
                let delta = Delta::Citation(Box::new(citation));
                self.sequence.piece((choice, Key::Text), || Head::Text, Some(delta), out)?;
            }
        }
        if let Some(audio) = piece.audio {
            self.audio(choice, audio, out)?;
        }
        for image in piece.images.unwrap_or_default() {
            self.image(choice, image, out)?;
        }
        piece.tool_calls.unwrap_or_default().into_iter().try_for_each(|call| self.call(choice, call, out))
    }

    fn text(&mut self, at: (u32, Key), head: Head, text: String, out: &mut Vec<Event>) -> Result<(), Broken> {
        if text.is_empty() {
            return Ok(());
        }
        self.sequence.piece(at, || head, Some(Delta::Text(text)), out)
    }

    /// Details repeat what the plain field says; they count where it is not there, and for seals.
    fn reasoning(&mut self, choice: u32, piece: &Piece<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let plain = piece.reasoning_content.as_ref().or(piece.reasoning.as_ref());
        let plain = plain.filter(|text| !text.is_empty());
        let Some(list) = piece.reasoning_details else {
            let text = plain.map(|text| Delta::Text(text.clone()));
            return text.map_or(Ok(()), |text| self.thought(choice, None, Some(text), out));
        };
        let details = Value::of(list).each(|_, entry| detail(entry.fields()?))?;
        let told = details.iter().any(|detail| !detail.thought.text.is_empty());
        if let Some(text) = plain.filter(|_| !told) {
            let index = details.first().and_then(|detail| detail.index);
            self.thought(choice, index, Some(Delta::Text(text.clone())), out)?;
        }
        for detail in details {
            let text = Some(detail.thought.text).filter(|text| !text.is_empty()).map(Delta::Text);
            let seal = response::stamped(detail.thought.seal, &self.provider);
            let seal = seal.map(Delta::Seal);
            for delta in text.into_iter().chain(seal) {
                self.thought(choice, detail.index, Some(delta), out)?;
            }
        }
        Ok(())
    }

    /// Every thought carries its maker's name from the start.
    fn thought(
        &mut self,
        choice: u32,
        index: Option<u64>,
        delta: Option<Delta>,
        out: &mut Vec<Event>,
    ) -> Result<(), Broken> {
        let key = Key::Reasoning(index);
        let head = || Head::Reasoning { id: None };
        if !self.sequence.knows(choice, &key) {
            let stamp = Delta::Seal(response::stamp(&self.provider));
            self.sequence.piece((choice, key), head, Some(stamp), out)?;
        }
        self.sequence.piece((choice, key), head, delta, out)
    }

    fn audio(&mut self, choice: u32, audio: Audio, out: &mut Vec<Event>) -> Result<(), Broken> {
        let Audio { id, data, transcript, expires_at } = audio;
        let data = data.filter(|data| !data.is_empty()).map(Delta::Text);
        let transcript = transcript.filter(|words| !words.is_empty()).map(Delta::Transcript);
        let pieces = data.into_iter().chain(transcript).chain(expires_at.map(Delta::Expires));
        let mut id = Some(id);
        self.sequence.piece((choice, Key::Sound), || Head::Sound { id: id.take().flatten() }, None, out)?;
        for piece in pieces {
            self.sequence.piece((choice, Key::Sound), || Head::Sound { id: None }, Some(piece), out)?;
        }
        Ok(())
    }

    /// Pictures come whole, each in one chunk: what is closed here never gets more, even where it has to wait.
    fn image(&mut self, choice: u32, image: Image, out: &mut Vec<Event>) -> Result<(), Broken> {
        let Source::Inline { media_type, data } = Source::of_url(image.image_url.url) else { return Ok(()) };
        let head = || Head::Image { media_type };
        self.sequence.piece((choice, Key::Image), head, Some(Delta::Text(data)), out)?;
        self.sequence.close(choice, &Key::Image, out)
    }

    fn call(&mut self, choice: u32, call: Call, out: &mut Vec<Event>) -> Result<(), Broken> {
        let kind = if call.custom.is_some() { CallKind::Custom } else { CallKind::Function };
        let (name, arguments) = match call.custom {
            Some(custom) => (custom.name, custom.input),
            None => call.function.map(|function| (function.name, function.arguments)).unwrap_or_default(),
        };
        let arguments = arguments.filter(|text| !text.is_empty());
        let id = call.id.filter(|id| !id.is_empty());
        let known = self.calls.iter().rposition(|known| {
            let same = id.as_ref().is_none_or(|id| *id == known.id);
            known.choice == choice && known.index == call.index && same
        });
        let (place, key) = match known {
            Some(place) => (place, Key::Call(place)),
            None => (self.calls.len(), Key::Call(self.calls.len())),
        };
        let late = known.is_some() && !self.sequence.knows(choice, &key);
        let name = name.filter(|name| !name.is_empty());
        if late || (known.is_none() && name.is_none()) {
            let blank = arguments.is_none_or(|text| text.trim().is_empty());
            return if blank {
                Ok(())
            } else {
                Err(Malformed::new("adds to a call that is not open").into())
            };
        }
        let id = id.unwrap_or_else(|| format!("call_{choice}_{place}"));
        if known.is_none() {
            if self.calls.len() == CALLS_LIMIT {
                return Err(Malformed::new("is one call too many").into());
            }
            self.calls.push(Numbered { choice, index: call.index, id: id.clone() });
        }
        let head = || Head::Call { id, name: name.unwrap_or_default(), kind };
        self.sequence.piece((choice, key), head, arguments.map(Delta::Text), out)
    }
}
