//! A provider's whole reply as what it means.

use super::super::wire::{DIALECT, seal, stop};
use crate::canon::{Block, Call, CallKind, Choice, Citation, Media, Part, Raw, Reasoning, Response, Source};
use crate::codec::Target;
use crate::json::{Fields, Malformed, Value};
use crate::usage::{Tokens, Usage};
use keyway_proto::snapshot::v1::Endpoint;

/// What one item of `output` holds. Parts of a message keep their places, empty ones too.
#[derive(Debug, Default)]
pub(crate) struct Item {
    pub(crate) parts: Vec<Part>,
    pub(crate) logprobs: Vec<Raw>,
}

/// A run that failed is no reply: `error::decode` tells what it is.
pub(crate) fn decode(body: &[u8], target: &Target<'_>) -> Result<Response, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let status = fields.text("status")?.unwrap_or_else(|| "completed".to_owned());
    if status == "failed" {
        return Err(Malformed::new("says that the run failed").within("status"));
    }
    let items = fields.need("output", |list| list.each(|_, one| item(one, target.provider)))?;
    let mut choice = Choice::default();
    for item in items {
        choice.logprobs.extend(item.logprobs);
        choice.blocks.extend(item.parts.into_iter().filter(is_told).map(Block::new));
    }
    let has = |wanted: fn(&Part) -> bool| choice.blocks.iter().any(|block| wanted(&block.part));
    let called = has(|part| matches!(part, Part::Call(_)));
    let refused = has(|part| matches!(part, Part::Refusal(_)));
    let incomplete = fields.with("incomplete_details", |value| value.fields()?.text("reason"))?.flatten();
    choice.stop = Some(stop(&status, incomplete.as_deref(), called, refused));
    Ok(Response {
        id: fields.text("id")?.filter(|id| !id.is_empty()),
        model: fields.text("model")?,
        created: fields.with("created_at", seconds)?,
        choices: vec![choice],
        usage: fields.take("usage").and_then(usage),
        service_tier: fields.text("service_tier")?,
    })
}

/// Unix seconds, which the dialect writes as a number that may have a fraction.
pub(crate) fn seconds(value: Value<'_>) -> Result<u64, Malformed> {
    let raw = value.raw();
    let whole = raw.as_str().split('.').next().and_then(|whole| whole.parse().ok());
    whole.ok_or_else(|| Malformed::new("must be a number of seconds"))
}

/// The counts of a usage object; nonsense counts as missing.
pub(crate) fn usage(object: Value<'_>) -> Option<Usage> {
    let mut tokens = Tokens::default();
    tokens.read(object.raw().as_str().as_bytes());
    tokens.usage(DIALECT, Endpoint::Responses)
}

/// True for a list that holds nothing.
pub(crate) fn is_empty(list: &Raw) -> bool {
    list.as_str().bytes().all(|byte| matches!(byte, b'[' | b']') || byte.is_ascii_whitespace())
}

/// Parts that say nothing are none.
fn is_told(part: &Part) -> bool {
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => !text.is_empty(),
        Part::Reasoning(thought) => thought.seal.is_some(),
        _ => true,
    }
}

/// One item of `output`.
pub(crate) fn item(value: Value<'_>, provider: &str) -> Result<Item, Malformed> {
    let mut fields = value.fields()?;
    let part = match fields.need("type", Value::text)?.as_str() {
        "message" => return message(fields),
        "reasoning" => reasoning(fields, provider)?,
        "function_call" => call(fields, "arguments", CallKind::Function)?,
        "custom_tool_call" => call(fields, "input", CallKind::Custom)?,
        "image_generation_call" if fields.peek("result").is_some() => image(fields)?,
        _ => Part::Other { dialect: DIALECT, raw: value.raw() },
    };
    Ok(Item { parts: vec![part], logprobs: Vec::new() })
}

fn message(mut fields: Fields<'_>) -> Result<Item, Malformed> {
    let mut logprobs = Vec::new();
    let parts = fields.with("content", |list| {
        list.each(|_, value| {
            let mut part = value.fields()?;
            if part.text("type")?.as_deref() == Some("refusal") {
                return part.need("refusal", Value::text).map(Part::Refusal);
            }
            logprobs.extend(part.raw("logprobs").filter(|list| !is_empty(list)));
            let citations = part.with("annotations", |list| list.each(|_, one| citation(one)))?;
            let text = part.text("text")?.unwrap_or_default();
            Ok(Part::Text { text, citations: citations.unwrap_or_default() })
        })
    })?;
    Ok(Item { parts: parts.unwrap_or_default(), logprobs })
}

/// The content where the provider shows it, else the summary. What is hidden and not sealed is nothing.
fn reasoning(mut fields: Fields<'_>, provider: &str) -> Result<Part, Malformed> {
    let id = fields.text("id")?.filter(|id| !id.is_empty());
    let mut texts = |name: &str| {
        let list = fields.with(name, |list| list.each(|_, part| part.fields()?.text("text")));
        list.map(|list| list.unwrap_or_default().into_iter().flatten().collect::<Vec<_>>())
    };
    let (content, summary) = (texts("content")?, texts("summary")?);
    let text = if content.is_empty() { summary } else { content }.join("\n\n");
    let encrypted = fields.text("encrypted_content")?.unwrap_or_default();
    let told = !text.is_empty() || !encrypted.is_empty();
    let seal = told.then(|| seal(id.as_deref(), &encrypted, Some(provider)));
    Ok(Part::Reasoning(Box::new(Reasoning { id, text, seal })))
}

/// No arguments are an empty object.
fn call(mut fields: Fields<'_>, words: &str, kind: CallKind) -> Result<Part, Malformed> {
    let id = fields.text("call_id")?.or(fields.text("id")?).unwrap_or_default();
    let name = fields.need("name", Value::text)?;
    let arguments = fields.text(words)?.unwrap_or_default();
    let empty = arguments.is_empty() && kind == CallKind::Function;
    let arguments = if empty { "{}".to_owned() } else { arguments };
    Ok(Part::Call(Box::new(Call { id, name, arguments, kind })))
}

fn image(mut fields: Fields<'_>) -> Result<Part, Malformed> {
    let format = fields.text("output_format")?.unwrap_or_else(|| "png".to_owned());
    let data = fields.need("result", Value::text)?;
    let source = Source::Inline { media_type: format!("image/{format}"), data };
    Ok(Part::Image(Media { source, detail: None }))
}

/// A source; only addresses have a span and a name that other dialects know.
pub(crate) fn citation(value: Value<'_>) -> Result<Citation, Malformed> {
    let mut fields = value.fields()?;
    let title = fields.text("title")?;
    Ok(Citation {
        url: fields.text("url")?,
        title: title.or(fields.text("filename")?),
        quote: None,
        span: fields.count("start_index")?.zip(fields.count("end_index")?),
        raw: Some((DIALECT, value.raw())),
    })
}
