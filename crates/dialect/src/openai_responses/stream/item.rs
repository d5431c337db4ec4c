//! An item that a writer has begun. The dialect tells each item whole when it is done and all of them once more at the
//! end, so its text is kept: once, as it came.

use super::super::response::{
    call_item, image_item, message_item, reasoning_item, refusal_part, text_part, write_citation,
    write_logprobs,
};
use crate::canon::{CallKind, Citation, Raw, Seal};
use crate::json::Json;

/// Kept text grows by this share of its size, not to its double.
const GROWTH: usize = 8;

/// An item.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its id.
    pub(super) id: String,
    /// `in_progress` until it is done.
    pub(super) state: &'static str,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// What the model says; while `open`, more of the last part comes.
    Message { parts: Vec<Part>, open: bool },
    /// `told` once something may be read of it.
    Reasoning { text: String, told: bool, seal: Option<Seal> },
    /// A call.
    Call { call: String, name: String, kind: CallKind, arguments: String },
    /// A picture.
    Image { media_type: String, data: String },
    /// A whole item of this dialect.
    Other { raw: Raw },
}

/// A part of a message.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) refusal: bool,
    pub(super) text: String,
    /// How many characters that is.
    letters: u64,
    /// JSON with commas between.
    sources: String,
    pub(super) cited: u64,
    logprobs: Vec<Raw>,
}

// === impl Item ===

impl Item {
    /// The item as it is by now.
    pub(crate) fn write(&self, json: &mut Json<'_>) {
        match &self.what {
            What::Message { parts, .. } => message_item(json, &self.id, self.state, |json| {
                parts.iter().for_each(|part| part.write(json));
            }),
            What::Reasoning { text, told, seal } => {
                reasoning_item(json, &self.id, told.then_some(text), seal.as_ref());
            }
            What::Call { call, name, kind, arguments } => {
                call_item(json, (&self.id, call, name, *kind), self.state, arguments);
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
            What::Message { parts, open: true } => {
                let number = (parts.len() as u64).saturating_sub(1);
                parts.last_mut().map(|part| (number, part))
            }
            _ => None,
        }
    }

    /// What may be read of a thought.
    pub(super) fn thought(&self) -> &str {
        match &self.what {
            What::Reasoning { text, .. } => text,
            _ => "",
        }
    }

    /// The last part, done or not.
    pub(super) fn last(&self) -> Option<(u64, &Part)> {
        match &self.what {
            What::Message { parts, .. } => {
                parts.last().map(|part| ((parts.len() as u64).saturating_sub(1), part))
            }
            _ => None,
        }
    }
}

// === impl Part ===

impl Part {
    pub(super) fn new(refusal: bool) -> Self {
        Self { refusal, ..Self::default() }
    }

    pub(super) fn write(&self, json: &mut Json<'_>) {
        if self.refusal {
            refusal_part(json, &self.text);
        } else {
            text_part(json, &self.text, &self.sources, |json| self.logprobs(json, true));
        }
    }

    /// Probabilities, without the brackets of their list.
    pub(super) fn logprobs(&self, json: &mut Json<'_>, with_bytes: bool) {
        for list in &self.logprobs {
            let written = write_logprobs(list, with_bytes);
            if !written.is_empty() {
                json.literal(&written);
            }
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        keep(&mut self.text, text);
        self.letters += text.chars().count() as u64;
    }

    /// Adds a source; its JSON, or none if the dialect cannot say it.
    pub(super) fn cite(&mut self, citation: &Citation) -> Option<String> {
        let source = json(|json| {
            write_citation(json, citation, Some(self.letters));
        });
        if source.is_empty() {
            return None;
        }
        if !self.sources.is_empty() {
            self.sources.push(',');
        }
        keep(&mut self.sources, &source);
        self.cited += 1;
        Some(source)
    }

    /// Adds probabilities, a JSON list.
    pub(super) fn add_logprobs(&mut self, list: &Raw) {
        self.logprobs.push(list.clone());
    }
}

/// Adds to text that is kept to the end of the answer.
pub(super) fn keep(kept: &mut String, more: &str) {
    if kept.capacity() - kept.len() < more.len() {
        kept.reserve_exact(more.len().max(kept.len() / GROWTH));
    }
    kept.push_str(more);
}

/// JSON as text.
fn json(write: impl FnOnce(&mut Json<'_>)) -> String {
    let mut bytes = Vec::new();
    write(&mut Json::new(&mut bytes));
    // What `Json` writes is text.
    String::from_utf8(bytes).unwrap_or_default()
}
