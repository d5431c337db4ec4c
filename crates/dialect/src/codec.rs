//! A codec reads and writes one dialect. Nothing here waits, and nothing is kept between calls but by readers and
//! writers. This file also knows which dialects have a codec.

use crate::anthropic_messages;
use crate::bedrock_converse;
use crate::canon::{Event, Request, Response};
use crate::cohere_chat;
use crate::fault::{self, Fault};
use crate::gemini;
use crate::json::Malformed;
use crate::losses::{Lost, Thing, Unsupported, Words};
use crate::openai_chat;
use crate::openai_responses;
use crate::quirk::Quirks;
use crate::stream::BadStream;
use bytes::Bytes;
use keyway_proto::snapshot::v1::{Dialect, Endpoint};

/// One dialect, both ways.
pub trait Codec: Send + Sync + std::fmt::Debug {
    /// Which one.
    fn dialect(&self) -> Dialect;

    /// The dialect's words for the places of a request, for JSON paths.
    fn words(&self) -> Words;

    /// The dialect's field for a thing, seen from the place that it stands in; empty where the place says it all, and
    /// where the dialect cannot express it.
    fn spelling(&self, thing: Thing) -> &'static str;

    /// Members that the model does not know and without which the answer is not the one that was asked for: hosted
    /// tools, state at the provider. Other unknown members are dropped and named.
    fn needed(&self) -> &'static [&'static str];

    /// Members that the model does not know and that mean nothing outside the dialect, such as ids and states of items:
    /// dropped without a word.
    fn private(&self) -> &'static [&'static str] {
        &[]
    }

    /// A caller's body as what it means.
    ///
    /// # Errors
    /// The dialect does not allow it: 400, with the path.
    fn decode_request(&self, body: &[u8], envelope: &Envelope<'_>) -> Result<Request, Malformed>;

    /// The body for a target.
    ///
    /// # Errors
    /// Something cannot be expressed and is not harmless: 400, with its path in the caller's body.
    fn encode_request(&self, request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported>;

    /// A provider's whole reply as what it means.
    ///
    /// # Errors
    /// It is not a reply of this dialect.
    fn decode_response(&self, body: &[u8], target: &Target<'_>) -> Result<Response, Malformed>;

    /// The caller's whole reply.
    fn encode_response(&self, response: &Response, asked: &Asked) -> Bytes;

    /// Reads a provider's stream.
    fn reader(&self, target: &Target<'_>) -> Box<dyn Reader>;

    /// Writes a caller's stream.
    fn writer(&self, asked: &Asked) -> Box<dyn Writer>;

    /// A provider's error reply as what it means. Its message is the provider's: whoever shows it checks it first.
    fn fault(&self, status: u16, body: &[u8]) -> Fault;

    /// The caller's error reply.
    fn encode_fault(&self, fault: &Fault) -> Bytes {
        fault::encode(fault, self.dialect())
    }
}

/// Provider's bytes in, events out, in a legal order (`grammar`).
pub trait Reader: Send + std::fmt::Debug {
    /// Takes in any cut of the stream.
    ///
    /// # Errors
    /// The stream cannot be understood any further.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), Broken>;

    /// The provider's bytes have ended. Gives `Event::End` if the stream was complete and had not said so yet.
    ///
    /// # Errors
    /// The stream was cut: nothing in the bytes said that the answer was whole.
    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), Broken>;
}

/// Events in, caller's bytes out. Events come in a legal order; after `Fault` or `End` nothing comes.
pub trait Writer: Send + std::fmt::Debug {
    /// Writes what the event means to the end of `out`.
    fn write(&mut self, event: &Event, out: &mut Vec<u8>);
}

/// What of a request stands outside its body, as `ingress` found it.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The model as asked for; dialects that have it in the body read the same one there.
    pub model: &'a str,
    /// True if the path or the body asks for a stream.
    pub stream: bool,
}

/// Whom a request goes to, and a reply comes from.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The provider's id; seals name it.
    pub provider: &'a str,
    /// The model's name there.
    pub model: &'a str,
    /// What it does differently.
    pub quirks: &'a Quirks,
}

/// What the caller must see in a reply, whatever the provider says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Our id of the request, for replies to which the provider gave none.
    pub id: String,
    /// The model as asked for, where the provider names none.
    pub model: String,
    /// Unix seconds, where the provider tells none.
    pub created: u64,
    /// True if the stream shall tell its usage, where a dialect lets callers choose.
    pub include_usage: bool,
}

/// A request for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Its body.
    pub body: Bytes,
    /// What of the caller's request is not in it.
    pub lost: Vec<Lost>,
}

/// Why a stream is given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Its framing.
    #[error(transparent)]
    Frame(#[from] BadStream),
    /// An event that the dialect does not allow.
    #[error("an event of the stream: {0}")]
    Event(#[from] Malformed),
    /// Interleaved blocks that would have to be held.
    #[error("the stream interleaves more than {} bytes of calls", crate::canon::HELD_LIMIT)]
    Interleaved,
    /// It ended early.
    #[error("the stream ended before the answer was whole")]
    Cut,
}

/// The codec of a dialect; none while it has none.
#[must_use]
pub fn codec(dialect: Dialect) -> Option<&'static dyn Codec> {
    match dialect {
        Dialect::OpenaiChat => Some(&openai_chat::OpenaiChat),
        Dialect::OpenaiResponses => Some(&openai_responses::OpenaiResponses),
        Dialect::AnthropicMessages => Some(&anthropic_messages::AnthropicMessages),
        Dialect::Gemini => Some(&gemini::Gemini),
        Dialect::BedrockConverse => Some(&bedrock_converse::BedrockConverse),
        Dialect::CohereChat => Some(&cohere_chat::CohereChat),
        Dialect::Unspecified => None,
    }
}

/// The endpoint that a dialect's conversations go to.
#[must_use]
pub const fn endpoint(dialect: Dialect) -> Endpoint {
    match dialect {
        Dialect::OpenaiResponses => Endpoint::Responses,
        Dialect::AnthropicMessages => Endpoint::Messages,
        Dialect::OpenaiChat
        | Dialect::Gemini
        | Dialect::BedrockConverse
        | Dialect::CohereChat
        | Dialect::Unspecified => Endpoint::ChatCompletions,
    }
}
