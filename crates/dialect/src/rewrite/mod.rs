//! The request as it goes upstream: the caller's bytes, with the model's name replaced and, in a stream whose caller did
//! not ask for usage, `stream_options.include_usage` merged in. Nothing else ever changes.

use crate::scan::{Named, Scan, plain_name};
use bytes::{Buf, Bytes};
use std::borrow::Cow;
use std::ops::Range;

/// Bytes up to which a changed body is joined into one piece: copying is cheaper there than a second write.
pub const JOIN_LIMIT: usize = 16 * 1024;
/// Two edits, with the original before, between and after them.
const PARTS: usize = 5;

/// A body in up to five pieces, most of them slices of the original.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    parts: [Bytes; PARTS],
    count: usize,
}

/// One replacement: the bytes of `span` give way to `with`.
#[derive(Debug)]
pub(crate) struct Edit<'a> {
    pub(crate) span: Range<usize>,
    pub(crate) with: Cow<'a, [u8]>,
}

/// The body with `model` (if given and the body names one) as its model, and with `include_usage` set if `merge_usage`.
/// `scan` must be the scan of exactly this body. When nothing changes the result is the original alone.
#[must_use]
pub fn request(body: Bytes, scan: &Scan, model: Option<&str>, merge_usage: bool) -> Segments {
    let model = model.zip(scan.model.as_ref()).and_then(|(name, text)| {
        let same = text.value(&body) == name;
        (!same).then(|| model_edit(name, text.span()))
    });
    let usage = if merge_usage { usage_edit(scan) } else { None };
    apply(body, model, usage)
}

/// The body of a request whose path names the model, with `model` wherever the body names another one. `named` must be the
/// scan of exactly this body.
#[must_use]
pub fn named(body: Bytes, named: &Named, model: &str) -> Segments {
    let others = named.models.iter().filter(|text| plain_name(&text.value(&body)) != model);
    let spans: Vec<_> = others.map(|text| (text.span(), full_name(&text.value(&body), model))).collect();
    let edits: Vec<_> = spans.iter().map(|(span, name)| Some(model_edit(name, span.clone()))).collect();
    match edits.len() {
        0 => Segments::from(body),
        _ => joined(&body, &edits),
    }
}

/// The body for an address that names the model: `anthropic_version` stands in it where the model stood. `scan` must be
/// the scan of exactly this body.
#[must_use]
pub fn versioned(body: Bytes, scan: &Scan, version: &str) -> Segments {
    let member = format!("\"anthropic_version\":{}", serde_json::Value::from(version));
    let at = scan.object_end;
    let edit = match scan
        .model
        .as_ref()
        .and_then(|model| Some(key_before(&body, model.span().start)?..model.span().end))
    {
        Some(span) => Edit { span, with: member.into_bytes().into() },
        None if scan.empty => Edit { span: at..at, with: member.into_bytes().into() },
        None => Edit { span: at..at, with: format!(",{member}").into_bytes().into() },
    };
    apply(body, Some(edit), None)
}

/// Where the key of a value begins, its quote included: whatever escapes a key has, none holds a bare quote.
fn key_before(body: &[u8], value: usize) -> Option<usize> {
    let before = body.get(..value)?;
    let close = before.iter().rposition(|byte| *byte == b'"')?;
    before.get(..close)?.iter().rposition(|byte| *byte == b'"')
}

/// The name as the provider wants it there: with the prefix of the one that it takes the place of.
fn full_name(old: &str, model: &str) -> String {
    let published = ["publishers/", "projects/"].iter().any(|prefix| old.starts_with(prefix));
    if published { format!("publishers/google/models/{model}") } else { format!("models/{model}") }
}

