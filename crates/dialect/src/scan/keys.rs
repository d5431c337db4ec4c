//! The top-level keys seen so far, to refuse a second one of the same name. No allocation unless a key is escaped.

use super::malformed::{Malformed, Reason};
use super::text::Text;

/// Top-level keys that a body may have; also bounds the comparisons for repeated ones.
pub const KEYS_LIMIT: usize = 256;
/// Bytes that a top-level key may have, escapes included.
pub const KEY_LENGTH_LIMIT: usize = 1024;

/// Keys whose places need no allocation.
const INLINE: usize = 24;

/// Where a key's unescaped bytes lie.
#[derive(Clone, Copy)]
struct Slot {
    start: u32,
    length: u16,
    escaped: bool,
}

pub(super) struct Keys {
    /// One bit per rough hash: while a key's bit is not set, nothing needs to be compared.
    seen: u64,
    slots: [Slot; INLINE],
    count: usize,
    /// Places of the keys behind the first `INLINE`.
    more: Vec<Slot>,
    /// Unescaped texts of the keys that needed it.
    unescaped: String,
}

// === impl Keys ===

impl Keys {
    pub(super) fn new() -> Self {
        let slots = [Slot { start: 0, length: 0, escaped: false }; INLINE];
        Self { seen: 0, slots, count: 0, more: Vec::new(), unescaped: String::new() }
    }

    /// Takes a key in and gives its text, or refuses it: repeated, too long, one too many, or not a valid string.
    pub(super) fn admit<'a>(&'a mut self, key: &Text, body: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let at = key.span().start;
        if key.span().len() > KEY_LENGTH_LIMIT + 2 {
            return Err(Malformed::at(at, Reason::KeyTooLong));
        }
        let slot = self.place(key, body)?;
        let text = self.resolve(slot, body);
        let bit = rough_bit(text);
        if self.seen & bit != 0 && self.holds(text, body) {
            let name = std::str::from_utf8(text).unwrap_or_default();
            return Err(Malformed::of(at, Reason::RepeatedKey, name));
        }
        self.seen |= bit;
        if self.count == KEYS_LIMIT {
            return Err(Malformed::at(at, Reason::TooManyKeys));
        }
        match self.slots.get_mut(self.count) {
            Some(free) => *free = slot,
            None => self.more.push(slot),
        }
        self.count += 1;
        Ok(self.resolve(slot, body))
    }

    fn place(&mut self, key: &Text, body: &[u8]) -> Result<Slot, Malformed> {
        let at = key.span().start;
        if !key.is_escaped() {
            let start = u32::try_from(at + 1).map_err(|_| Malformed::at(at, Reason::TooLong))?;
            return Ok(Slot { start, length: short(key.span().len() - 2), escaped: false });
        }
        let Some(text) = key.checked(body) else {
            return Err(Malformed::at(at, Reason::BadEscape));
        };
        let start = u32::try_from(self.unescaped.len()).map_err(|_| Malformed::at(at, Reason::TooLong))?;
        self.unescaped.push_str(&text);
        Ok(Slot { start, length: short(text.len()), escaped: true })
    }

    fn resolve<'a>(&'a self, slot: Slot, body: &'a [u8]) -> &'a [u8] {
        let from = if slot.escaped { self.unescaped.as_bytes() } else { body };
        let start = slot.start as usize;
        from.get(start..start + usize::from(slot.length)).unwrap_or_default()
    }

    fn holds(&self, text: &[u8], body: &[u8]) -> bool {
        let inline = self.slots.iter().take(self.count);
        inline.chain(&self.more).any(|slot| self.resolve(*slot, body) == text)
    }
}

/// A length that `KEY_LENGTH_LIMIT` has bounded; unescaping never lengthens.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn rough_bit(text: &[u8]) -> u64 {
    let end = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
    let mixed = text.len() ^ (end(text.first()) * 5) ^ (end(text.last()) * 11);
    1 << (mixed & 63)
}
