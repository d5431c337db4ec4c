//! Anthropic's Messages: <https://docs.anthropic.com/en/api/messages>, as the official SDK's types have it.

mod error;
mod request;
mod response;
mod stream;
mod wire;

use crate::canon::{Request, Response};
use crate::codec::{Asked, Codec, Encoded, Envelope, Reader, Target, Writer};
use crate::fault::Fault;
use crate::json::Malformed;
use crate::losses::{Thing, Unsupported, Words};
use bytes::Bytes;
use keyway_proto::snapshot::v1::Dialect;

pub(crate) use request::decode_unlimited;
pub(crate) use wire::tier;

/// The codec.
#[derive(Debug)]
pub(crate) struct AnthropicMessages;

// === impl AnthropicMessages ===

impl Codec for AnthropicMessages {
    fn dialect(&self) -> Dialect {
        Dialect::AnthropicMessages
    }

    fn words(&self) -> Words {
        Words { turns: "messages", blocks: "content", system: "system", tools: "tools" }
    }

    fn spelling(&self, thing: Thing) -> &'static str {
        wire::spelling(thing)
    }

    fn needed(&self) -> &'static [&'static str] {
        &["container", "mcp_servers", "inference_geo"]
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
        Box::new(stream::MessagesReader::new(target))
    }

    fn writer(&self, asked: &Asked) -> Box<dyn Writer> {
        Box::new(stream::MessagesWriter::new(asked))
    }

    fn fault(&self, status: u16, body: &[u8]) -> Fault {
        error::decode(status, body)
    }
}
