//! Events of the dialect to events. Deltas tell; what is whole in `done` events counts only where no delta came.

use super::super::{error, response, wire};
use super::event::Wire;
use crate::canon::{Call, CallKind, Delta, Event, Head, Media, Part, Raw, Sequence, Source};
use crate::codec::{Broken, Reader, Target};
use crate::frame::sse::Sse;
use crate::json::{Malformed, Value};
use serde_json::value::RawValue;

/// Items that may be open at once.
const OPEN_LIMIT: usize = 128;
const DONE: &[u8] = b"[DONE]";
/// What stands between two parts of a thought.
const PARAGRAPH: &str = "\n\n";

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct ResponsesReader {
    sse: Sse,
    reading: Reading,
}

#[derive(Debug)]
struct Reading {
    provider: String,
    sequence: Sequence<Key>,
    open: Vec<Open>,
    place: Place,
    any: bool,
    called: bool,
    refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    Over,
}

/// The item's place in `output`, and that of the part in a message; all else has only one.
type Key = (u64, u64);

/// An item that has begun.
#[derive(Debug)]
struct Open {
    index: u64,
    id: Option<String>,
    /// Parts of which something has come: all below this one.
    parts: u64,
    cited: bool,
    /// It is a call, whose block its beginning opened.
    called: bool,
    thought: Thought,
}

/// Which of the two texts of a thought is told: the one that came first. With it the number of its last part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thought {
    None,
    Summary(u64),
    Content(u64),
}

// === impl ResponsesReader ===

impl ResponsesReader {
    pub(crate) fn new(target: &Target<'_>) -> Self {
        let reading = Reading {
            provider: target.provider.to_owned(),
            sequence: Sequence::new(),
            open: Vec::new(),
            place: Place::Before,
            any: false,
            called: false,
            refused: false,
        };
        Self { sse: Sse::default(), reading }
    }
}

impl Reader for ResponsesReader {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), Broken> {
        let reading = &mut self.reading;
        self.sse.push(bytes, &mut |name, data| reading.event(name, data, out))
    }

    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), Broken> {
        let reading = &mut self.reading;
        self.sse.end(&mut |name, data| reading.event(name, data, out))?;
        if reading.place == Place::Over { Ok(()) } else { Err(Broken::Cut) }
    }
}

// === impl Reading ===

