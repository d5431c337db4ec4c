//! Takes a reply's body out of its framing: a length, or chunks. No I/O; bytes may come in any pieces.

use bytes::{Buf, BytesMut};
use memchr::memmem;

/// Where in the body the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes are to come, and then it is over.
    Length(usize),
    /// The line with the next chunk's size is to come.
    ChunkSize,
    /// This many bytes of a chunk are to come.
    Chunk(usize),
    /// The line end behind a chunk is to come.
    ChunkEnd,
    /// Trailers, and the empty line that ends them, are to come.
    Trailers,
    /// The body is whole.
    Done,
}

/// A chunk's size is no hexadecimal number.
#[derive(Debug, thiserror::Error)]
#[error("the size of a chunk is no number")]
pub(crate) struct BadChunk;

const LINE_END: &[u8] = b"\r\n";

// === impl Framing ===

impl Framing {
    /// Moves what `raw` holds of the body to `body`. What is left in `raw` needs more bytes behind it.
    pub(crate) fn take(&mut self, raw: &mut BytesMut, body: &mut Vec<u8>) -> Result<(), BadChunk> {
        loop {
            let next = match *self {
                Self::Done => return Ok(()),
                Self::Length(left) => match moved(left, raw, body) {
                    0 => Self::Done,
                    left => Self::Length(left),
                },
                Self::Chunk(left) => match moved(left, raw, body) {
                    0 => Self::ChunkEnd,
                    left => Self::Chunk(left),
                },
                Self::ChunkEnd if raw.len() >= LINE_END.len() => {
                    raw.advance(LINE_END.len());
                    Self::ChunkSize
                }
                Self::ChunkEnd => Self::ChunkEnd,
                Self::ChunkSize => match line(raw) {
                    Some(text) => match size(&text)? {
                        0 => Self::Trailers,
                        size => Self::Chunk(size),
                    },
                    None => Self::ChunkSize,
                },
                Self::Trailers => match line(raw) {
                    Some(text) if text.is_empty() => Self::Done,
                    Some(_) => continue,
                    None => Self::Trailers,
                },
            };
            if next == *self {
                return Ok(());
            }
            *self = next;
        }
    }
}

/// Moves up to `left` bytes, and says how many are still to come.
fn moved(left: usize, raw: &mut BytesMut, body: &mut Vec<u8>) -> usize {
    let part = raw.split_to(left.min(raw.len()));
    body.extend_from_slice(&part);
    left - part.len()
}

/// The next line without its end, if it is whole.
fn line(raw: &mut BytesMut) -> Option<BytesMut> {
    let at = memmem::find(raw, LINE_END)?;
    let text = raw.split_to(at);
    raw.advance(LINE_END.len());
    Some(text)
}

fn size(line: &[u8]) -> Result<usize, BadChunk> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = std::str::from_utf8(digits).map_err(|_| BadChunk)?;
    usize::from_str_radix(text, 16).map_err(|_| BadChunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"5;name=x\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nx-t: 1\r\n\r\nnext";

    #[test]
    fn chunks_come_out_whole_however_they_are_split() {
        for split in 0..CHUNKED.len() {
            let (front, back) = CHUNKED.split_at(split);
            let (mut framing, mut raw, mut body) = (Framing::ChunkSize, BytesMut::from(front), vec![]);
            framing.take(&mut raw, &mut body).unwrap();
            raw.extend_from_slice(back);
            framing.take(&mut raw, &mut body).unwrap();
            assert_eq!(
                (framing, body.as_slice(), &raw[..]),
                (Framing::Done, &b"hello world"[..], &b"next"[..])
            );
        }
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let (mut framing, mut raw, mut body) = (Framing::Length(4), BytesMut::from("ab"), vec![]);
        framing.take(&mut raw, &mut body).unwrap();
        assert_eq!(framing, Framing::Length(2));
        raw.extend_from_slice(b"cdef");
        framing.take(&mut raw, &mut body).unwrap();
        assert_eq!((framing, body.as_slice(), &raw[..]), (Framing::Done, &b"abcd"[..], &b"ef"[..]));
    }

    #[test]
    fn a_size_that_is_no_number_is_refused() {
        let mut raw = BytesMut::from("zz\r\n");
        assert!(Framing::ChunkSize.take(&mut raw, &mut vec![]).is_err());
    }
}
