//! One JSON string where it stands in a body.

use memchr::memchr;
use std::borrow::Cow;
use std::ops::Range;

/// A string value, by its place in the body that was scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    span: Range<usize>,
    escaped: bool,
}

// === impl Text ===

impl Text {
    pub(crate) fn new(body: &[u8], span: Range<usize>) -> Self {
        let escaped = body.get(span.clone()).is_some_and(|raw| memchr(b'\\', raw).is_some());
        Self { span, escaped }
    }

    /// Offsets of the opening quote and of the byte behind the closing one.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The text with its escapes undone. `body` is the body that was scanned; with another one the text is empty.
    #[must_use]
    pub fn value<'a>(&self, body: &'a [u8]) -> Cow<'a, str> {
        self.checked(body).unwrap_or_default()
    }

    /// As `value`; none if an escape is invalid.
    pub(crate) fn checked<'a>(&self, body: &'a [u8]) -> Option<Cow<'a, str>> {
        let raw = body.get(self.span.clone())?;
        if self.escaped {
            return serde_json::from_slice::<String>(raw).ok().map(Cow::Owned);
        }
        let inner = raw.get(1..raw.len().checked_sub(1)?)?;
        simdutf8::basic::from_utf8(inner).ok().map(Cow::Borrowed)
    }

    pub(crate) fn is_escaped(&self) -> bool {
        self.escaped
    }
}
