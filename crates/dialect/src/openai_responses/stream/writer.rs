//! Events to events of the dialect. Its last event tells the whole answer once more, and SDKs take the answer from there,
//! so it is kept until then: the one dialect in which memory grows with the answer (docs/decisions/0013).

use super::super::response::{Run, write_logprobs, write_run};
use super::super::wire::{DIALECT, status};
use super::item::{Item, Part, What, keep};
use crate::canon::{CallKind, Citation, Delta, Event, Head, Raw, Seal, Stop};
use crate::codec::{Asked, Writer};
use crate::fault::{self, Code, Fault};
use crate::frame::sse;
use crate::json::Json;
use crate::stream::EVENT_LIMIT;
use crate::usage::Usage;
use keyway_proto::snapshot::v1::Endpoint;

/// Bytes of words that a stream keeps: text, thoughts, arguments, sources, probabilities. More than any model answers; one
/// that is longer breaks off, since its end could not tell it.
pub(crate) const KEPT_LIMIT: usize = 1024 * 1024;
/// Bytes of pictures that a stream keeps: as much as one event may have.
const PICTURES_LIMIT: usize = EVENT_LIMIT;
/// Letters of the reply's id that ids of items are made of.
const STEM_LIMIT: usize = 40;

/// Writes one stream.
#[derive(Debug)]
pub(crate) struct ResponsesWriter {
    asked: Asked,
    sequence: u64,
    /// Items that are done.
    output: Vec<Item>,
    item: Option<Item>,
    /// The block that is open, if it is one that is written.
    block: Option<u32>,
    usage: Option<Usage>,
    tier: Option<String>,
    stop: Option<Stop>,
    over: bool,
    /// Bytes that are kept: of words and of pictures.
    kept: usize,
    pictures: usize,
    bounded: bool,
}

// === impl ResponsesWriter ===

impl ResponsesWriter {
    pub(crate) fn new(asked: &Asked) -> Self {
        Self {
            asked: asked.clone(),
            sequence: 0,
            output: Vec::new(),
            item: None,
            block: None,
            usage: None,
            tier: None,
            stop: None,
            over: false,
            kept: 0,
            pictures: 0,
            bounded: true,
        }
    }

