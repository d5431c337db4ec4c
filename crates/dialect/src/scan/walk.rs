//! Walks the members of one JSON object without decoding them: in a nested value only strings and brackets
//! are looked at; everything else is the reader's business.

use super::malformed::{Malformed, Reason};
use super::nested;
use super::text::Text;
use memchr::memchr;
use std::ops::Range;

/// Brackets inside each other, the outermost object included, that a body may have.
pub const DEPTH_LIMIT: usize = 512;

/// Bytes looked at one by one before blocks: in dense JSON the next bracket or quote is a few bytes away.
const NEAR: usize = 16;
const BLOCK: usize = 64;

/// What a value begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// One `"key": value` of an object; spans are offsets into the body.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) key: Text,
    pub(crate) value: Range<usize>,
    pub(crate) shape: Shape,
}

/// Yields the members of the object that opens at an offset.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    body: &'a [u8],
    at: usize,
    first: bool,
}

// === impl Members ===

impl<'a> Members<'a> {
    /// Starts at `open`, where a `{` must stand.
    pub(crate) fn open(body: &'a [u8], open: usize) -> Result<Self, Malformed> {
        match body.get(open) {
            Some(b'{') => Ok(Self { body, at: open + 1, first: true }),
            _ => Err(Malformed::at(open, Reason::NotAnObject)),
        }
    }

    /// The next member, or none at the closing brace, whose offset `end` then tells.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, Malformed> {
        let mut at = skip_blank(self.body, self.at);
        match (byte(self.body, at)?, self.first) {
            (b'}', _) => {
                self.at = at;
                return Ok(None);
            }
            (b',', false) => at = skip_blank(self.body, at + 1),
            (b'"', true) => self.first = false,
            _ => return Err(Malformed::at(at, Reason::Unexpected)),
        }
        let key = text(self.body, at)?;
        at = skip_blank(self.body, key.span().end);
        if byte(self.body, at)? != b':' {
            return Err(Malformed::at(at, Reason::Unexpected));
        }
        let start = skip_blank(self.body, at + 1);
        let (shape, end) = skip_value(self.body, start)?;
        self.at = end;
        Ok(Some(Member { key, value: start..end, shape }))
    }

    /// Offset of the closing brace, once `next` has given none.
    pub(crate) fn end(&self) -> usize {
        self.at
    }
}

/// Yields the places of the items of the list that opens at an offset.
#[derive(Debug)]
pub(crate) struct Items<'a> {
    body: &'a [u8],
    at: usize,
    first: bool,
}

// === impl Items ===

impl<'a> Items<'a> {
    /// Starts at `open`; a list that is none has no items.
    pub(crate) fn open(body: &'a [u8], open: usize) -> Self {
        let at = if body.get(open) == Some(&b'[') { open + 1 } else { body.len() };
        Self { body, at, first: true }
    }
}

impl Iterator for Items<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let mut at = skip_blank(self.body, self.at);
        if !std::mem::take(&mut self.first) {
            at = skip_blank(self.body, if self.body.get(at) == Some(&b',') { at + 1 } else { return None });
        }
        let (_, end) = skip_value(self.body, at).ok()?;
        self.at = end;
        Some(at..end)
    }
}

/// The value of a member of the object in `body` that has this key; the last one if there are several.
pub(crate) fn member<'a>(body: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut members = Members::open(body, skip_blank(body, 0)).ok()?;
    let mut found = None;
    while let Some(member) = members.next().ok()? {
        if member.key.value(body) == key {
            found = body.get(member.value);
        }
    }
    found
}

/// Offset of the first byte from `at` on that is not white space.
pub(crate) fn skip_blank(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).unwrap_or(rest.len())
}

fn byte(body: &[u8], at: usize) -> Result<u8, Malformed> {
    body.get(at).copied().ok_or_else(|| truncated(body))
}

fn truncated(body: &[u8]) -> Malformed {
    Malformed::at(body.len(), Reason::Truncated)
}

/// The string that opens at `open`.
fn text(body: &[u8], open: usize) -> Result<Text, Malformed> {
    if byte(body, open)? != b'"' {
        return Err(Malformed::at(open, Reason::Unexpected));
    }
    let end = skip_string(body, open).ok_or_else(|| truncated(body))?;
    Ok(Text::new(body, open..end))
}

