//! Finds the usage in a whole JSON reply while it passes, in constant memory: the member `usage` of the outermost
//! object, wherever chunks are cut, and not one inside text or nested content.

use crate::scan::next_mark;
use crate::usage::{OBJECT_LIMIT, Tokens, Usage};
use keyway_proto::snapshot::v1::{Dialect, Endpoint};
use memchr::memchr2;

#[cfg(test)]
mod tests;

const KEY: &[u8] = b"usage";

/// Watches one reply.
#[derive(Debug)]
pub struct UsageScan {
    dialect: Dialect,
    endpoint: Endpoint,
    place: Place,
    /// Brackets open at this point.
    depth: usize,
    /// What a string at the top level would be.
    next: Next,
    /// Bytes of `KEY` that the current top-level key has matched; none once it differs.
    matched: Option<usize>,
    /// The bytes of the usage object so far, while inside it.
    captured: Option<Vec<u8>>,
    tokens: Tokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Between,
    Text,
    /// Behind a backslash inside a text.
    Escape,
    /// The reply is not an object, or its object has ended.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Key,
    Value,
}

// === impl UsageScan ===

impl UsageScan {
    /// Begins a reply.
    #[must_use]
    pub fn new(dialect: Dialect, endpoint: Endpoint) -> Self {
        Self {
            dialect,
            endpoint,
            place: Place::Between,
            depth: 0,
            next: Next::Key,
            matched: None,
            captured: None,
            tokens: Tokens::default(),
        }
    }

    /// Looks at the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut at = 0;
        // Where in these bytes the part of the usage object begins that is not captured yet.
        let mut capture = 0;
        while at < bytes.len() {
            let was = self.captured.is_some();
            let from = at;
            at = match self.place {
                Place::Over => return,
                Place::Text => self.in_text(bytes, at),
                Place::Escape => {
                    self.place = Place::Text;
                    self.matched = None;
                    at + 1
                }
                Place::Between if self.depth < 2 => self.at_top(bytes, at),
                Place::Between => self.nested(bytes, at),
            };
            if !was && self.captured.is_some() {
                capture = from;
            }
            if was && self.depth == 1 && self.place == Place::Between {
                self.capture(bytes.get(capture..at).unwrap_or_default());
                self.read_captured();
            }
        }
        self.capture(bytes.get(capture..).unwrap_or_default());
    }

    /// What the reply has used, as it says itself.
    #[must_use]
    pub fn finish(self) -> Option<Usage> {
        self.tokens.usage(self.dialect, self.endpoint)
    }

    /// Goes on in a text to its end or its next backslash.
    fn in_text(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        let found = memchr2(b'"', b'\\', rest);
        let text = rest.get(..found.unwrap_or(rest.len())).unwrap_or_default();
        self.match_key(text);
        let Some(length) = found else { return bytes.len() };
        self.place = if rest.get(length) == Some(&b'"') { Place::Between } else { Place::Escape };
        at + length + 1
    }

    fn match_key(&mut self, text: &[u8]) {
        let Some(matched) = self.matched else { return };
        let expected = KEY.get(matched..).unwrap_or_default();
        self.matched = expected.starts_with(text).then_some(matched + text.len());
    }

    /// One byte outside or directly inside the outermost object.
    fn at_top(&mut self, bytes: &[u8], at: usize) -> usize {
        match (bytes.get(at).copied().unwrap_or_default(), self.depth) {
            (b' ' | b'\n' | b'\r' | b'\t', _) => {}
            (b'{', 0) => self.depth = 1,
            (_, 0) | (b'}' | b']', _) => self.place = Place::Over,
            (b'"', _) => {
                self.place = Place::Text;
                self.matched = (self.next == Next::Key).then_some(0);
            }
            (b':', _) => self.next = Next::Value,
            (b',', _) => {
                self.next = Next::Key;
                self.matched = None;
            }
            (opening @ (b'{' | b'['), _) => {
                self.depth = 2;
                if opening == b'{' && self.matched == Some(KEY.len()) {
                    self.captured = Some(Vec::new());
                }
            }
            _ => {}
        }
        at + 1
    }

    /// Goes on inside a nested value to the next quote or bracket.
    fn nested(&mut self, bytes: &[u8], at: usize) -> usize {
        let Some((mark, kind)) = next_mark(bytes, at) else { return bytes.len() };
        match kind {
            b'"' => self.place = Place::Text,
            b'{' | b'[' => self.depth += 1,
            _ => self.depth -= 1,
        }
        mark + 1
    }

    fn capture(&mut self, part: &[u8]) {
        if let Some(captured) = &mut self.captured {
            // One byte over the limit is kept, so that reading sees that it is too long.
            let free = (OBJECT_LIMIT + 1).saturating_sub(captured.len());
            captured.extend_from_slice(part.get(..free.min(part.len())).unwrap_or_default());
        }
    }

    fn read_captured(&mut self) {
        if let Some(captured) = self.captured.take() {
            self.matched = None;
            self.tokens.read(&captured);
        }
    }
}
