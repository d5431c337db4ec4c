//! Events to chunks. Each choice's first chunk names the role; usage comes last, in a chunk of its own, where the caller
//! asked for it.

use super::super::response::{write_citation, write_image, write_logprobs, write_stop, write_usage};
use super::super::wire::{DIALECT, tier, write_detail};
use crate::canon::{CallKind, Delta, Event, Head, Raw, Reasoning, Seal};
use crate::codec::{Asked, Writer};
use crate::fault;
use crate::frame::sse;
use crate::json::Json;
use crate::stream::EVENT_LIMIT;
use crate::usage::Usage;
use keyway_proto::snapshot::v1::Endpoint;

/// Writes one stream.
#[derive(Debug)]
pub(crate) struct ChatWriter {
    asked: Asked,
    choices: Vec<Choice>,
    open: Vec<Open>,
    usage: Option<Usage>,
    tier: Option<&'static str>,
}

#[derive(Debug)]
struct Choice {
    number: u32,
    begun: bool,
    calls: u64,
    thoughts: u32,
    /// A seal without text, which belongs to what comes next.
    seal: Option<Seal>,
}

#[derive(Debug)]
struct Open {
    block: u32,
    choice: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    Text,
    Refusal,
    /// What seals it is written at its end, when it is known whether it has text.
    Reasoning {
        told: bool,
        seal: Option<Seal>,
    },
    Call {
        index: u64,
        kind: CallKind,
        /// True once it has arguments.
        said: bool,
    },
    /// Pictures go out whole; one that is too large to hold is left out.
    Image {
        media_type: String,
        data: Option<String>,
    },
    Sound {
        id: Option<String>,
    },
    Other,
}

// === impl ChatWriter ===

impl ChatWriter {
    pub(crate) fn new(asked: &Asked) -> Self {
        Self { asked: asked.clone(), choices: Vec::new(), open: Vec::new(), usage: None, tier: None }
    }

    fn choice(&mut self, number: u32) -> Option<&mut Choice> {
        if !self.choices.iter().any(|choice| choice.number == number) {
            self.choices.push(Choice { number, begun: false, calls: 0, thoughts: 0, seal: None });
        }
        self.choices.iter_mut().find(|choice| choice.number == number)
    }

    /// The members that every chunk begins with.
    fn head(&self, json: &mut Json<'_>) {
        json.open_object().member("id", &self.asked.id).member("object", "chat.completion.chunk");
        json.key("created").count(self.asked.created).member("model", &self.asked.model);
        json.maybe("service_tier", self.tier);
    }