/// Offset behind the closing quote; none if there is no such quote. Only quotes are searched for; whether one is escaped
/// is told by the backslashes before it, which beats stopping at each `\n` of a long text.
pub(crate) fn skip_string(body: &[u8], open: usize) -> Option<usize> {
    let mut from = open + 1;
    loop {
        let rest = body.get(from..)?;
        let found = find_quote(rest)?;
        from += found + 1;
        let before = rest.get(..found)?;
        if before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0 {
            return Some(from);
        }
    }
}

/// Place of the first quote. Most strings are names of a few letters, for which a call of memchr would be the larger
/// part of the work: eight bytes are looked at as one number first.
fn find_quote(text: &[u8]) -> Option<usize> {
    let Some(head) = text.first_chunk::<8>() else {
        return text.iter().position(|byte| *byte == b'"');
    };
    let hits = equal(u64::from_le_bytes(*head), b'"');
    if hits != 0 {
        return usize::try_from(hits.trailing_zeros() / 8).ok();
    }
    memchr(b'"', text.get(8..)?).map(|found| found + 8)
}

/// The top bit of each of the word's bytes that equals `byte`. Bytes above the lowest hit may be wrong, so only the
/// lowest one counts.
fn equal(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let word = word ^ (ONES * u64::from(byte));
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// Shape of the value at `at` and the offset behind it.
fn skip_value(body: &[u8], at: usize) -> Result<(Shape, usize), Malformed> {
    match byte(body, at)? {
        b'"' => Ok((Shape::String, skip_string(body, at).ok_or_else(|| truncated(body))?)),
        b'{' => Ok((Shape::Object, nested::skip(body, at)?)),
        b'[' => Ok((Shape::Array, nested::skip(body, at)?)),
        _ => skip_scalar(body, at),
    }
}

fn skip_scalar(body: &[u8], at: usize) -> Result<(Shape, usize), Malformed> {
    let rest = body.get(at..).unwrap_or_default();
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
    let Some(length) = rest.iter().position(ends) else {
        return Err(truncated(body));
    };
    let word = rest.get(..length).unwrap_or_default();
    let shape = match word {
        b"true" => Shape::True,
        b"false" => Shape::False,
        b"null" => Shape::Null,
        _ if is_number(word) => Shape::Number,
        _ => return Err(Malformed::at(at, Reason::Unexpected)),
    };
    Ok((shape, at + length))
}

/// JSON's grammar of numbers: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`.
fn is_number(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"-").unwrap_or(word);
    let (whole, rest) = digits(word);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with(b"0")) {
        return false;
    }
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => match digits(fraction) {
            ([], _) => return false,
            (_, rest) => rest,
        },
        None => rest,
    };
    let exponent = match rest {
        [] => return true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => exponent,
        _ => return false,
    };
    let (power, rest) = digits(exponent);
    !power.is_empty() && rest.is_empty()
}

fn digits(word: &[u8]) -> (&[u8], &[u8]) {
    word.split_at(word.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(word.len()))
}

/// The next quote or bracket and its offset.
pub(crate) fn next_mark(body: &[u8], from: usize) -> Option<(usize, u8)> {
    let rest = body.get(from..)?;
    let (near, far) = rest.split_at(rest.len().min(NEAR));
    let mark = |(at, byte): (usize, &u8)| is_mark(*byte).then_some((at, *byte));
    if let Some((at, byte)) = near.iter().enumerate().find_map(mark) {
        return Some((from + at, byte));
    }
    // A block without branches, so that the compiler makes vector instructions of it.
    let (blocks, _) = far.as_chunks::<BLOCK>();
    let quiet = |block: &&[u8; BLOCK]| block.iter().fold(0, |any, byte| any | u8::from(is_mark(*byte))) == 0;
    let skipped = blocks.iter().take_while(quiet).count() * BLOCK;
    let (at, byte) = far.get(skipped..)?.iter().enumerate().find_map(mark)?;
    Some((from + near.len() + skipped + at, byte))
}

/// Quote or bracket; `[` and `{`, `]` and `}` differ in one bit.
fn is_mark(byte: u8) -> bool {
    let folded = byte | 0x20;
    (folded == b'{') | (folded == b'}') | (byte == b'"')
}
