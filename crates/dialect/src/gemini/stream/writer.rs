//! Events to chunks. Text goes on at once; a call or a picture waits until it is whole, since parts have no pieces.
//! Reasons wait for the end, where counts are known: one chunk tells both, as the provider does it.

use super::super::{citation, logprobs, response, usage, wire};
use crate::canon::{Call, CallKind, Citation, Delta, Event, Head, Seal, Stop};
use crate::codec::{Asked, Writer};
use crate::fault::{Code, Fault, encode_event};
use crate::frame::sse;
use crate::json::Json;
use crate::stream::EVENT_LIMIT;
use crate::usage::Usage;
use keyway_proto::snapshot::v1::Endpoint;

/// Bytes of all calls and pictures that are waited for at once. Beyond it the answer is broken off.
const WAITING_LIMIT: usize = EVENT_LIMIT;

/// Writes one stream.
#[derive(Debug)]
pub(crate) struct GeminiWriter {
    id: String,
    model: String,
    usage: Option<Usage>,
    blocks: Vec<Open>,
    /// By choice, the signature that the next part carries.
    signatures: Vec<(u32, String)>,
    /// Choices whose text has not been ASCII all along.
    wide: Vec<u32>,
    stops: Vec<(u32, Stop)>,
    broken: bool,
}

#[derive(Debug)]
struct Open {
    block: u32,
    choice: u32,
    head: Head,
    /// What waits: arguments or base64.
    waiting: String,
    /// True once a part of it has gone out.
    said: bool,
    seal: Option<Seal>,
}

// === impl GeminiWriter ===

impl GeminiWriter {
    pub(crate) fn new(asked: &Asked) -> Self {
        Self {
            id: asked.id.clone(),
            model: asked.model.clone(),
            usage: None,
            blocks: Vec::new(),
            signatures: Vec::new(),
            wide: Vec::new(),
            stops: Vec::new(),
            broken: false,
        }
    }
}

impl Writer for GeminiWriter {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.broken {
            return;
        }
        match event {
            Event::Start { id, model, usage, .. } => {
                self.id = id.clone().unwrap_or_else(|| std::mem::take(&mut self.id));
                self.model = model.clone().unwrap_or_else(|| std::mem::take(&mut self.model));
                self.usage = *usage;
            }
            Event::Open { choice, block, head } => self.open(*choice, *block, head, out),
            Event::Delta { block, delta } => self.delta(*block, delta, out),
            Event::Close { block } => self.close(*block, out),
            Event::Logprobs { choice, raw } => {
                let raw = std::slice::from_ref(raw);
                self.candidate(*choice, out, |json| logprobs::write(json.key("logprobsResult"), raw));
            }
            Event::Stop { choice, stop } => self.stops.push((*choice, stop.clone())),
            Event::Usage(usage) => self.usage = Some(*usage),
            // Tiers are the provider's own words; the dialect's are others.
            Event::Tier(_) => {}
            Event::Fault(fault) => self.fault(fault, out),
            Event::End => self.end(out),
        }
    }
}

impl GeminiWriter {
    fn open(&mut self, choice: u32, block: u32, head: &Head, out: &mut Vec<u8>) {
        if let Head::Other { dialect, raw } = head {
            if *dialect == wire::DIALECT {
                let signature = self.signature(choice);
                self.parts(choice, out, |json| {
                    response::flush(json, signature);
                    json.raw(raw);
                });
            }
            return;
        }
        let head = head.clone();
        self.blocks.push(Open { block, choice, head, waiting: String::new(), said: false, seal: None });
    }

    fn delta(&mut self, block: u32, delta: &Delta, out: &mut Vec<u8>) {
        let waiting: usize = self.blocks.iter().map(|open| open.waiting.len()).sum();
        let Some(open) = self.blocks.iter_mut().find(|open| open.block == block) else { return };
        let choice = open.choice;
        match (&open.head, delta) {
            (_, Delta::Seal(seal)) => open.seal = Some(seal.clone()),
            (Head::Call { .. } | Head::Image { .. }, Delta::Text(more)) => {
                if waiting + more.len() > WAITING_LIMIT {
                    let fault =
                        Fault::new(Code::UpstreamError, "the answer holds a part that is too large to go on");
                    return self.fault(&fault, out);
                }
                open.waiting.push_str(more);
            }
            (Head::Reasoning { .. }, Delta::Text(more)) if !more.is_empty() => {
                open.said = true;
                let before = self.signature(choice);
                self.parts(choice, out, |json| {
                    response::flush(json, before);
                    response::write_text(json, more, true, None);
                });
            }
            (Head::Text | Head::Refusal, Delta::Text(more))
            | (Head::Sound { .. }, Delta::Transcript(more))
                if !more.is_empty() =>
            {
                self.text(choice, more, out);
            }
            (_, Delta::Citation(citation)) => self.citation(choice, citation, out),
            _ => {}
        }
    }