/// The body with at most two edits, in whichever order they stand.
pub(crate) fn apply(body: Bytes, one: Option<Edit<'_>>, other: Option<Edit<'_>>) -> Segments {
    let edits = match (one, other) {
        (Some(one), Some(other)) if other.span.start < one.span.start => [Some(other), Some(one)],
        (one, other) => [one, other],
    };
    let grown: usize = edits.iter().flatten().map(|edit| edit.with.len()).sum();
    if grown == 0 && edits.iter().all(Option::is_none) {
        Segments::from(body)
    } else if body.len() + grown <= JOIN_LIMIT {
        joined(&body, &edits)
    } else {
        sliced(body, &edits)
    }
}

/// A small result, or one of many edits, in one piece.
fn joined(body: &[u8], edits: &[Option<Edit<'_>>]) -> Segments {
    let change = |edit: &Edit<'_>| (edit.with.len(), edit.span.len());
    let (grown, gone) =
        edits.iter().flatten().map(change).fold((0, 0), |sum, edit| (sum.0 + edit.0, sum.1 + edit.1));
    let mut whole = Vec::with_capacity((body.len() + grown).saturating_sub(gone));
    let mut from = 0;
    for edit in edits.iter().flatten() {
        whole.extend_from_slice(body.get(from..edit.span.start).unwrap_or_default());
        whole.extend_from_slice(&edit.with);
        from = edit.span.end;
    }
    whole.extend_from_slice(body.get(from..).unwrap_or_default());
    Segments::from(Bytes::from(whole))
}

/// A large result: slices of the original with the new texts between.
fn sliced(mut rest: Bytes, edits: &[Option<Edit<'_>>]) -> Segments {
    let mut segments = Segments::default();
    let mut from = 0;
    for edit in edits.iter().flatten() {
        segments.push(rest.split_to(edit.span.start.saturating_sub(from).min(rest.len())));
        segments.push(Bytes::copy_from_slice(&edit.with));
        rest.advance(edit.span.len().min(rest.len()));
        from = edit.span.end;
    }
    segments.push(rest);
    segments
}

/// The name between its old quotes; with quotes of its own if some of its letters need escapes.
fn model_edit(name: &str, span: Range<usize>) -> Edit<'_> {
    if name.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        return Edit { span, with: serde_json::Value::from(name).to_string().into_bytes().into() };
    }
    Edit { span: span.start + 1..span.end - 1, with: name.as_bytes().into() }
}

fn usage_edit(scan: &Scan) -> Option<Edit<'static>> {
    let edit = |span: Range<usize>, with: &'static [u8]| Some(Edit { span, with: with.into() });
    let Some(options) = &scan.stream_options else {
        let end = scan.object_end;
        return match scan.empty {
            true => edit(end..end, br#""stream_options":{"include_usage":true}"#),
            false => edit(end..end, br#","stream_options":{"include_usage":true}"#),
        };
    };
    if options.include_usage == Some(true) {
        return None;
    }
    if let Some(span) = options.include_usage_span.clone() {
        return edit(span, b"true");
    }
    if options.is_empty {
        return edit(options.span.clone(), br#"{"include_usage":true}"#);
    }
    // Behind the opening brace, before the first member.
    let at = options.span.start + 1;
    edit(at..at, br#""include_usage":true,"#)
}

// === impl Segments ===

impl Segments {
    /// Bytes in all pieces together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts().iter().map(Bytes::len).sum()
    }

    /// True if there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts().is_empty()
    }

    /// The pieces in order; none of them is empty.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        self.parts.get(..self.count).unwrap_or_default()
    }

    fn push(&mut self, part: Bytes) {
        if part.is_empty() {
            return;
        }
        if let Some(free) = self.parts.get_mut(self.count) {
            *free = part;
            self.count += 1;
        }
    }
}

impl From<Bytes> for Segments {
    fn from(body: Bytes) -> Self {
        let mut segments = Self::default();
        segments.push(body);
        segments
    }
}

impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = std::iter::Take<std::array::IntoIter<Bytes, PARTS>>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter().take(self.count)
    }
}

#[cfg(test)]
mod tests;
