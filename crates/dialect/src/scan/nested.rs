//! Skips one nested value, 64 bytes at a time: a bit for each byte tells what is a quote, what stands in a string, and what is
//! a bracket outside of one. In dense JSON (tools' schemas, long conversations) a walk from mark to mark takes two to three
//! times as long.

use super::malformed::{Malformed, Reason};
use super::walk::DEPTH_LIMIT;
use wide::u8x16;

/// Bytes that are looked at together, a bit each.
const BLOCK: usize = 64;
const ALL: u64 = u64::MAX;

/// Where a string, or the effect of a backslash, goes on in the next block.
#[derive(Default)]
struct Carry {
    /// All bits are set inside a string, else none.
    string: u64,
    /// 1 if the next block's first byte is escaped.
    escape: u64,
}

/// Open brackets: a brace is a 1, a square bracket a 0.
struct Open {
    braces: [u64; DEPTH_LIMIT / 64],
    depth: usize,
}

/// Offset behind the bracket that closes the one at `open`.
pub(super) fn skip(body: &[u8], open: usize) -> Result<usize, Malformed> {
    let truncated = || Malformed::at(body.len(), Reason::Truncated);
    let (blocks, tail) = body.get(open..).ok_or_else(truncated)?.as_chunks::<BLOCK>();
    let mut last = [b' '; BLOCK];
    last.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
    let mut carry = Carry::default();
    // The outermost object, in which this value stands, is the first level.
    let mut levels = Open { braces: [0; DEPTH_LIMIT / 64], depth: 1 };
    for (at, block) in (open..).step_by(BLOCK).zip(blocks.iter().chain([&last])) {
        let quotes = equal(block, b'"');
        if quotes == 0 && carry.is_quiet_text(block) {
            continue;
        }
        if let Some(end) = carry.past(block, quotes, at, &mut levels)? {
            return Ok(end);
        }
    }
    Err(truncated())
}

// === impl Carry ===

impl Carry {
    /// Whether a block without quotes lies in a string and leaves all as it is.
    fn is_quiet_text(&self, block: &[u8; BLOCK]) -> bool {
        self.string == ALL && self.escape == 0 && block.last() != Some(&b'\\')
    }

    /// Goes past the block that begins at `at`; the offset behind the last bracket if it closes here.
    fn past(
        &mut self,
        block: &[u8; BLOCK],
        quotes: u64,
        at: usize,
        levels: &mut Open,
    ) -> Result<Option<usize>, Malformed> {
        let backslashes = equal(block, b'\\');
        let quotes = quotes & !self.escaped(backslashes);
        let strings = odd_so_far(quotes) ^ self.string;
        self.string = if strings >> 63 == 1 { ALL } else { 0 };
        // Outside of a string it escapes nothing, and readers would differ about the quote behind it.
        let stray = backslashes & !strings;
        let mut marks = if strings == ALL { 0 } else { brackets(block) & !strings } | stray;
        while marks != 0 {
            let place = marks.trailing_zeros() as usize;
            marks &= marks - 1;
            let kind = block.get(place).copied().unwrap_or_default();
            if levels.take(kind).map_err(|reason| Malformed::at(at + place, reason))? {
                return Ok(Some(at + place + 1));
            }
        }
        Ok(None)
    }

    /// What a backslash before it makes plain text: each takes the byte behind it, which is then none itself.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        let mut escaped = self.escape;
        let mut left = backslashes & !self.escape;
        self.escape = 0;
        while left != 0 {
            let one = left & left.wrapping_neg();
            let next = one << 1;
            if next == 0 {
                self.escape = 1;
            }
            escaped |= next;
            left &= !(one | next);
        }
        escaped
    }
}

// === impl Open ===

impl Open {
    /// Takes a bracket in; `true` once the first one is closed.
    fn take(&mut self, kind: u8) -> Result<bool, Reason> {
        match kind {
            b'{' | b'[' => {
                let word = self.braces.get_mut(self.depth / 64).ok_or(Reason::TooDeep)?;
                let bit = 1 << (self.depth % 64);
                *word = if kind == b'{' { *word | bit } else { *word & !bit };
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth -= 1;
                let word = self.braces.get(self.depth / 64).copied().unwrap_or_default();
                if (word >> (self.depth % 64) & 1 == 1) != (kind == b'}') {
                    return Err(Reason::Unbalanced);
                }
            }
            _ => return Err(Reason::Unexpected),
        }
        Ok(self.depth == 1)
    }
}

