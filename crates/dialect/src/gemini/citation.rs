//! Sources: `citationMetadata` names what was quoted, `groundingMetadata` what a search found. The dialect counts spans
//! in bytes and the model in characters, so that a span crosses only where the text before it is ASCII.

use super::wire;
use crate::canon::Citation;
use crate::json::{Fields, Json, Malformed, Value};

/// Sources that one grounding gives; more are left out, since places and sources multiply.
const FOUND_LIMIT: usize = 256;

/// The sources that a candidate names. `spans` is false where bytes are not characters.
pub(super) fn read(candidate: &mut Fields<'_>, spans: bool) -> Result<Vec<Citation>, Malformed> {
    let quoted = candidate.with("citationMetadata", |value| {
        wire::fields(value)?.with("citations", |list| list.each(|_, one| cited(one, spans)))
    })?;
    let found = candidate.with("groundingMetadata", |value| grounding(value, spans))?;
    Ok(quoted.flatten().into_iter().chain(found).flatten().collect())
}

fn cited(value: Value<'_>, spans: bool) -> Result<Citation, Malformed> {
    let mut fields = wire::fields(value)?;
    let span = span(&mut fields, spans)?;
    Ok(Citation { url: fields.text("uri")?, title: fields.text("title")?, quote: None, span, raw: None })
}

/// A span that begins at the beginning leaves its 0 out, as protobuf does.
fn span(fields: &mut Fields<'_>, spans: bool) -> Result<Option<(u64, u64)>, Malformed> {
    let start = fields.with("startIndex", wire::count)?.unwrap_or_default();
    let end = fields.with("endIndex", wire::count)?;
    Ok(end.filter(|_| spans).map(|end| (start, end)))
}

/// One source for each place that rests on it; sources that no place rests on are not cited.
fn grounding(value: Value<'_>, spans: bool) -> Result<Vec<Citation>, Malformed> {
    let mut fields = wire::fields(value)?;
    let sources = fields.with("groundingChunks", |list| list.each(|_, one| source(one)))?.unwrap_or_default();
    let supports = fields.with("groundingSupports", |list| {
        list.each(|_, support| {
            let mut support = wire::fields(support)?;
            let places =
                support.with("groundingChunkIndices", |list| list.each(|_, index| wire::count(index)))?;
            let segment = support.with("segment", |value| {
                let mut segment = wire::fields(value)?;
                Ok((segment.text("text")?, span(&mut segment, spans)?))
            })?;
            Ok((places.unwrap_or_default(), segment.unwrap_or_default()))
        })
    })?;
    let mut found = Vec::new();
    for (places, (quote, span)) in supports.unwrap_or_default() {
        let of = |place: u64| sources.get(usize::try_from(place).ok()?);
        let room = FOUND_LIMIT - found.len();
        found.extend(places.into_iter().filter_map(of).take(room).map(|(url, title)| Citation {
            url: url.clone(),
            title: title.clone(),
            quote: quote.clone(),
            span,
            raw: None,
        }));
    }
    Ok(found)
}

/// Address and title, whatever kind of source it is.
fn source(value: Value<'_>) -> Result<(Option<String>, Option<String>), Malformed> {
    let mut fields = wire::fields(value)?;
    for kind in ["web", "retrievedContext", "maps"] {
        let read = |value: Value<'_>| {
            let mut source = wire::fields(value)?;
            Ok((source.text("uri")?, source.text("title")?))
        };
        if let Some(found) = fields.with(kind, read)? {
            return Ok(found);
        }
    }
    Ok((None, None))
}

/// Writes sources as members of a candidate: what is quoted as grounding, the rest as citations.
pub(super) fn write(json: &mut Json<'_>, citations: &[&Citation], spans: bool) {
    let (found, named): (Vec<&Citation>, Vec<&Citation>) =
        citations.iter().copied().partition(|citation| citation.quote.is_some());
    if !named.is_empty() {
        json.key("citationMetadata").open_object().key("citations").open_list();
        for citation in named {
            json.open_object();
            write_span(json, citation, spans);
            json.maybe("uri", citation.url.as_deref())
                .maybe("title", citation.title.as_deref())
                .close_object();
        }
        json.close_list().close_object();
    }
    if found.is_empty() {
        return;
    }
    json.key("groundingMetadata").open_object().key("groundingChunks").open_list();
    for citation in &found {
        json.open_object().key("web").open_object().maybe("uri", citation.url.as_deref());
        json.maybe("title", citation.title.as_deref()).close_object().close_object();
    }
    json.close_list().key("groundingSupports").open_list();
    for (citation, place) in found.iter().zip(0..) {
        json.open_object().key("groundingChunkIndices").open_list().count(place).close_list();
        json.key("segment").open_object().maybe("text", citation.quote.as_deref());
        write_span(json, citation, spans);
        json.close_object().close_object();
    }
    json.close_list().close_object();
}

fn write_span(json: &mut Json<'_>, citation: &Citation, spans: bool) {
    if let Some((start, end)) = citation.span.filter(|_| spans) {
        json.key("startIndex").count(start).key("endIndex").count(end);
    }
}
