//! Events to events of the dialect. Its last event tells the whole answer once more, so the answer is kept until then: the
//! one dialect in which memory grows with the answer.

use super::super::response::{Run, write_logprobs, write_run};
use super::super::wire::{DIALECT, status};
use super::item::{Item, Part, What, join, json};
use crate::canon::{CallKind, Citation, Delta, Event, Head, Raw, Seal, Stop};
use crate::codec::{Asked, Writer};
use crate::fault::{self, Code, Fault};
use crate::frame::sse;
use crate::json::Json;
use crate::stream::EVENT_LIMIT;
use crate::usage::Usage;
use keyway_proto::snapshot::v1::Endpoint;

/// Bytes of an answer that a stream keeps; one that is longer breaks off, since the event that ends it could not be read.
pub(crate) const KEPT_LIMIT: usize = EVENT_LIMIT;
/// Letters of the reply's id that ids of items are made of.
const STEM_LIMIT: usize = 40;

/// Writes one stream.
#[derive(Debug)]
pub(crate) struct ResponsesWriter {
    asked: Asked,
    sequence: u64,
    /// Items that are done, as JSON with commas between, and how many they are.
    output: String,
    count: u64,
    item: Option<Item>,
    /// The block that is open, if it is one that is written.
    block: Option<u32>,
    usage: Option<Usage>,
    tier: Option<String>,
    stop: Option<Stop>,
    over: bool,
    limit: usize,
}

// === impl ResponsesWriter ===

impl ResponsesWriter {
    pub(crate) fn new(asked: &Asked) -> Self {
        Self {
            asked: asked.clone(),
            sequence: 0,
            output: String::new(),
            count: 0,
            item: None,
            block: None,
            usage: None,
            tier: None,
            stop: None,
            over: false,
            limit: KEPT_LIMIT,
        }
    }

    /// For a reply that is there already; whoever read it has bounded it.
    pub(crate) fn whole(asked: &Asked) -> Self {
        Self { limit: usize::MAX, ..Self::new(asked) }
    }

    /// The run as it is by now.
    pub(crate) fn write_body(&self, json: &mut Json<'_>) {
        let run = Run {
            asked: &self.asked,
            stop: self.stop.as_ref(),
            output: &self.output,
            usage: self.usage.as_ref(),
            tier: self.tier.as_deref(),
        };
        write_run(json, &run);
    }

    fn event(&mut self, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Json<'_>)) {
        sse::write(Some(kind), out, |json| {
            json.open_object().member("type", kind).key("sequence_number").count(self.sequence);
            members(json);
            json.close_object();
        });
        self.sequence += 1;
    }

    fn run_event(&mut self, kind: &str, out: &mut Vec<u8>) {
        let run = json(|json| self.write_body(json));
        self.event(kind, out, |json| {
            json.key("response").literal(&run);
        });
    }

    /// An event of the open item.
    fn item_event(&mut self, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Json<'_>)) {
        let index = self.count;
        let Some(item) = self.item.take() else { return };
        self.event(kind, out, |json| {
            json.member("item_id", &item.id).key("output_index").count(index);
            members(json);
        });
        self.item = Some(item);
    }

    /// The open item whole.
    fn whole_item_event(&mut self, kind: &str, out: &mut Vec<u8>, state: &str) -> String {
        let index = self.count;
        let Some(item) = &self.item else { return String::new() };
        let written = json(|json| item.write(json, state));
        self.event(kind, out, |json| {
            json.key("output_index").count(index).key("item").literal(&written);
        });
        written
    }

    fn open(&mut self, block: u32, head: &Head, out: &mut Vec<u8>) {
        let refusal = matches!(head, Head::Refusal);
        if refusal || matches!(head, Head::Text) {
            self.finish_part(out);
            if self.item.is_none() {
                self.begin("msg", None, What::Message { done: String::new(), count: 0, part: None }, out);
            }
            self.begin_part(refusal, out);
            self.block = Some(block);
            return;
        }
        self.finish(out, "completed");
        let (prefix, id, what) = match head {
            Head::Reasoning { id } => {
                let what = What::Reasoning { text: String::new(), told: false, seal: None };
                ("rs", id.as_deref().filter(|id| id.starts_with("rs_")), what)
            }
            Head::Call { id, name, kind } => {
                let prefix = if *kind == CallKind::Function { "fc" } else { "ctc" };
                let (call, name) = (id.clone(), name.clone());
                (prefix, None, What::Call { call, name, kind: *kind, arguments: String::new() })
            }
            Head::Image { media_type } => {
                ("ig", None, What::Image { media_type: media_type.clone(), data: String::new() })
            }
            Head::Other { dialect: DIALECT, raw } => ("", None, What::Other { raw: raw.clone() }),
            // Sound and other dialects' own pieces have no item here.
            Head::Text | Head::Refusal | Head::Sound { .. } | Head::Other { .. } => return,
        };
        self.begin(prefix, id, what, out);
        self.block = Some(block);
    }

