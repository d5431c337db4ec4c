//! A body in chunks (RFC 9112, section 7.1), whichever way it is cut into reads.

use super::{BadReply, framing::Taken};

/// Bytes of extensions and trailers that one body may have; both are thrown away.
const OVERHEAD_LIMIT: u32 = 16 * 1024;
/// Digits of a chunk's size: what 64 bits hold.
const DIGITS_LIMIT: u32 = 16;

/// How far a body in chunks has been read.
#[derive(Debug, Clone)]
pub(super) struct Chunks {
    at: At,
    /// The size that is being read, then the bytes of the chunk that are still to come.
    left: u64,
    digits: u32,
    overhead: u32,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    /// Blanks after the size.
    Blank,
    Extension,
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    /// The first byte of a trailer's line, or of the empty line that ends the body.
    Trailers,
    Trailer,
    TrailerEnd,
    LastEnd,
    Over,
}

// === impl Chunks ===

impl Chunks {
    pub(super) fn new() -> Self {
        Self { at: At::Size, left: 0, digits: 0, overhead: 0 }
    }

    pub(super) fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// Moves what is data together: all that one read brought is one piece. What came before a fault is given first.
    ///
    /// # Errors
    /// What is no body in chunks.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> Result<Taken, BadReply> {
        let mut taken = Taken::default();
        while let Some(&byte) = bytes.get(taken.consumed)
            && self.at != At::Over
        {
            if self.at == At::Data {
                self.data(bytes, &mut taken);
            } else {
                match self.step(byte) {
                    Ok(()) => taken.consumed += 1,
                    // It is met again, and told, when this has been taken.
                    Err(_) if taken.length > 0 => break,
                    Err(bad) => return Err(bad),
                }
            }
        }
        Ok(taken)
    }

    fn data(&mut self, bytes: &mut [u8], taken: &mut Taken) {
        let from = taken.consumed;
        let here = bytes.len() - from;
        let length = usize::try_from(self.left).map_or(here, |left| left.min(here));
        let end = taken.start + taken.length;
        if taken.length == 0 {
            taken.start = from;
        } else if end != from {
            bytes.copy_within(from..from + length, end);
        }
        taken.length += length;
        taken.consumed += length;
        self.left -= length as u64;
        if self.left == 0 {
            self.at = At::DataReturn;
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), BadReply> {
        self.at = match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => return self.digit(byte),
            (At::Size | At::Blank, b'\r') if self.digits > 0 => At::SizeEnd,
            (At::Size | At::Blank, b' ' | b'\t') if self.digits > 0 => self.throw_away(At::Blank)?,
            (At::Size | At::Blank, b';') if self.digits > 0 => self.throw_away(At::Extension)?,
            (At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, b'\n') => return Err(BadReply("a chunk's extension has a bare line end")),
            (At::Extension, _) => self.throw_away(At::Extension)?,
            (At::SizeEnd, b'\n') if self.left == 0 => At::Trailers,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataReturn, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => {
                self.digits = 0;
                At::Size
            }
            (At::Trailers, b'\r') => At::LastEnd,
            (At::Trailer, b'\r') => self.throw_away(At::TrailerEnd)?,
            (At::Trailer | At::Trailers, b'\n') => return Err(BadReply("a trailer has a bare line end")),
            (At::Trailer | At::Trailers, _) => self.throw_away(At::Trailer)?,
            (At::TrailerEnd, b'\n') => self.throw_away(At::Trailers)?,
            (At::LastEnd, b'\n') => At::Over,
            _ => return Err(BadReply("a chunk is not one")),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<(), BadReply> {
        if self.digits == DIGITS_LIMIT {
            return Err(BadReply("a chunk's size is too large"));
        }
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        self.digits += 1;
        self.left = self.left << 4 | u64::from(value);
        Ok(())
    }

    fn throw_away(&mut self, at: At) -> Result<At, BadReply> {
        self.overhead += 1;
        if self.overhead > OVERHEAD_LIMIT {
            return Err(BadReply("its chunks have too many extensions or trailers"));
        }
        Ok(at)
    }
}