/// One bit for each byte, the first byte's lowest: how many of these bits up to and with it are set, odd or even.
fn odd_so_far(bits: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].into_iter().fold(bits, |odd, by| odd ^ (odd << by))
}

fn equal(block: &[u8; BLOCK], byte: u8) -> u64 {
    let wanted = u8x16::splat(byte);
    bits(block, |bytes| bytes.simd_eq(wanted))
}

/// `[` and `{`, `]` and `}` differ in one bit.
fn brackets(block: &[u8; BLOCK]) -> u64 {
    let (bit, open, close) = (u8x16::splat(0x20), u8x16::splat(b'{'), u8x16::splat(b'}'));
    bits(block, |bytes| {
        let folded = bytes | bit;
        folded.simd_eq(open) | folded.simd_eq(close)
    })
}

fn bits(block: &[u8; BLOCK], hits: impl Fn(u8x16) -> u8x16) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    let one = |part: &[u8; 16]| u64::from(hits(u8x16::new(*part)).to_bitmask());
    parts.iter().rev().fold(0, |all, part| all << 16 | one(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, byte by byte.
    fn plain(body: &[u8], open: usize) -> Result<usize, Malformed> {
        let (mut stack, mut string, mut escape) = (Vec::new(), false, false);
        for (at, byte) in body.iter().copied().enumerate().skip(open) {
            match (string, byte) {
                (true, _) if escape => escape = false,
                (true, b'\\') => escape = true,
                (true, b'"') => string = false,
                (true, _) => {}
                (false, b'"') => string = true,
                (false, b'\\') => return Err(Malformed::at(at, Reason::Unexpected)),
                (false, b'{' | b'[') if stack.len() + 1 == DEPTH_LIMIT => {
                    return Err(Malformed::at(at, Reason::TooDeep));
                }
                (false, b'{' | b'[') => stack.push(byte + 2),
                (false, b'}' | b']') => {
                    if stack.pop() != Some(byte) {
                        return Err(Malformed::at(at, Reason::Unbalanced));
                    }
                    if stack.is_empty() {
                        return Ok(at + 1);
                    }
                }
                (false, _) => {}
            }
        }
        Err(Malformed::at(body.len(), Reason::Truncated))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn it_ends_where_a_walk_byte_by_byte_does(
            before in 0_usize..3,
            body in proptest::collection::vec(
                proptest::sample::select(br#"[]{}""\\\ax,: "#.to_vec()), 0..300),
        ) {
            let body = [&b"   "[..before], b"[", &body].concat();
            prop_assert_eq!(skip(&body, before), plain(&body, before));
        }

        /// What is nested and long enough to cross blocks at every place.
        #[test]
        fn long_texts_and_escapes_cross_blocks(lengths in proptest::collection::vec(0_usize..140, 1..8), slashes in 0_usize..5) {
            let texts = lengths.iter().map(|length| format!(r#"{{"a":"{}{}\"]"}}"#, "x".repeat(*length), r"\\".repeat(slashes)));
            let body = format!("[{}] and [more\\", texts.collect::<Vec<_>>().join(", "));
            prop_assert_eq!(skip(body.as_bytes(), 0), plain(body.as_bytes(), 0));
            prop_assert_eq!(skip(body.as_bytes(), 0).ok(), body.find("] and").map(|at| at + 1));
        }
    }

    #[test]
    fn levels_are_bounded() {
        let deep = |levels: usize| ["[".repeat(levels), "]".repeat(levels)].concat();
        let levels = DEPTH_LIMIT - 1;
        assert_eq!(skip(deep(levels).as_bytes(), 0), Ok(2 * levels));
        assert_eq!(skip(deep(levels + 1).as_bytes(), 0).map_err(|one| one.reason), Err(Reason::TooDeep));
    }
}
