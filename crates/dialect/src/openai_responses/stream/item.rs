//! The item that a writer has open. The dialect tells each item whole once more when it is done, so its text is kept.

use super::super::response::{
    call_item, image_item, message_item, reasoning_item, refusal_part, text_part, write_citation,
    write_logprobs,
};
use crate::canon::{CallKind, Citation, Raw, Seal};
use crate::json::Json;

/// An item that is not done.
#[derive(Debug)]
pub(super) struct Item {
    /// Its id.
    pub(super) id: String,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// What the model says: parts that are done, as JSON with commas between, and the part that is not.
    Message { done: String, count: u64, part: Option<Part> },
    /// `told` once something may be read of it.
    Reasoning { text: String, told: bool, seal: Option<Seal> },
    /// A call.
    Call { call: String, name: String, kind: CallKind, arguments: String },
    /// A picture.
    Image { media_type: String, data: String },
    /// A whole item of this dialect.
    Other { raw: Raw },
}

/// A part of a message. Sources and probabilities are JSON with commas between.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) refusal: bool,
    pub(super) text: String,
    pub(super) sources: String,
    pub(super) cited: u64,
    pub(super) logprobs: String,
    pub(super) logprobs_of_events: String,
}

// === impl Item ===

impl Item {
    /// The item as it is by now.
    pub(super) fn write(&self, json: &mut Json<'_>, state: &str) {
        match &self.what {
            What::Message { done, .. } => message_item(json, &self.id, state, done),
            What::Reasoning { text, told, seal } => {
                reasoning_item(json, &self.id, told.then_some(text), seal.as_ref());
            }
            What::Call { call, name, kind, arguments } => {
                call_item(json, (&self.id, call, name, *kind), state, arguments);
            }
            What::Image { media_type, data } => {
                image_item(json, &self.id, media_type, Some(data.as_str()).filter(|data| !data.is_empty()));
            }
            What::Other { raw } => {
                json.raw(raw);
            }
        }
    }

    /// The number of its part that is not done, in a message.
    pub(super) fn part(&mut self) -> Option<(u64, &mut Part)> {
        match &mut self.what {
            What::Message { count, part, .. } => part.as_mut().map(|part| (*count, part)),
            _ => None,
        }
    }

    /// Bytes that it keeps.
    pub(super) fn size(&self) -> usize {
        match &self.what {
            What::Message { done, part, .. } => {
                let part = part
                    .as_ref()
                    .map_or(0, |part| part.text.len() + part.sources.len() + part.logprobs.len() * 2);
                done.len() + part
            }
            What::Reasoning { text, .. } => text.len(),
            What::Call { arguments, .. } => arguments.len(),
            What::Image { data, .. } => data.len(),
            What::Other { raw } => raw.as_str().len(),
        }
    }
}

// === impl Part ===

impl Part {
    pub(super) fn write(&self, json: &mut Json<'_>) {
        if self.refusal {
            refusal_part(json, &self.text);
        } else {
            text_part(json, &self.text, &self.sources, &self.logprobs);
        }
    }

    /// Adds a source; its JSON, or none if the dialect cannot say it.
    pub(super) fn cite(&mut self, citation: &Citation) -> Option<String> {
        let whole = u64::try_from(self.text.chars().count()).ok();
        let source = json(|json| {
            write_citation(json, citation, whole);
        });
        if source.is_empty() {
            return None;
        }
        join(&mut self.sources, &source);
        self.cited += 1;
        Some(source)
    }

    /// Adds probabilities, a JSON list.
    pub(super) fn add_logprobs(&mut self, list: &Raw) {
        join(&mut self.logprobs, &write_logprobs(list, true));
        join(&mut self.logprobs_of_events, &write_logprobs(list, false));
    }
}

/// JSON as text.
pub(super) fn json(write: impl FnOnce(&mut Json<'_>)) -> String {
    let mut bytes = Vec::new();
    write(&mut Json::new(&mut bytes));
    // What `Json` writes is text.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Adds a value to a list without its brackets.
pub(super) fn join(list: &mut String, value: &str) {
    if !list.is_empty() && !value.is_empty() {
        list.push(',');
    }
    list.push_str(value);
}
