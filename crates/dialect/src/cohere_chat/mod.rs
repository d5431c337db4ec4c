//! Cohere's chat, version 2: <https://docs.cohere.com/reference/chat>, as the official SDK's types have it. What a model
//! plans before it calls tools (`tool_plan`) is a thought of its own name here.

mod error;
mod request;
mod response;
mod stream;
mod wire;

#[cfg(test)]
mod tests;

use crate::canon::{Request, Response};
use crate::codec::{Asked, Codec, Encoded, Envelope, Reader, Target, Writer};
use crate::fault::Fault;
use crate::json::{Malformed, Value};
use crate::losses::{Thing, Unsupported, Words};
use crate::usage::Usage;
use bytes::Bytes;
use keyway_proto::snapshot::v1::Dialect;

pub(crate) use error::{encode as encode_fault, encode_event as encode_fault_event, failed_status};

/// What the usage of a chat, or the `meta` of other replies, says that is billed; none if it says nothing or nonsense.
pub(crate) fn usage(object: &[u8]) -> Option<Usage> {
    wire::usage(Value::parse(object).ok()?)
}

/// The codec.
#[derive(Debug)]
pub(crate) struct CohereChat;

// === impl CohereChat ===

impl Codec for CohereChat {
    fn dialect(&self) -> Dialect {
        Dialect::CohereChat
    }

    fn words(&self) -> Words {
        Words { turns: "messages", blocks: "content", system: "messages", tools: "tools" }
    }

    fn spelling(&self, thing: Thing) -> &'static str {
        wire::spelling(thing)
    }

    fn needed(&self) -> &'static [&'static str] {
        &["documents"]
    }

    fn decode_request(&self, body: &[u8], _: &Envelope<'_>) -> Result<Request, Malformed> {
        request::decode(body)
    }

    fn encode_request(&self, request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        request::encode(request, target)
    }

    fn decode_response(&self, body: &[u8], target: &Target<'_>) -> Result<Response, Malformed> {
        response::decode(body, target)
    }

    fn encode_response(&self, response: &Response, asked: &Asked) -> Bytes {
        response::encode(response, asked)
    }

    fn reader(&self, target: &Target<'_>) -> Box<dyn Reader> {
        Box::new(stream::CohereReader::new(target))
    }

    fn writer(&self, asked: &Asked) -> Box<dyn Writer> {
        Box::new(stream::CohereWriter::new(asked))
    }

    fn fault(&self, status: u16, body: &[u8]) -> Fault {
        error::decode(status, body)
    }
}