    fn text(&mut self, choice: u32, text: &str, out: &mut Vec<u8>) {
        if !text.is_ascii() && !self.wide.contains(&choice) {
            self.wide.push(choice);
        }
        let signature = self.signature(choice);
        self.parts(choice, out, |json| response::write_text(json, text, false, signature.as_deref()));
    }

    fn citation(&mut self, choice: u32, citation: &Citation, out: &mut Vec<u8>) {
        let spans = !self.wide.contains(&choice);
        self.candidate(choice, out, |json| citation::write(json, &[citation], spans));
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(at) = self.blocks.iter().position(|open| open.block == block) else { return };
        let Open { choice, head, waiting, said, seal, .. } = self.blocks.swap_remove(at);
        match head {
            Head::Call { id, name, .. } => {
                let signature = self.signature(choice);
                let call = Call { id, name, arguments: waiting, kind: CallKind::Function };
                self.parts(choice, out, |json| response::write_call(json, &call, signature.as_deref()));
            }
            Head::Image { media_type } => {
                let signature = self.signature(choice);
                self.parts(choice, out, |json| {
                    response::write_image(json, &media_type, &waiting, signature.as_deref());
                });
            }
            Head::Reasoning { .. } => self.sealed(choice, said, seal.as_ref(), out),
            Head::Text | Head::Refusal | Head::Sound { .. } | Head::Other { .. } => {}
        }
    }

    /// The signature of thoughts that were shown closes them; that of hidden ones stands on the next part.
    fn sealed(&mut self, choice: u32, said: bool, seal: Option<&Seal>, out: &mut Vec<u8>) {
        let Some(signature) = seal.and_then(wire::signature) else { return };
        if said {
            self.parts(choice, out, |json| response::write_text(json, "", true, Some(&signature)));
            return;
        }
        if let Some(before) = self.signature(choice) {
            self.parts(choice, out, |json| response::flush(json, Some(before)));
        }
        self.signatures.push((choice, signature));
    }

    /// Takes the signature that the next part of a choice carries.
    fn signature(&mut self, choice: u32) -> Option<String> {
        let at = self.signatures.iter().position(|(of, _)| *of == choice)?;
        Some(self.signatures.swap_remove(at).1)
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        self.broken = true;
        out.extend_from_slice(&encode_event(fault, wire::DIALECT, Endpoint::ChatCompletions));
    }

    /// The last chunk: every reason, and the counts.
    fn end(&mut self, out: &mut Vec<u8>) {
        let stops = std::mem::take(&mut self.stops);
        let signatures: Vec<Option<String>> =
            stops.iter().map(|(choice, _)| self.signature(*choice)).collect();
        sse::write(None, out, |json| {
            json.open_object().key("candidates").open_list();
            for ((choice, stop), signature) in stops.iter().zip(&signatures) {
                json.open_object();
                if signature.is_some() || !response::is_silent(stop.reason) {
                    json.key("content").open_object().key("parts").open_list();
                    response::write_text(json, "", false, signature.as_deref());
                    json.close_list().member("role", "model").close_object();
                }
                response::write_stop(json, stop);
                json.key("index").count((*choice).into()).close_object();
            }
            json.close_list();
            if let Some(usage) = &self.usage {
                usage::write(json.key("usageMetadata"), usage);
            }
            self.close_chunk(json);
        });
    }

    /// A chunk with parts of one answer.
    fn parts(&self, choice: u32, out: &mut Vec<u8>, parts: impl FnOnce(&mut Json<'_>)) {
        sse::write(None, out, |json| {
            json.open_object().key("candidates").open_list().open_object();
            json.key("content").open_object().key("parts").open_list();
            parts(json);
            json.close_list().member("role", "model").close_object();
            json.key("index").count(choice.into()).close_object().close_list();
            self.close_chunk(json);
        });
    }

    /// A chunk with other members of one answer. It has an empty text too: SDKs take a chunk without parts for broken.
    fn candidate(&self, choice: u32, out: &mut Vec<u8>, members: impl FnOnce(&mut Json<'_>)) {
        sse::write(None, out, |json| {
            json.open_object().key("candidates").open_list().open_object();
            json.key("content").open_object().key("parts").open_list();
            response::write_text(json, "", false, None);
            json.close_list().member("role", "model").close_object();
            members(json);
            json.key("index").count(choice.into()).close_object().close_list();
            self.close_chunk(json);
        });
    }

    fn close_chunk(&self, json: &mut Json<'_>) {
        json.member("modelVersion", &self.model).member("responseId", &self.id).close_object();
    }
}
