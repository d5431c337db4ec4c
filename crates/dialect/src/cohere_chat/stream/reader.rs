//! A provider's stream as events. A text stays open behind its end, since its sources may come later.

use super::super::error;
use super::super::wire::{self, PLAN, citation};
use crate::canon::{CallKind, Delta, Event, Head, Sequence};
use crate::codec::{Broken, Reader, Target};
use crate::frame::sse::Sse;
use crate::json::{Fields, Malformed, Value};

/// Reads one stream.
#[derive(Debug)]
pub(in super::super) struct CohereReader {
    sse: Sse,
    state: State,
}

#[derive(Debug)]
struct State {
    provider: String,
    sequence: Sequence<Key>,
    begun: bool,
    over: bool,
    /// The thought that has no seal yet.
    unsealed: Option<Key>,
}

/// What tells one block from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Text(u64),
    Thought(u64),
    Plan,
    Call(u64),
}

// === impl CohereReader ===

impl CohereReader {
    pub(in super::super) fn new(target: &Target<'_>) -> Self {
        let state = State {
            provider: target.provider.to_owned(),
            sequence: Sequence::new(),
            begun: false,
            over: false,
            unsealed: None,
        };
        Self { sse: Sse::default(), state }
    }
}

impl Reader for CohereReader {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), Broken> {
        let state = &mut self.state;
        self.sse.push(bytes, &mut |_, data| state.event(data, out))
    }

    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), Broken> {
        let state = &mut self.state;
        self.sse.end(&mut |_, data| state.event(data, out))?;
        if state.over { Ok(()) } else { Err(Broken::Cut) }
    }
}

// === impl State ===