    /// Ids of items are the reply's with a number, so that none comes twice in a conversation.
    fn begin(&mut self, prefix: &str, id: Option<&str>, what: What, out: &mut Vec<u8>) {
        let stem = self.asked.id.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-');
        let stem: String = stem.take(STEM_LIMIT).collect();
        let id = id.map_or_else(|| format!("{prefix}_{stem}_{}", self.count), str::to_owned);
        self.item = Some(Item { id, what });
        self.whole_item_event("response.output_item.added", out, "in_progress");
    }

    fn begin_part(&mut self, refusal: bool, out: &mut Vec<u8>) {
        let part = Part { refusal, ..Part::default() };
        let written = json(|json| part.write(json));
        let Some(Item { what: What::Message { count, part: open, .. }, .. }) = &mut self.item else { return };
        *open = Some(part);
        let number = *count;
        self.item_event("response.content_part.added", out, |json| {
            json.key("content_index").count(number).key("part").literal(&written);
        });
    }

    fn finish_part(&mut self, out: &mut Vec<u8>) {
        let Some(Item { what: What::Message { count, part, done }, .. }) = &mut self.item else {
            return self.finish(out, "completed");
        };
        let Some(part) = part.take() else { return };
        let number = *count;
        let written = json(|json| part.write(json));
        *count += 1;
        join(done, &written);
        let (kind, name) = match part.refusal {
            true => ("response.refusal.done", "refusal"),
            false => ("response.output_text.done", "text"),
        };
        self.item_event(kind, out, |json| {
            json.key("content_index").count(number).member(name, &part.text);
            if !part.refusal {
                json.key("logprobs").literal(&format!("[{}]", part.logprobs_of_events));
            }
        });
        self.item_event("response.content_part.done", out, |json| {
            json.key("content_index").count(number).key("part").literal(&written);
        });
    }

    /// Ends the open item.
    fn finish(&mut self, out: &mut Vec<u8>, state: &str) {
        let mut call = None;
        match self.item.as_mut().map(|item| &mut item.what) {
            None => return,
            Some(What::Message { .. }) => self.finish_part(out),
            Some(What::Reasoning { told: true, text, .. }) => {
                let text = text.clone();
                self.finish_summary(&text, out);
            }
            Some(What::Call { kind, arguments, .. }) => {
                // No arguments are an empty object.
                let empty = arguments.is_empty() && *kind == CallKind::Function;
                call = Some((*kind, if empty { "{}".to_owned() } else { arguments.clone() }, empty));
            }
            Some(What::Reasoning { .. } | What::Image { .. } | What::Other { .. }) => {}
        }
        if let Some((kind, arguments, empty)) = call {
            if empty {
                self.more(&Delta::Text(arguments.clone()), out);
            }
            let (event, name) = match kind {
                CallKind::Function => ("response.function_call_arguments.done", "arguments"),
                CallKind::Custom => ("response.custom_tool_call_input.done", "input"),
            };
            self.item_event(event, out, |json| {
                json.member(name, &arguments);
            });
        }
        let written = self.whole_item_event("response.output_item.done", out, state);
        join(&mut self.output, &written);
        self.count += 1;
        self.item = None;
        self.block = None;
    }

    fn finish_summary(&mut self, text: &str, out: &mut Vec<u8>) {
        self.item_event("response.reasoning_summary_text.done", out, |json| {
            json.key("summary_index").count(0).member("text", text);
        });
        self.item_event("response.reasoning_summary_part.done", out, |json| {
            json.key("summary_index").count(0).key("part").open_object().member("type", "summary_text");
            json.member("text", text).close_object();
        });
    }

    /// More of the open block.
    fn more(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match (self.item.as_mut().map(|item| &mut item.what), delta) {
            (Some(What::Message { .. }), Delta::Text(text)) => self.say(text, "[]", out),
            (Some(What::Message { .. }), Delta::Citation(citation)) => self.cite(citation, out),
            (Some(What::Reasoning { .. }), Delta::Text(text)) => self.think(text, out),
            (Some(What::Reasoning { seal, .. }), Delta::Seal(made)) => *seal = Some(Seal::clone(made)),
            (Some(What::Call { arguments, kind, .. }), Delta::Text(text)) => {
                arguments.push_str(text);
                let event = match kind {
                    CallKind::Function => "response.function_call_arguments.delta",
                    CallKind::Custom => "response.custom_tool_call_input.delta",
                };
                self.item_event(event, out, |json| {
                    json.member("delta", text);
                });
            }
            (Some(What::Image { data, .. }), Delta::Text(text)) => data.push_str(text),
            _ => {}
        }
    }