    /// A chunk with one choice; `delta` writes what is new and `rest` what stands beside it.
    fn chunk(
        &mut self,
        number: u32,
        out: &mut Vec<u8>,
        delta: impl FnOnce(&mut Json<'_>),
        rest: impl FnOnce(&mut Json<'_>),
    ) {
        let begun = self.choice(number).is_some_and(|choice| std::mem::replace(&mut choice.begun, true));
        sse::write(None, out, |json| {
            self.head(json);
            json.key("choices").open_list().open_object().key("index").count(number.into());
            json.key("delta").open_object();
            if !begun {
                json.member("role", "assistant");
            }
            delta(json);
            json.close_object();
            rest(json);
            json.close_object().close_list();
            if self.asked.include_usage {
                json.key("usage").null();
            }
            json.close_object();
        });
    }

    fn piece(&mut self, number: u32, out: &mut Vec<u8>, delta: impl FnOnce(&mut Json<'_>)) {
        self.chunk(number, out, delta, |json| {
            json.key("finish_reason").null();
        });
    }

    fn open(&mut self, block: u32, number: u32, head: &Head, out: &mut Vec<u8>) {
        let call = match head {
            Head::Call { id, .. } => Some(id.as_str()),
            _ => None,
        };
        self.flush_seal(number, call, out);
        let what = match head {
            Head::Text => What::Text,
            Head::Refusal => What::Refusal,
            Head::Reasoning { .. } => What::Reasoning { told: false, seal: None },
            Head::Image { media_type } => {
                What::Image { media_type: media_type.clone(), data: Some(String::new()) }
            }
            Head::Sound { id } => What::Sound { id: id.clone() },
            Head::Other { .. } => What::Other,
            Head::Call { id, name, kind } => {
                let index = self.choice(number).map_or(0, |choice| {
                    choice.calls += 1;
                    choice.calls - 1
                });
                self.piece(number, out, |json| write_call(json, index, id, name, *kind));
                What::Call { index, kind: *kind, said: false }
            }
        };
        self.open.push(Open { block, choice: number, what });
    }

    fn more(&mut self, block: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(at) = self.open.iter().position(|open| open.block == block) else { return };
        // Taken out while the chunk is written.
        let mut open = self.open.swap_remove(at);
        let number = open.choice;
        match (&mut open.what, delta) {
            (What::Text, Delta::Text(text)) => self.piece(number, out, |json| {
                json.member("content", text);
            }),
            (What::Text, Delta::Citation(citation)) => self.piece(number, out, |json| {
                write_citation(json.key("annotations").open_list(), citation);
                json.close_list();
            }),
            (What::Refusal, Delta::Text(text)) => self.piece(number, out, |json| {
                json.member("refusal", text);
            }),
            (What::Reasoning { told, .. }, Delta::Text(text)) => {
                *told = true;
                self.thought(number, text, None, out);
            }
            (What::Reasoning { seal, .. }, Delta::Seal(made)) => *seal = Some(made.clone()),
            (What::Call { index, kind, said }, Delta::Text(text)) => {
                let (index, kind) = (*index, *kind);
                *said = true;
                self.piece(number, out, |json| write_arguments(json, index, kind, text));
            }
            (What::Image { data, .. }, Delta::Text(text)) => {
                let fits = |data: &String| data.len() + text.len() <= EVENT_LIMIT;
                *data = data.take().filter(fits).map(|data| data + text);
            }
            (What::Sound { id }, delta) => {
                let id = id.clone();
                self.piece(number, out, |json| write_sound(json, id.as_deref(), delta));
            }
            _ => {}
        }
        self.open.push(open);
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(at) = self.open.iter().position(|open| open.block == block) else { return };
        let open = self.open.swap_remove(at);
        match open.what {
            What::Image { media_type, data: Some(data) } => {
                let url = format!("data:{media_type};base64,{data}");
                self.piece(open.choice, out, |json| {
                    write_image(json.key("images").open_list(), &url);
                    json.close_list();
                });
            }
            // No arguments are an empty object: callers parse what they get.
            What::Call { index, kind: CallKind::Function, said: false } => {
                self.piece(open.choice, out, |json| write_arguments(json, index, CallKind::Function, "{}"));
            }
            What::Reasoning { told: true, seal } => {
                if let Some(seal) = seal.filter(|seal| !seal.wrap(DIALECT).is_empty()) {
                    self.thought(open.choice, "", Some(&seal), out);
                }
                self.choice(open.choice).into_iter().for_each(|choice| choice.thoughts += 1);
            }
            What::Reasoning { told: false, seal } => {
                self.choice(open.choice).into_iter().for_each(|choice| choice.seal = seal.clone());
            }
            _ => {}
        }
    }

    /// A piece of the current thought, in the plain field and as a detail that can be put together by its index.
    fn thought(&mut self, number: u32, text: &str, seal: Option<&Seal>, out: &mut Vec<u8>) {
        let index = self.choice(number).map_or(0, |choice| choice.thoughts);
        let piece = Reasoning { id: None, text: text.to_owned(), seal: seal.cloned() };
        self.piece(number, out, |json| {
            if !text.is_empty() {
                json.member("reasoning_content", text);
            }
            write_detail(json.key("reasoning_details").open_list(), &piece, None, index);
            json.close_list();
        });
    }

    /// A seal that came without text goes out as a thought of its own, with the call that follows it. One that says
    /// nothing in this dialect is not written.
    fn flush_seal(&mut self, number: u32, call: Option<&str>, out: &mut Vec<u8>) {
        let Some(choice) = self.choice(number) else { return };
        let Some(seal) = choice.seal.take().filter(|seal| !seal.wrap(DIALECT).is_empty()) else { return };
        let index = choice.thoughts;
        choice.thoughts += 1;
        let thought = Reasoning { id: None, text: String::new(), seal: Some(seal) };
        self.piece(number, out, |json| {
            write_detail(json.key("reasoning_details").open_list(), &thought, call, index);
            json.close_list();
        });
    }

    fn logprobs(&mut self, number: u32, raw: &Raw, out: &mut Vec<u8>) {
        let rest = |json: &mut Json<'_>| {
            write_logprobs(json.key("logprobs"), std::slice::from_ref(raw));
            json.key("finish_reason").null();
        };
        self.chunk(number, out, |_| (), rest);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(usage) = self.usage.filter(|_| self.asked.include_usage) {
            sse::write(None, out, |json| {
                self.head(json);
                json.key("choices").open_list().close_list();
                write_usage(json.key("usage"), &usage);
                json.close_object();
            });
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

impl Writer for ChatWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model, created, usage } => {
                self.asked.id = id.clone().unwrap_or_else(|| std::mem::take(&mut self.asked.id));
                self.asked.model = model.clone().unwrap_or_else(|| std::mem::take(&mut self.asked.model));
                self.asked.created = created.unwrap_or(self.asked.created);
                self.usage = *usage;
            }
            Event::Open { choice, block, head } => self.open(*block, *choice, head, out),
            Event::Delta { block, delta } => self.more(*block, delta, out),
            Event::Close { block } => self.close(*block, out),
            Event::Logprobs { choice, raw } => self.logprobs(*choice, raw, out),
            Event::Stop { choice, stop } => {
                self.flush_seal(*choice, None, out);
                self.chunk(*choice, out, |_| (), |json| write_stop(json, stop));
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Tier(said) => self.tier = tier(said),
            Event::Fault(fault) => {
                out.extend_from_slice(&fault::encode_event(fault, DIALECT, Endpoint::ChatCompletions));
            }
            Event::End => self.end(out),
        }
    }
}

fn write_call(json: &mut Json<'_>, index: u64, id: &str, name: &str, kind: CallKind) {
    json.key("tool_calls").open_list().open_object().key("index").count(index).member("id", id);
    match kind {
        CallKind::Function => json.member("type", "function").key("function").open_object(),
        CallKind::Custom => json.member("type", "custom").key("custom").open_object(),
    };
    json.member("name", name).member(words(kind), "").close_object().close_object().close_list();
}

fn write_arguments(json: &mut Json<'_>, index: u64, kind: CallKind, text: &str) {
    let field = if kind == CallKind::Function { "function" } else { "custom" };
    json.key("tool_calls").open_list().open_object().key("index").count(index).key(field).open_object();
    json.member(words(kind), text).close_object().close_object().close_list();
}

fn words(kind: CallKind) -> &'static str {
    if kind == CallKind::Function { "arguments" } else { "input" }
}

fn write_sound(json: &mut Json<'_>, id: Option<&str>, delta: &Delta) {
    json.key("audio").open_object().maybe("id", id);
    match delta {
        Delta::Text(data) => json.member("data", data),
        Delta::Transcript(words) => json.member("transcript", words),
        Delta::Expires(at) => json.key("expires_at").count(*at),
        Delta::Seal(_) | Delta::Citation(_) => json,
    };
    json.close_object();
}
