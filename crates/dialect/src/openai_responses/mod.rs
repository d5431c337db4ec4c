//! OpenAI Responses: <https://platform.openai.com/docs/api-reference/responses>, as the official SDK's types have it.
//! What the provider keeps (`previous_response_id`, `conversation`, hosted tools) means nothing elsewhere: another dialect
//! refuses it. A run of the model's items is one turn, as other dialects have it.

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
use crate::json::Malformed;
use crate::losses::{Thing, Unsupported, Words};
use bytes::Bytes;
use keyway_proto::snapshot::v1::Dialect;

/// The codec.
#[derive(Debug)]
pub(crate) struct OpenaiResponses;

// === impl OpenaiResponses ===

impl Codec for OpenaiResponses {
    fn dialect(&self) -> Dialect {
        wire::DIALECT
    }

    fn words(&self) -> Words {
        Words { turns: "input", blocks: "content", system: "instructions", tools: "tools" }
    }

    fn spelling(&self, thing: Thing) -> &'static str {
        wire::spelling(thing)
    }

    fn needed(&self) -> &'static [&'static str] {
        wire::NEEDED
    }

    fn private(&self) -> &'static [&'static str] {
        wire::PRIVATE
    }

    fn decode_request(&self, body: &[u8], envelope: &Envelope<'_>) -> Result<Request, Malformed> {
        request::decode(body, envelope)
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
        Box::new(stream::ResponsesReader::new(target))
    }

    fn writer(&self, asked: &Asked) -> Box<dyn Writer> {
        Box::new(stream::ResponsesWriter::new(asked))
    }

    fn fault(&self, status: u16, body: &[u8]) -> Fault {
        error::decode(status, body)
    }
}
