//! The request as it goes upstream: the caller's bytes, with the model's name replaced and, in a stream whose caller did
//! not ask for usage, `stream_options.include_usage` merged in. Nothing else ever changes.

use crate::scan::Scan;
use bytes::{BufMut, Bytes, BytesMut};
use std::ops::Range;

/// Bytes up to which a changed body is joined into one piece: copying is cheaper there than a second write.
pub const JOIN_LIMIT: usize = 16 * 1024;
/// Two edits, with the original before, between and after them.
const PARTS: usize = 5;

const INCLUDE_USAGE: &[u8] = br#""include_usage":true"#;

/// A body in up to five pieces, most of them slices of the original.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    parts: [Bytes; PARTS],
    count: usize,
}

/// One replacement: the bytes of `span` give way to `with`.
#[derive(Debug)]
pub(crate) struct Edit {
    pub(crate) span: Range<usize>,
    pub(crate) with: Bytes,
}

/// The body with `model` (if given and the body names one) as its model, and with `include_usage` set if `merge_usage`.
/// `scan` must be the scan of exactly this body. When nothing changes the result is the original alone.
#[must_use]
pub fn request(body: Bytes, scan: &Scan, model: Option<&str>, merge_usage: bool) -> Segments {
    let model = model.zip(scan.model.as_ref()).and_then(|(name, text)| {
        let same = text.value(&body) == name;
        (!same).then(|| Edit { span: text.span(), with: quoted(name) })
    });
    let usage = if merge_usage { usage_edit(scan) } else { None };
    apply(body, model, usage)
}

/// The body with at most two edits, in whichever order they stand.
pub(crate) fn apply(body: Bytes, one: Option<Edit>, other: Option<Edit>) -> Segments {
    let (first, second) = match (one, other) {
        (Some(one), Some(other)) if other.span.start < one.span.start => (Some(other), Some(one)),
        (one, other) => (one, other),
    };
    let mut segments = Segments::default();
    let mut rest = body;
    let mut taken = 0;
    for edit in first.into_iter().chain(second) {
        let before = rest.split_to(edit.span.start.saturating_sub(taken).min(rest.len()));
        segments.push(before);
        segments.push(edit.with);
        rest = rest.split_off(edit.span.len().min(rest.len()));
        taken = edit.span.end;
    }
    segments.push(rest);
    segments.joined()
}

fn usage_edit(scan: &Scan) -> Option<Edit> {
    let Some(options) = &scan.stream_options else {
        let comma = if scan.empty { "" } else { "," };
        let member = format!(r#"{comma}"stream_options":{{"include_usage":true}}"#);
        return Some(Edit { span: scan.object_end..scan.object_end, with: member.into() });
    };
    if options.include_usage == Some(true) {
        return None;
    }
    if let Some(span) = options.include_usage_span.clone() {
        return Some(Edit { span, with: Bytes::from_static(b"true") });
    }
    if options.is_empty {
        let with = Bytes::from_static(br#"{"include_usage":true}"#);
        return Some(Edit { span: options.span.clone(), with });
    }
    // Behind the opening brace, before the first member.
    let at = options.span.start + 1;
    let with = Bytes::from([INCLUDE_USAGE, b","].concat());
    Some(Edit { span: at..at, with })
}

/// A text as a JSON string, quotes included.
fn quoted(text: &str) -> Bytes {
    Bytes::from(serde_json::Value::from(text).to_string())
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

    fn joined(self) -> Self {
        let length = self.len();
        if self.count < 2 || length > JOIN_LIMIT {
            return self;
        }
        let mut whole = BytesMut::with_capacity(length);
        for part in self.parts() {
            whole.put_slice(part);
        }
        Self::from(whole.freeze())
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
