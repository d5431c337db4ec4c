//! Counts of tokens: the conversation goes through the codecs, without what only matters to an answer, and what the
//! operation of the target does not take is left away. OpenAI's chat and Cohere's have no such operation.

use super::{Response, Says, foreign};
use crate::canon::{self, Format, Raw, Sampling};
use crate::codec::{Encoded, Envelope, Target, codec};
use crate::json::{Fields, Json, Malformed, Value};
use crate::losses::{Thing, Unsupported};
use crate::usage::COUNT_LIMIT;
use bytes::Bytes;
use keyway_proto::snapshot::v1::Dialect;

/// Bedrock's way to the conversation in a body.
const CONVERSE: [&str; 2] = ["input", "converse"];
/// Gemini's; each as it is written, and with a dot.
const WHOLES: [(&str, &str); 2] =
    [(WHOLE, "generateContentRequest."), ("generate_content_request", "generate_content_request.")];
const WHOLE: &str = "generateContentRequest";
/// Why a number is none.
const ABSURD: Malformed = Malformed { path: String::new(), what: "must be a sensible count" };

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    of: canon::Request,
    /// The object of the caller's body that holds the conversation, with a dot; empty for the body itself.
    within: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// All of it.
    total: u64,
    /// What of it is cached at the provider.
    cached: Option<u64>,
}

pub(super) fn decode(dialect: Dialect, body: &[u8], envelope: &Envelope<'_>) -> Result<Request, Malformed> {
    let codec = codec(dialect).ok_or_else(foreign)?;
    let (of, within) = match dialect {
        Dialect::AnthropicMessages => (crate::anthropic_messages::decode_unlimited(body)?, ""),
        Dialect::OpenaiResponses => (codec.decode_request(body, envelope)?, ""),
        Dialect::Gemini => {
            let fields = Value::parse(body)?.fields()?;
            let whole = WHOLES.iter().find_map(|(name, dotted)| Some((*name, *dotted, fields.peek(name)?)));
            match whole {
                Some((name, dotted, whole)) => {
                    let inner = codec.decode_request(whole.raw().as_str().as_bytes(), envelope);
                    (inner.map_err(|bad| bad.within(name))?, dotted)
                }
                None => (codec.decode_request(body, envelope)?, ""),
            }
        }
        Dialect::BedrockConverse => {
            let [input, converse] = CONVERSE;
            let inner = Value::parse(body)?.fields()?.need(input, |input| {
                input
                    .fields()?
                    .need(converse, |inner| codec.decode_request(inner.raw().as_str().as_bytes(), envelope))
            })?;
            (inner, "input.converse.")
        }
        Dialect::Unspecified | Dialect::OpenaiChat | Dialect::CohereChat => return Err(foreign()),
    };
    Ok(Request { of: bare(of), within })
}

/// A conversation without what only matters to its answer.
fn bare(request: canon::Request) -> canon::Request {
    canon::Request {
        stream: false,
        include_usage: false,
        max_tokens: None,
        stop: Vec::new(),
        sampling: Sampling::default(),
        choices: None,
        logprobs: None,
        // JSON by a schema is told to the model; JSON at large is only how tokens are drawn.
        format: if request.format == Format::Object { Format::Text } else { request.format },
        verbosity: None,
        sound: None,
        service_tier: None,
        user: None,
        metadata: None,
        store: None,
        cache_key: None,
        ..request
    }
}

pub(super) fn encode(
    request: &Request,
    dialect: Dialect,
    target: &Target<'_>,
) -> Result<Encoded, Unsupported> {
    let here = |path: String| format!("{}{path}", request.within);
    let codec = codec(dialect).filter(|_| super::Operation::CountTokens.endpoint(dialect).is_some());
    let Some(codec) = codec else {
        return Err(Unsupported { thing: Thing::Operation, path: "model".into(), target: dialect });
    };
    let encoded = codec
        .encode_request(&request.of, target)
        .map_err(|bad| Unsupported { path: here(bad.path), ..bad })?;
    let mut lost = encoded.lost;
    lost.iter_mut().for_each(|lost| lost.path = here(std::mem::take(&mut lost.path)));
    // What a codec writes is an object.
    let body = Value::parse(&encoded.body).and_then(Value::fields);
    let body = body.map(|members| envelop(members, dialect, target)).unwrap_or_default();
    Ok(Encoded { body: body.into(), lost })
}

/// The members of a request for an answer as a request for a count.
fn envelop(mut members: Fields<'_>, dialect: Dialect, target: &Target<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    json.open_object();
    match dialect {
        Dialect::AnthropicMessages => keep(&mut members, json, &ANTHROPIC),
        Dialect::BedrockConverse => {
            let [input, converse] = CONVERSE;
            json.key(input).open_object().key(converse).open_object();
            keep(&mut members, json, &BEDROCK);
            json.close_object().close_object();
        }
        Dialect::Gemini => {
            // A request for an answer must name its model even here; bare contents need not.
            let said = |name: &&str| members.peek(name).is_some_and(|value| says(&value.raw()));
            let more = GEMINI.iter().any(|name| *name != "contents" && said(name));
            if more {
                let model = super::embeddings::gemini_model(target.model);
                json.key(WHOLE).open_object().member("model", &model);
            }
            keep(&mut members, json, &GEMINI);
            if more {
                json.close_object();
            }
        }
        _ => keep(&mut members, json, &RESPONSES),
    }
    json.close_object();
    body
}

const ANTHROPIC: [&str; 8] =
    ["model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"];
const BEDROCK: [&str; 4] = ["messages", "system", "toolConfig", "additionalModelRequestFields"];
const GEMINI: [&str; 5] = ["contents", "systemInstruction", "tools", "toolConfig", "generationConfig"];
const RESPONSES: [&str; 8] =
    ["model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"];

/// What is left of settings may be nothing.
fn says(raw: &Raw) -> bool {
    raw.as_str() != "{}"
}

fn keep(members: &mut Fields<'_>, json: &mut Json<'_>, names: &[&str]) {
    for name in names {
        json.maybe_raw(name, members.raw(name).filter(says).as_ref());
    }
}

pub(super) fn decode_response(dialect: Dialect, body: &[u8]) -> Result<Response, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let (name, cached) = match dialect {
        Dialect::AnthropicMessages | Dialect::OpenaiResponses => ("input_tokens", None),
        Dialect::Gemini => ("totalTokens", fields.count("cachedContentTokenCount")?),
        Dialect::BedrockConverse => ("inputTokens", None),
        Dialect::Unspecified | Dialect::OpenaiChat | Dialect::CohereChat => return Err(foreign()),
    };
    let total = fields.need(name, Value::count)?;
    if total > COUNT_LIMIT {
        return Err(ABSURD.within(name));
    }
    let says = Says::CountTokens(Counted { total, cached });
    Ok(Response { id: None, model: None, usage: None, says })
}

pub(super) fn encode_response(origin: Dialect, Counted { total, cached }: Counted) -> Bytes {
    let mut body = Vec::with_capacity(64);
    let json = &mut Json::new(&mut body);
    json.open_object();
    match origin {
        Dialect::Gemini => {
            json.key("totalTokens").count(total).maybe_number("cachedContentTokenCount", cached);
        }
        Dialect::BedrockConverse => {
            json.key("inputTokens").count(total);
        }
        Dialect::OpenaiResponses => {
            json.member("object", "response.input_tokens").key("input_tokens").count(total);
        }
        _ => {
            json.key("input_tokens").count(total);
        }
    }
    json.close_object();
    body.into()
}
