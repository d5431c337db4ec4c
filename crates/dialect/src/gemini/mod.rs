//! Gemini's `generateContent`: <https://ai.google.dev/api/generate-content>, as the official SDK's types have it. The
//! model and whether it streams stand in the path; streams are server-sent events (`alt=sse`) without an end marker.

mod citation;
mod error;
mod logprobs;
mod request;
mod response;
mod schema;
mod stream;
mod usage;
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

pub(crate) use wire::fields as camel_fields;

/// What a `usageMetadata` counts; none if it counts nothing or nonsense.
pub(crate) fn usage(object: &[u8]) -> Option<Usage> {
    usage::read(Value::parse(object).ok()?)
}

/// The codec.
#[derive(Debug)]
pub(crate) struct Gemini;

// === impl Gemini ===

impl Codec for Gemini {
    fn dialect(&self) -> Dialect {
        Dialect::Gemini
    }

    fn words(&self) -> Words {
        Words { turns: "contents", blocks: "parts", system: "systemInstruction.parts", tools: "tools" }
    }

    fn spelling(&self, thing: Thing) -> &'static str {
        wire::spelling(thing)
    }

    fn needed(&self) -> &'static [&'static str] {
        &[
            "cachedContent",
            "continuationToken",
            "responseModalities",
            "responseMimeType",
            "responseSchema",
            "responseFormat",
            "imageConfig",
            "speechConfig",
            "translationConfig",
            "audioTranscriptionConfig",
            "generationOutputConfig",
            "modelArmorConfig",
            "retrievalConfig",
        ]
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
        Box::new(stream::GeminiReader::new(target))
    }

    fn writer(&self, asked: &Asked) -> Box<dyn Writer> {
        Box::new(stream::GeminiWriter::new(asked))
    }

    fn fault(&self, status: u16, body: &[u8]) -> Fault {
        error::decode(status, body)
    }
}