impl State {
    fn event(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<(), Broken> {
        if self.over || data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let mut fields = Value::parse(data)?.fields()?;
        let kind = fields.need("type", Value::text)?;
        if !self.begun && !self.begin(&kind, &mut fields, out)? {
            return Ok(());
        }
        let index = fields.count("index")?.unwrap_or_default();
        if !matches!(kind.as_str(), "content-delta" | "tool-plan-delta") {
            self.seal(out)?;
        }
        match kind.as_str() {
            "content-start" | "content-delta" => self.content(index, &mut fields, out),
            "tool-plan-delta" => match message(&mut fields, |message| message.text(PLAN))? {
                Some(text) => self.thought(Key::Plan, text, out),
                None => Ok(()),
            },
            "tool-call-start" => self.call(index, &mut fields, out),
            "tool-call-delta" => self.arguments(index, &mut fields, out),
            "tool-call-end" => self.sequence.close(0, &Key::Call(index), out),
            "citation-start" => self.cite(&mut fields, out),
            "message-end" => self.finish(&mut fields, out),
            _ => Ok(()),
        }
    }

    /// The start, unless an event comes that starts nothing. Errors may come first of all.
    fn begin(&mut self, kind: &str, fields: &mut Fields<'_>, out: &mut Vec<Event>) -> Result<bool, Broken> {
        if kind == "debug" {
            return Ok(false);
        }
        self.begun = true;
        let id = fields.text("id")?;
        out.push(Event::Start { id, model: None, created: None, usage: None });
        Ok(true)
    }

    fn content(&mut self, index: u64, fields: &mut Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let logprobs = fields.take("logprobs").map(wire::logprobs).transpose()?;
        self.words(index, fields, out)?;
        // Behind the text that they are of: only then there is an answer which they belong to.
        out.extend(logprobs.map(|raw| Event::Logprobs { choice: 0, raw }));
        Ok(())
    }

    fn words(&mut self, index: u64, fields: &mut Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let read = |message: &mut Fields<'_>| {
            let content = message.with("content", Value::fields)?;
            let Some(mut content) = content else { return Ok(None) };
            Ok(Some((content.text("thinking")?, content.text("text")?)))
        };
        let Some((thinking, text)) = message(fields, read)? else { return Ok(()) };
        if let Some(text) = thinking.filter(|text| !text.is_empty()) {
            self.thought(Key::Thought(index), text, out)?;
        }
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(()) };
        self.seal(out)?;
        self.sequence.piece((0, Key::Text(index)), || Head::Text, Some(Delta::Text(text)), out)
    }

    fn thought(&mut self, key: Key, text: String, out: &mut Vec<Event>) -> Result<(), Broken> {
        if self.unsealed != Some(key) {
            self.seal(out)?;
        }
        self.unsealed = Some(key);
        self.sequence.piece((0, key), || head(key), Some(Delta::Text(text)), out)
    }

    /// The model signs nothing: a seal only names the maker. It comes when the thought has ended.
    fn seal(&mut self, out: &mut Vec<Event>) -> Result<(), Broken> {
        let Some(key) = self.unsealed.take() else { return Ok(()) };
        let seal = Delta::Seal(wire::seal(Some(&self.provider), key == Key::Plan));
        self.sequence.piece((0, key), || head(key), Some(seal), out)?;
        self.sequence.close(0, &key, out)
    }

    fn call(&mut self, index: u64, fields: &mut Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let read = |message: &mut Fields<'_>| {
            message.need("tool_calls", |call| {
                let mut call = call.fields()?;
                let id = call.need("id", Value::text)?;
                let mut function = call.need("function", Value::fields)?;
                let name = function.need("name", Value::text)?;
                let arguments = function.text("arguments")?.filter(|text| !text.is_empty());
                Ok(Some((Head::Call { id, name, kind: CallKind::Function }, arguments)))
            })
        };
        let Some((head, arguments)) = message(fields, read)? else { return Ok(()) };
        self.sequence.piece((0, Key::Call(index)), || head, arguments.map(Delta::Text), out)
    }

    fn arguments(&mut self, index: u64, fields: &mut Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let key = Key::Call(index);
        let read = |message: &mut Fields<'_>| {
            let call = message.with("tool_calls", Value::fields)?;
            let function = call.map(|mut call| call.with("function", Value::fields)).transpose()?.flatten();
            function.map(|mut function| function.text("arguments")).transpose().map(Option::flatten)
        };
        let Some(text) = message(fields, read)? else { return Ok(()) };
        if !self.sequence.knows(0, &key) {
            return Err(Malformed::new("has arguments of a call that has not begun").into());
        }
        self.sequence.piece((0, key), || Head::Text, Some(Delta::Text(text)), out)
    }

    /// Sources of a text that is open; those of plans and thoughts have no place in the model.
    fn cite(&mut self, fields: &mut Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        let read = |message: &mut Fields<'_>| {
            message.with("citations", |value| Ok((value.fields()?.count("content_index")?, citation(value)?)))
        };
        let Some((index, citation)) = message(fields, read)? else { return Ok(()) };
        let key = Key::Text(index.unwrap_or_default());
        if !self.sequence.knows(0, &key) {
            return Ok(());
        }
        self.sequence.piece((0, key), || Head::Text, Some(Delta::Citation(Box::new(citation))), out)
    }

    fn finish(&mut self, fields: &mut Fields<'_>, out: &mut Vec<Event>) -> Result<(), Broken> {
        self.over = true;
        let delta = fields.with("delta", Value::fields)?;
        let Some(mut delta) = delta else { return Err(Malformed::missing("delta").into()) };
        let reason = delta.text("finish_reason")?.unwrap_or_default();
        if error::failed_status(&reason).is_some() {
            let fault = error::decode_event(&reason, delta.text("error")?);
            out.push(Event::Fault(Box::new(fault)));
            return Ok(());
        }
        self.sequence.stop(0, wire::stop(&reason), out)?;
        out.extend(delta.take("usage").and_then(wire::usage).map(Event::Usage));
        out.push(Event::End);
        Ok(())
    }
}

fn head(key: Key) -> Head {
    Head::Reasoning { id: (key == Key::Plan).then(|| PLAN.to_owned()) }
}

/// Reads `delta.message`.
fn message<T>(
    fields: &mut Fields<'_>,
    read: impl FnOnce(&mut Fields<'_>) -> Result<Option<T>, Malformed>,
) -> Result<Option<T>, Malformed> {
    let inner = |delta: Value<'_>| delta.fields()?.with("message", |message| read(&mut message.fields()?));
    Ok(fields.with("delta", inner)?.flatten().flatten())
}
