//! Pictures, sound, films and documents of a request: bytes in the body, in formats that Converse names.

use super::super::wire::{DIALECT, DOCUMENTS, Formats, IMAGES, SOUNDS, VIDEOS, format};
use super::messages::Pen;
use crate::canon::{Block, Document, Media, Part, Source};
use crate::losses::{Spot, Thing, Unsupported};

/// Letters of a document's name.
const NAME_LIMIT: usize = 200;

pub(super) fn write(pen: &mut Pen<'_, '_, '_>, block: &Block, spot: Spot) -> Result<(), Unsupported> {
    match &block.part {
        Part::Image(image) => {
            pen.losses.report_if(image.detail.is_some(), Thing::ImageDetail, spot)?;
            media(pen, image, ("image", IMAGES, Thing::Image), block, spot)
        }
        Part::Audio(audio) => media(pen, audio, ("audio", SOUNDS, Thing::Audio), block, spot),
        Part::Video(video) => media(pen, video, ("video", VIDEOS, Thing::Video), block, spot),
        Part::Document(told) => document(pen, told, block, spot),
        _ => Ok(()),
    }
}

fn media(
    pen: &mut Pen<'_, '_, '_>,
    media: &Media,
    (name, formats, thing): (&'static str, Formats, Thing),
    block: &Block,
    spot: Spot,
) -> Result<(), Unsupported> {
    let (media_type, data) = match &media.source {
        Source::Inline { media_type, data } => (media_type, data),
        Source::Other(DIALECT, raw) if pen.losses.is_same() => {
            pen.json.key(name).raw(raw);
            return Ok(());
        }
        Source::Url(_) if thing == Thing::Image => return pen.losses.report(Thing::ImageUrl, spot),
        Source::Url(_) => return pen.losses.report(thing, spot),
        Source::File(_) => return pen.losses.report(Thing::File, spot),
        Source::Text(_) | Source::Other(..) => return pen.losses.report(Thing::OtherSource, spot),
    };
    let Some(format) = format(formats, media_type) else { return pen.losses.report(thing, spot) };
    pen.json.key(name).open_object().member("format", format);
    pen.json.key("source").open_object().member("bytes", data).close_object();
    pen.losses.nested(&block.extra, name, pen.json);
    pen.json.close_object();
    Ok(())
}

fn document(
    pen: &mut Pen<'_, '_, '_>,
    document: &Document,
    block: &Block,
    spot: Spot,
) -> Result<(), Unsupported> {
    let (format, field, data) = match &document.source {
        Source::Text(text) => ("txt", "text", text),
        Source::Inline { media_type, data } => match format(DOCUMENTS, media_type) {
            Some(format) => (format, "bytes", data),
            None => return pen.losses.report(Thing::Document, spot),
        },
        Source::Other(DIALECT, raw) if pen.losses.is_same() => {
            pen.json.key("document").raw(raw);
            return Ok(());
        }
        Source::Url(_) => return pen.losses.report(Thing::DocumentUrl, spot),
        Source::File(_) => return pen.losses.report(Thing::File, spot),
        Source::Other(..) => return pen.losses.report(Thing::OtherSource, spot),
    };
    let name = name(pen, document.title.as_deref());
    let renamed = document.title.as_ref().is_some_and(|title| *title != name);
    pen.losses.report_if(renamed, Thing::DocumentTitle, spot)?;
    pen.json.key("document").open_object().member("format", format).member("name", &name);
    pen.json.key("source").open_object().member(field, data).close_object();
    pen.json.maybe("context", document.context.as_deref());
    if let Some(cite) = document.citations {
        pen.json.key("citations").open_object().key("enabled").flag(cite).close_object();
    }
    pen.losses.nested(&block.extra, "document", pen.json);
    pen.json.close_object();
    Ok(())
}

/// A name that Converse takes: letters, digits, single spaces, hyphens, brackets; required, and no two alike.
fn name(pen: &mut Pen<'_, '_, '_>, title: Option<&str>) -> String {
    if let Some(title) = title.filter(|_| pen.losses.is_same()) {
        return title.to_owned();
    }
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']') {
            letter
        } else {
            ' '
        }
    };
    let words: String = title.unwrap_or_default().chars().map(plain).collect();
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    let mut name: String = words.join(" ");
    name.truncate(NAME_LIMIT);
    if name.is_empty() || pen.names.contains(&name) {
        name = format!("doc-{}", pen.names.len() + 1);
    }
    pen.names.insert(name.clone());
    name
}