    /// For a reply that is there already; whoever read it has bounded it.
    pub(crate) fn whole(asked: &Asked) -> Self {
        Self { bounded: false, ..Self::new(asked) }
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

    fn run_event(&mut self, kind: &str, out: &mut Vec<u8>) {
        let sequence = self.sequence;
        event(sequence, kind, out, |json| self.write_body(json.key("response")));
        self.sequence += 1;
    }

    /// An event of the open item.
    fn item_event(&mut self, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Json<'_>, &Item)) {
        let Some(item) = &self.item else { return };
        event(self.sequence, kind, out, |json| {
            json.member("item_id", &item.id).key("output_index").count(self.output.len() as u64);
            members(json, item);
        });
        self.sequence += 1;
    }

    /// The open item whole.
    fn whole_item_event(&mut self, kind: &str, out: &mut Vec<u8>) {
        let Some(item) = &self.item else { return };
        event(self.sequence, kind, out, |json| {
            json.key("output_index").count(self.output.len() as u64);
            item.write(json.key("item"));
        });
        self.sequence += 1;
    }

    fn open(&mut self, block: u32, head: &Head, out: &mut Vec<u8>) {
        let refusal = matches!(head, Head::Refusal);
        if refusal || matches!(head, Head::Text) {
            self.finish_part(out);
            if self.item.is_none() {
                self.begin("msg", None, What::Message { parts: Vec::new(), open: false }, out);
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
            Head::Other { dialect: DIALECT, raw } => {
                self.kept += raw.as_str().len();
                ("", None, What::Other { raw: raw.clone() })
            }
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
        let id = id.map_or_else(|| format!("{prefix}_{stem}_{}", self.output.len()), str::to_owned);
        self.item = Some(Item { id, state: "in_progress", what });
        self.whole_item_event("response.output_item.added", out);
    }

    fn begin_part(&mut self, refusal: bool, out: &mut Vec<u8>) {
        let Some(What::Message { parts, open }) = self.item.as_mut().map(|item| &mut item.what) else {
            return;
        };
        parts.push(Part::new(refusal));
        *open = true;
        self.part_event("response.content_part.added", out, |json, part| part.write(json.key("part")));
    }

    /// An event of the last part of a message.
    fn part_event(&mut self, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Json<'_>, &Part)) {
        self.item_event(kind, out, |json, item| {
            if let Some((number, part)) = item.last() {
                members(json.key("content_index").count(number), part);
            }
        });
    }

    fn finish_part(&mut self, out: &mut Vec<u8>) {
        let Some(What::Message { open, parts }) = self.item.as_mut().map(|item| &mut item.what) else {
            return self.finish(out, "completed");
        };
        if !std::mem::take(open) {
            return;
        }
        let (kind, name) = match parts.last().is_some_and(|part| part.refusal) {
            true => ("response.refusal.done", "refusal"),
            false => ("response.output_text.done", "text"),
        };
        self.part_event(kind, out, |json, part| {
            json.member(name, &part.text);
            if !part.refusal {
                json.key("logprobs").open_list();
                part.logprobs(json, false);
                json.close_list();
            }
        });
        self.part_event("response.content_part.done", out, |json, part| part.write(json.key("part")));
    }

    /// Ends the open item.
    fn finish(&mut self, out: &mut Vec<u8>, state: &'static str) {
        match self.item.as_mut().map(|item| &mut item.what) {
            None => return,
            Some(What::Message { .. }) => self.finish_part(out),
            Some(What::Reasoning { told: true, .. }) => self.finish_summary(out),
            Some(What::Call { kind, arguments, .. }) => {
                let kind = *kind;
                // No arguments are an empty object.
                if arguments.is_empty() && kind == CallKind::Function {
                    self.more(&Delta::Text("{}".to_owned()), out);
                }
                self.finish_call(kind, out);
            }
            Some(What::Reasoning { .. } | What::Image { .. } | What::Other { .. }) => {}
        }
        self.item.iter_mut().for_each(|item| item.state = state);
        self.whole_item_event("response.output_item.done", out);
        self.output.extend(self.item.take());
        self.block = None;
    }

    fn finish_call(&mut self, kind: CallKind, out: &mut Vec<u8>) {
        let (event, name) = match kind {
            CallKind::Function => ("response.function_call_arguments.done", "arguments"),
            CallKind::Custom => ("response.custom_tool_call_input.done", "input"),
        };
        self.item_event(event, out, |json, item| {
            if let What::Call { arguments, .. } = &item.what {
                json.member(name, arguments);
            }
        });
    }

    fn finish_summary(&mut self, out: &mut Vec<u8>) {
        self.item_event("response.reasoning_summary_text.done", out, |json, item| {
            json.key("summary_index").count(0).member("text", item.thought());
        });
        self.item_event("response.reasoning_summary_part.done", out, |json, item| {
            json.key("summary_index").count(0).key("part").open_object().member("type", "summary_text");
            json.member("text", item.thought()).close_object();
        });
    }

    /// More of the open block.
    fn more(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match (self.item.as_mut().map(|item| &mut item.what), delta) {
            (Some(What::Message { .. }), Delta::Text(text)) => self.say(text, "[]", out),
            (Some(What::Message { .. }), Delta::Citation(citation)) => self.cite(citation, out),
            (Some(What::Reasoning { .. }), Delta::Text(text)) => self.think(text, out),
            (Some(What::Reasoning { seal, .. }), Delta::Seal(made)) => {
                self.kept += made.value.len();
                *seal = Some(Seal::clone(made));
            }
            (Some(What::Call { arguments, kind, .. }), Delta::Text(text)) => {
                let event = match kind {
                    CallKind::Function => "response.function_call_arguments.delta",
                    CallKind::Custom => "response.custom_tool_call_input.delta",
                };
                keep(arguments, text);
                self.kept += text.len();
                self.item_event(event, out, |json, _| {
                    json.member("delta", text);
                });
            }
            (Some(What::Image { data, .. }), Delta::Text(text)) => {
                keep(data, text);
                self.pictures += text.len();
            }
            _ => {}
        }
    }

    fn say(&mut self, text: &str, logprobs: &str, out: &mut Vec<u8>) {
        let Some((_, part)) = self.item.as_mut().and_then(Item::part) else { return };
        part.say(text);
        self.kept += text.len();
        let kind = if part.refusal { "response.refusal.delta" } else { "response.output_text.delta" };
        self.part_event(kind, out, |json, part| {
            json.member("delta", text);
            if !part.refusal {
                json.key("logprobs").literal(logprobs);
            }
        });
    }

    fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        let Some((_, part)) = self.item.as_mut().and_then(Item::part) else { return };
        let place = part.cited;
        let Some(source) = part.cite(citation) else { return };
        self.kept += source.len();
        self.part_event("response.output_text.annotation.added", out, |json, _| {
            json.key("annotation_index").count(place).key("annotation").literal(&source);
        });
    }

    fn think(&mut self, more: &str, out: &mut Vec<u8>) {
        let Some(What::Reasoning { text, told, .. }) = self.item.as_mut().map(|item| &mut item.what) else {
            return;
        };
        keep(text, more);
        self.kept += more.len();
        if !std::mem::replace(told, true) {
            self.item_event("response.reasoning_summary_part.added", out, |json, _| {
                json.key("summary_index").count(0).key("part").open_object().member("type", "summary_text");
                json.member("text", "").close_object();
            });
        }
        self.item_event("response.reasoning_summary_text.delta", out, |json, _| {
            json.key("summary_index").count(0).member("delta", more);
        });
    }

    /// Probabilities stand beside a piece of text; they come after it, so with an empty one.
    fn logprobs(&mut self, raw: &Raw, out: &mut Vec<u8>) {
        match self.item.as_mut().and_then(Item::part) {
            Some((_, part)) if !part.refusal => part.add_logprobs(raw),
            _ => return,
        }
        self.kept += raw.as_str().len();
        self.say("", &format!("[{}]", write_logprobs(raw, false)), out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        let state = self.stop.as_ref().map_or("completed", |stop| status(stop).0);
        self.run_event(&format!("response.{state}"), out);
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        self.over = true;
        // Nothing of it is told any more.
        (self.output, self.item) = (Vec::new(), None);
        out.extend_from_slice(&fault::encode_event(fault, DIALECT, Endpoint::Responses));
    }

    /// Breaks off if the answer has become too long.
    fn bound(&mut self, out: &mut Vec<u8>) {
        if self.bounded && (self.kept > KEPT_LIMIT || self.pictures > PICTURES_LIMIT) {
            let message = "the answer is longer than this API can tell whole at its end";
            self.fault(&Fault::new(Code::UpstreamError, message), out);
        }
    }
}

/// One event.
fn event(sequence: u64, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Json<'_>)) {
    sse::write(Some(kind), out, |json| {
        json.open_object().member("type", kind).key("sequence_number").count(sequence);
        members(json);
        json.close_object();
    });
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
            Event::Open { choice: 0, block, head } => {
                self.open(*block, head, out);
                self.bound(out);
            }
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
