//! Pieces that requests, replies and streams write alike: texts with their sources, thoughts, arguments.

use super::wire::DIALECT;
use crate::canon::{Citation, Part, Raw, Reasoning, Seal, SealKind};
use crate::json::{Fields, Json, Malformed, Value};

/// A thought as callers send it back. What another dialect has sealed stands in the signature, since an SDK takes
/// `redactedContent` for base64.
pub(super) fn reasoning(mut fields: Fields<'_>) -> Result<Reasoning, Malformed> {
    if let Some(value) = fields.text("redactedContent")? {
        let seal = Seal::unwrap(DIALECT, SealKind::Encrypted, &value);
        return Ok(Reasoning { seal: Some(seal), ..Reasoning::default() });
    }
    fields.need("reasoningText", |value| {
        let mut fields = value.fields()?;
        let text = fields.need("text", Value::text)?;
        let signature = fields.text("signature")?;
        let seal = signature.map(|value| Seal::unwrap(DIALECT, SealKind::Signature, &value));
        Ok(Reasoning { id: None, text, seal })
    })
}

/// Text with its sources.
pub(super) fn citations(fields: &mut Fields<'_>) -> Result<Part, Malformed> {
    let texts = fields.with("content", |list| list.each(|_, piece| piece.fields()?.text("text")))?;
    let text = texts.unwrap_or_default().into_iter().flatten().collect();
    let citations = fields.with("citations", |list| list.each(|_, one| citation(one)))?.unwrap_or_default();
    Ok(Part::Text { text, citations })
}

/// One source.
pub(super) fn citation(value: Value<'_>) -> Result<Citation, Malformed> {
    let mut fields = value.fields()?;
    let title = fields.text("title")?;
    let said = fields.text("source")?.filter(|source| source.contains("://"));
    let web = fields
        .with("location", |location| location.fields()?.with("web", |web| web.fields()?.text("url")))?;
    let quote = fields.with("sourceContent", |list| list.each(|_, piece| piece.fields()?.text("text")))?;
    let quote = quote.map(|pieces| pieces.into_iter().flatten().collect());
    let url = web.flatten().flatten().or(said);
    Ok(Citation { url, title, quote, span: None, raw: Some((DIALECT, value.raw())) })
}

/// One source, written.
pub(super) fn write_citation(json: &mut Json<'_>, citation: &Citation) {
    if let Some((DIALECT, raw)) = &citation.raw {
        json.raw(raw);
        return;
    }
    json.open_object().maybe("title", citation.title.as_deref()).maybe("source", citation.url.as_deref());
    if let Some(quote) = &citation.quote {
        json.key("sourceContent").open_list().open_object().member("text", quote).close_object().close_list();
    }
    if let Some(url) = &citation.url {
        json.key("location").open_object().key("web").open_object().member("url", url);
        json.close_object().close_object();
    }
    json.close_object();
}

/// Text as a block, with its sources if it has any.
pub(super) fn write_text(json: &mut Json<'_>, text: &str, citations: &[Citation]) {
    if citations.is_empty() {
        json.member("text", text);
        return;
    }
    json.key("citationsContent").open_object().key("content").open_list();
    json.open_object().member("text", text).close_object().close_list();
    json.key("citations").open_list();
    citations.iter().for_each(|citation| write_citation(json, citation));
    json.close_list().close_object();
}

/// A thought as a block.
pub(super) fn write_reasoning(json: &mut Json<'_>, thought: &Reasoning) {
    json.key("reasoningContent").open_object();
    match &thought.seal {
        Some(Seal { dialect: DIALECT, kind: SealKind::Encrypted, value, .. }) => {
            json.member("redactedContent", value);
        }
        seal => {
            json.key("reasoningText").open_object().member("text", &thought.text);
            let signature = seal.as_ref().map(|seal| seal.wrap(DIALECT)).filter(|value| !value.is_empty());
            json.maybe("signature", signature.as_deref()).close_object();
        }
    }
    json.close_object();
}

/// A call's arguments as a JSON object: none at all are an empty one; what was cut short, or is none, is wrapped.
pub(super) fn write_input(json: &mut Json<'_>, arguments: &str) {
    let text = arguments.trim();
    match Raw::parse(text).filter(|_| text.starts_with('{')) {
        Some(raw) => json.raw(&raw),
        None if text.is_empty() => json.open_object().close_object(),
        None => json.open_object().member("_raw", arguments).close_object(),
    };
}