impl Reading {
    fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Event>) -> Result<(), Broken> {
        if self.place == Place::Over || data.trim_ascii() == DONE {
            return Ok(());
        }
        let mut event: Wire<'_> =
            serde_json::from_slice(data).map_err(|_| Malformed::new("is no event of a response"))?;
        if event.r#type.is_empty() {
            event.r#type = std::str::from_utf8(name).unwrap_or_default().to_owned();
        }
        match event.r#type.as_str() {
            "error" | "response.failed" => return self.failed(event.response, data, out),
            "" if event.error.is_some() => return self.failed(None, data, out),
            "response.created" | "response.in_progress" | "response.queued" => {
                return self.start(event.response, out);
            }
            kind if !kind.starts_with("response.") => return Ok(()),
            _ => self.start(None, out)?,
        }
        match event.r#type.as_str() {
            "response.output_item.added" => self.added(&event, out),
            "response.output_item.done" => match event.item {
                Some(item) => self.done(event.output_index, Value::of(item), out),
                None => Ok(()),
            },
            "response.completed" | "response.incomplete" => self.finish(&event, out),
            _ => self.piece(&event, out),
        }
    }

    fn start(&mut self, response: Option<&RawValue>, out: &mut Vec<Event>) -> Result<(), Broken> {
        if self.place != Place::Before {
            return Ok(());
        }
        self.place = Place::Within;
        let (mut id, mut model, mut created) = (None, None, None);
        if let Some(response) = response {
            let mut fields = Value::of(response).fields()?;
            id = fields.text("id")?.filter(|id| !id.is_empty());
            model = fields.text("model")?;
            created = fields.with("created_at", response::seconds)?;
        }
        out.push(Event::Start { id, model, created, usage: None });
        Ok(())
    }

    /// A failed run has been used all the same.
    fn failed(
        &mut self,
        response: Option<&RawValue>,
        data: &[u8],
        out: &mut Vec<Event>,
    ) -> Result<(), Broken> {
        let usage = response.and_then(|response| Value::of(response).fields().ok()?.take("usage"));
        if self.place == Place::Within {
            out.extend(usage.and_then(response::usage).map(Event::Usage));
        }
        out.push(Event::Fault(Box::new(error::decode(200, data))));
        self.place = Place::Over;
        Ok(())
    }

    fn finish(&mut self, event: &Wire<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let state = event.r#type.trim_start_matches("response.");
        let mut incomplete = None;
        if let Some(response) = event.response {
            let mut fields = Value::of(response).fields()?;
            if let Some(output) = fields.take("output").filter(|_| !self.any) {
                let items = output.each(|_, item| Ok(item))?;
                items.into_iter().zip(0..).try_for_each(|(item, index)| self.done(index, item, out))?;
            }
            out.extend(fields.text("service_tier")?.map(Event::Tier));
            out.extend(fields.take("usage").and_then(response::usage).map(Event::Usage));
            let reason = fields.with("incomplete_details", |value| value.fields()?.text("reason"))?;
            incomplete = reason.flatten();
        }
        let stop = wire::stop(state, incomplete.as_deref(), self.called, self.refused);
        self.sequence.stop(0, stop, out)?;
        out.push(Event::End);
        self.place = Place::Over;
        Ok(())
    }

    /// The item at this place, begun if it has not been.
    fn item(&mut self, index: u64, id: Option<&str>) -> Result<&mut Open, Broken> {
        self.any = true;
        let place = match self.open.iter().position(|open| open.index == index) {
            Some(place) => place,
            None if self.open.len() == OPEN_LIMIT => {
                return Err(Malformed::new("has more than 128 items open").into());
            }
            None => {
                let id = id.filter(|id| !id.is_empty()).map(str::to_owned);
                let thought = Thought::None;
                self.open.push(Open { index, id, parts: 0, cited: false, called: false, thought });
                self.open.len() - 1
            }
        };
        self.open.get_mut(place).ok_or_else(|| Malformed::new("has no such item").into())
    }

    /// Only calls tell at their beginning what they are.
    fn added(&mut self, event: &Wire<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let Some(item) = event.item else { return Ok(()) };
        let mut fields = Value::of(item).fields()?;
        let id = fields.text("id")?;
        self.item(event.output_index, id.as_deref())?;
        let kind = match fields.text("type")?.as_deref() {
            Some("function_call") => CallKind::Function,
            Some("custom_tool_call") => CallKind::Custom,
            _ => return Ok(()),
        };
        self.called = true;
        let call = fields.text("call_id")?.or(id).unwrap_or_default();
        let name = fields.need("name", Value::text)?;
        self.item(event.output_index, None)?.called = true;
        let key = (event.output_index, 0);
        self.sequence.piece((0, key), || Head::Call { id: call, name, kind }, None, out)
    }

    fn piece(&mut self, event: &Wire<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        match event.r#type.as_str() {
            "response.output_text.delta" => self.said(event, event.delta, false, out),
            "response.refusal.delta" => self.said(event, event.delta, true, out),
            "response.output_text.done" if self.is_new(event) => self.said(event, event.text, false, out),
            "response.refusal.done" if self.is_new(event) => self.said(event, event.refusal, true, out),
            "response.output_text.annotation.added" => self.cited(event, out),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.arguments(event, out)
            }
            "response.reasoning_summary_text.delta" => {
                self.thought(event, Thought::Summary(event.summary_index), out)
            }
            "response.reasoning_text.delta" => {
                self.thought(event, Thought::Content(event.content_index), out)
            }
            // Beginnings, ends and progress of hosted tools say nothing that does not come with deltas or whole items.
            _ => Ok(()),
        }
    }

    /// True if nothing has come of the part.
    fn is_new(&self, event: &Wire<'_>) -> bool {
        let open = self.open.iter().find(|open| open.index == event.output_index);
        open.is_none_or(|open| open.parts <= event.content_index)
    }

    fn said(
        &mut self,
        event: &Wire<'_>,
        text: Option<&RawValue>,
        refusal: bool,
        out: &mut Vec<Event>,
    ) -> Result<(), Broken> {
        let text = words(text)?;
        if !text.is_empty() {
            let key = (event.output_index, event.content_index);
            let open = self.item(key.0, None)?;
            open.parts = open.parts.max(key.1.saturating_add(1));
            self.refused |= refusal;
            let head = if refusal { Head::Refusal } else { Head::Text };
            self.sequence.piece((0, key), || head, Some(Delta::Text(text)), out)?;
        }
        let told = event.logprobs.map(Raw::of).filter(|list| !response::is_empty(list));
        out.extend(told.map(|raw| Event::Logprobs { choice: 0, raw }));
        Ok(())
    }

    /// A source belongs to a text that has begun.
    fn cited(&mut self, event: &Wire<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let key = (event.output_index, event.content_index);
        let Some(annotation) = event.annotation.filter(|_| self.sequence.knows(0, &key)) else {
            return Ok(());
        };
        let citation = response::citation(Value::of(annotation))?;
        self.item(event.output_index, None)?.cited = true;
        self.sequence.piece((0, key), || Head::Text, Some(Delta::Citation(Box::new(citation))), out)
    }

    /// Arguments of a call that is open.
    fn arguments(&mut self, event: &Wire<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let key = (event.output_index, 0);
        let text = words(event.delta)?;
        if text.is_empty() {
            return Ok(());
        }
        if !self.sequence.knows(0, &key) {
            return Err(Malformed::new("adds to a call that is not open").into());
        }
        self.item(event.output_index, None)?.parts = 1;
        self.sequence.piece((0, key), || Head::Text, Some(Delta::Text(text)), out)
    }

    fn thought(&mut self, event: &Wire<'_>, part: Thought, out: &mut Vec<Event>) -> Result<(), Broken> {
        let mut text = words(event.delta)?;
        if text.is_empty() {
            return Ok(());
        }
        let open = self.item(event.output_index, event.item_id.as_deref())?;
        match (open.thought, part) {
            (Thought::None, _) => {}
            (Thought::Summary(last), Thought::Summary(next))
            | (Thought::Content(last), Thought::Content(next)) => {
                if last != next {
                    text.insert_str(0, PARAGRAPH);
                }
            }
            // The other text says the same again.
            _ => return Ok(()),
        }
        open.thought = part;
        open.parts = 1;
        let id = open.id.clone();
        let key = (event.output_index, 0);
        self.sequence.piece((0, key), || Head::Reasoning { id }, Some(Delta::Text(text)), out)
    }

    /// An item is whole: what has not been told of it is told now.
    fn done(&mut self, index: u64, value: Value<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let item = response::item(value, &self.provider)?;
        let Open { parts: told, cited, called, .. } = *self.item(index, None)?;
        self.open.retain(|open| open.index != index);
        for (part, number) in item.parts.into_iter().zip(0..) {
            // A call that was closed because the next one went on is not begun again.
            if called && !self.sequence.knows(0, &(index, number)) {
                // One of which nothing had come was pushed out by what waited, and would look empty.
                let lost = told == 0 && matches!(&part, Part::Call(call) if !call.arguments.is_empty());
                if lost {
                    return Err(Broken::Interleaved);
                }
                continue;
            }
            self.rest((index, number), part, (number < told, cited), out)?;
            self.sequence.close(0, &(index, number), out)?;
        }
        if told == 0 {
            out.extend(item.logprobs.into_iter().map(|raw| Event::Logprobs { choice: 0, raw }));
        }
        Ok(())
    }

    /// What of a part has not been told; `told` says so of its text and of its sources.
    fn rest(
        &mut self,
        key: Key,
        part: Part,
        (told, cited): (bool, bool),
        out: &mut Vec<Event>,
    ) -> Result<(), Broken> {
        let untold = |text: String| Some(text).filter(|text| !told && !text.is_empty());
        let at = (0, key);
        match part {
            Part::Text { text, citations } => {
                let text = untold(text).map(Delta::Text);
                let known = text.is_some() || self.sequence.knows(0, &key);
                let citations = citations.into_iter().filter(|_| known && !cited);
                for delta in text.into_iter().chain(citations.map(|one| Delta::Citation(Box::new(one)))) {
                    self.sequence.piece(at, || Head::Text, Some(delta), out)?;
                }
                Ok(())
            }
            Part::Refusal(text) => match untold(text) {
                Some(text) => {
                    self.refused = true;
                    self.sequence.piece(at, || Head::Refusal, Some(Delta::Text(text)), out)
                }
                None => Ok(()),
            },
            Part::Reasoning(thought) => {
                let seal = thought.seal.map(Delta::Seal);
                for delta in untold(thought.text).map(Delta::Text).into_iter().chain(seal) {
                    let id = thought.id.clone();
                    self.sequence.piece(at, || Head::Reasoning { id }, Some(delta), out)?;
                }
                Ok(())
            }
            Part::Call(call) => {
                self.called = true;
                let Call { id, name, arguments, kind } = *call;
                let text = untold(arguments).map(Delta::Text);
                let head = || Head::Call { id, name, kind };
                self.sequence.piece(at, head, text, out)
            }
            Part::Image(Media { source: Source::Inline { media_type, data }, .. }) => {
                self.sequence.piece(at, || Head::Image { media_type }, Some(Delta::Text(data)), out)
            }
            Part::Other { dialect, raw } => {
                self.sequence.piece(at, || Head::Other { dialect, raw }, None, out)
            }
            _ => Ok(()),
        }
    }
}

fn words(text: Option<&RawValue>) -> Result<String, Malformed> {
    text.map(|text| Value::of(text).text()).transpose().map(Option::unwrap_or_default)
}