    fn say(&mut self, text: &str, logprobs: &str, out: &mut Vec<u8>) {
        let Some((number, part)) = self.item.as_mut().and_then(Item::part) else { return };
        part.text.push_str(text);
        let refusal = part.refusal;
        let kind = if refusal { "response.refusal.delta" } else { "response.output_text.delta" };
        self.item_event(kind, out, |json| {
            json.key("content_index").count(number).member("delta", text);
            if !refusal {
                json.key("logprobs").literal(logprobs);
            }
        });
    }

    fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        let Some((number, part)) = self.item.as_mut().and_then(Item::part) else { return };
        let place = part.cited;
        let Some(source) = part.cite(citation) else { return };
        self.item_event("response.output_text.annotation.added", out, |json| {
            json.key("content_index").count(number).key("annotation_index").count(place);
            json.key("annotation").literal(&source);
        });
    }

    fn think(&mut self, more: &str, out: &mut Vec<u8>) {
        let Some(What::Reasoning { text, told, .. }) = self.item.as_mut().map(|item| &mut item.what) else {
            return;
        };
        text.push_str(more);
        if !std::mem::replace(told, true) {
            self.item_event("response.reasoning_summary_part.added", out, |json| {
                json.key("summary_index").count(0).key("part").open_object().member("type", "summary_text");
                json.member("text", "").close_object();
            });
        }
        self.item_event("response.reasoning_summary_text.delta", out, |json| {
            json.key("summary_index").count(0).member("delta", more);
        });
    }

    /// Probabilities stand beside a piece of text; they come after it, so with an empty one.
    fn logprobs(&mut self, raw: &Raw, out: &mut Vec<u8>) {
        match self.item.as_mut().and_then(Item::part) {
            Some((_, part)) if !part.refusal => part.add_logprobs(raw),
            _ => return,
        }
        self.say("", &format!("[{}]", write_logprobs(raw, false)), out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        let state = self.stop.as_ref().map_or("completed", |stop| status(stop).0);
        self.run_event(&format!("response.{state}"), out);
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        self.over = true;
        out.extend_from_slice(&fault::encode_event(fault, DIALECT, Endpoint::Responses));
    }

    /// Breaks off if the answer has become too long.
    fn bound(&mut self, out: &mut Vec<u8>) {
        let kept = self.output.len() + self.item.as_ref().map_or(0, Item::size);
        if kept > self.limit {
            let message =
                format!("the answer is longer than {} bytes, the most that one event can hold", self.limit);
            self.fault(&Fault::new(Code::UpstreamError, message), out);
        }
    }
}

impl Writer for ResponsesWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, created, usage } => {
                self.asked.id = id.clone().unwrap_or_else(|| std::mem::take(&mut self.asked.id));
                self.asked.model = model.clone().unwrap_or_else(|| std::mem::take(&mut self.asked.model));
                self.asked.created = created.unwrap_or(self.asked.created);
                self.usage = *usage;
                self.run_event("response.created", out);
                self.run_event("response.in_progress", out);
            }
            // There is one answer here; nobody can have asked for more.
            Event::Open { choice: 0, block, head } => self.open(*block, head, out),
            Event::Delta { block, delta } if self.block == Some(*block) => {
                self.more(delta, out);
                self.bound(out);
            }
            // A message goes on with the next text; all else is done.
            Event::Close { block } if self.block == Some(*block) => {
                if self.item.as_mut().is_some_and(|item| !matches!(item.what, What::Message { .. })) {
                    self.finish(out, "completed");
                }
                self.block = None;
            }
            Event::Logprobs { choice: 0, raw } => {
                self.logprobs(raw, out);
                self.bound(out);
            }
            Event::Stop { choice: 0, stop } => {
                let state = if status(stop).0 == "incomplete" { "incomplete" } else { "completed" };
                self.finish(out, state);
                self.stop = Some(stop.clone());
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Tier(tier) => self.tier = Some(tier.clone()),
            Event::Fault(fault) => self.fault(fault, out),
            Event::End => self.end(out),
            Event::Open { .. }
            | Event::Delta { .. }
            | Event::Close { .. }
            | Event::Logprobs { .. }
            | Event::Stop { .. } => {}
        }
    }
}
