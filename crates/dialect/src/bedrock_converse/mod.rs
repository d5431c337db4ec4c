//! Amazon Bedrock's Converse: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>, as
//! botocore's model of the service has it. The model's name stands in the path. What Converse has no field for goes into
//! `additionalModelRequestFields`, in the words of Anthropic's models, unless a row says that its model knows none.

mod error;
mod part;
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
use wire::Counts;

pub(crate) use error::{
    encode as encode_fault, encode_event as encode_fault_event, exception as fault_name, exception_status,
};

/// What a `usage` counts; none if it counts nonsense.
pub(crate) fn usage(object: &[u8]) -> Option<Usage> {
    response::counts(Value::parse(object).ok()?.fields().ok()?).ok()?.usage()
}

/// What the headers count of the reply of an invoked model; none if they count nothing or nonsense.
pub(crate) fn heralded<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Usage> {
    let count = |name| header(name).and_then(|count| count.trim().parse::<u64>().ok());
    let counts = Counts {
        input: count("x-amzn-bedrock-input-token-count")?,
        output: count("x-amzn-bedrock-output-token-count").unwrap_or_default(),
        read: count("x-amzn-bedrock-cache-read-input-token-count").unwrap_or_default(),
        written: count("x-amzn-bedrock-cache-write-input-token-count").unwrap_or_default(),
        long: 0,
    };
    counts.usage()
}

/// What the counts say that the service adds to the last chunk of an invoked model.
pub(crate) fn invoked(metrics: &[u8]) -> Option<Usage> {
    let mut fields = Value::parse(metrics).ok()?.fields().ok()?;
    let mut count = |name| Some(fields.count(name).ok()?.unwrap_or_default());
    let counts = Counts {
        input: count("inputTokenCount")?,
        output: count("outputTokenCount")?,
        read: count("cacheReadInputTokenCount")?,
        written: count("cacheWriteInputTokenCount")?,
        long: 0,
    };
    counts.usage()
}

/// The codec.
#[derive(Debug)]
pub(crate) struct BedrockConverse;

// === impl BedrockConverse ===

impl Codec for BedrockConverse {
    fn dialect(&self) -> Dialect {
        Dialect::BedrockConverse
    }

    fn words(&self) -> Words {
        Words { turns: "messages", blocks: "content", system: "system", tools: "toolConfig.tools" }
    }

    fn spelling(&self, thing: Thing) -> &'static str {
        wire::spelling(thing)
    }

    fn needed(&self) -> &'static [&'static str] {
        &["guardrailConfig", "promptVariables", "additionalModelResponseFieldPaths"]
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

    fn encode_response(&self, response: &Response, _: &Asked) -> Bytes {
        response::encode(response)
    }

    fn reader(&self, target: &Target<'_>) -> Box<dyn Reader> {
        Box::new(stream::ConverseReader::new(target))
    }

    fn writer(&self, _: &Asked) -> Box<dyn Writer> {
        Box::new(stream::ConverseWriter::default())
    }

    fn fault(&self, status: u16, body: &[u8]) -> Fault {
        error::decode(status, body)
    }
}
