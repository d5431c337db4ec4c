//! Finds the events of a server-sent event stream. Works on bytes that begin where an event begins, as many as there
//! are, and goes on where it stopped when there are more.

use super::BadStream;
use memchr::{memchr, memchr2};
use std::ops::Range;

/// Bytes that one event may have before the stream is given up.
pub const EVENT_LIMIT: usize = 8 * 1024 * 1024;
/// Lines that are neither field nor comment before the stream is given up.
pub const JUNK_LIMIT: u32 = 16;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The event that is being read. Offsets count from the event's first byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    /// Where the current line begins.
    line: usize,
    /// Up to here the current line has no end.
    searched: usize,
    name: Range<usize>,
    data: Range<usize>,
    data_lines: usize,
}

/// What holds over the whole stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    draft: Draft,
    junk: u32,
    begun: bool,
}

enum Line {
    Blank,
    Field,
    Junk,
}

// === impl Lines ===

impl Lines {
    /// Reads on in `bytes`, which begin with the current event; its length when a blank line has ended it.
    /// A `\n` that follows a closing `\r` belongs to the event if it is already there.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, BadStream> {
        loop {
            self.absorb_line_feed(bytes);
            let from = self.draft.searched.max(self.draft.line);
            let rest = bytes.get(from..).unwrap_or_default();
            let Some(found) = memchr2(b'\n', b'\r', rest) else {
                self.draft.searched = bytes.len();
                return if bytes.len() > EVENT_LIMIT { Err(BadStream::LineTooLong) } else { Ok(None) };
            };
            let end = from + found;
            if end >= EVENT_LIMIT {
                return Err(BadStream::LineTooLong);
            }
            let line = self.line(bytes, end);
            self.draft.line = end + 1;
            match line {
                Line::Field => {}
                Line::Junk => {
                    self.junk += 1;
                    if self.junk > JUNK_LIMIT {
                        return Err(BadStream::Malformed);
                    }
                }
                Line::Blank => {
                    self.absorb_line_feed(bytes);
                    return Ok(Some(self.draft.line));
                }
            }
        }
    }

    /// Gives the event that has just ended and begins the next one.
    pub(crate) fn take(&mut self) -> Draft {
        self.begun = true;
        std::mem::take(&mut self.draft)
    }

    fn absorb_line_feed(&mut self, bytes: &[u8]) {
        let at = self.draft.line;
        if at > 0 && bytes.get(at - 1..=at) == Some(b"\r\n") {
            self.draft.line = at + 1;
        }
    }

    /// Notes what the line that ends at `end` says.
    fn line(&mut self, bytes: &[u8], end: usize) -> Line {
        let mut start = self.draft.line;
        let mut line = bytes.get(start..end).unwrap_or_default();
        if !self.begun && start == 0 && line.starts_with(BYTE_ORDER_MARK) {
            start += BYTE_ORDER_MARK.len();
            line = line.get(BYTE_ORDER_MARK.len()..).unwrap_or_default();
        }
        if line.is_empty() {
            return Line::Blank;
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            self.draft.data_line(start + b"data:".len(), value, end);
            return Line::Field;
        }
        let colon = memchr(b':', line);
        let field = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        match (field, colon) {
            (b"", _) => Line::Field,
            (b"event", _) => {
                let value = start + colon.map_or(field.len(), |colon| colon + 1);
                let space = usize::from(bytes.get(value) == Some(&b' ') && value < end);
                self.draft.name = value + space..end;
                Line::Field
            }
            (b"data", None) => {
                self.draft.data_line(end, b"", end);
                Line::Field
            }
            (b"id" | b"retry", _) => Line::Field,
            (name, Some(_))
                if name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)) =>
            {
                Line::Field
            }
            _ => Line::Junk,
        }
    }
}

// === impl Draft ===

impl Draft {
    /// The value of the `event` field.
    pub(crate) fn name<'a>(&self, event: &'a [u8]) -> &'a [u8] {
        event.get(self.name.clone()).unwrap_or_default()
    }

    /// The data; none if the event has none. Data over several lines is joined into `scratch`.
    pub(crate) fn data<'a>(&self, event: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let data = event.get(self.data.clone()).unwrap_or_default();
        match self.data_lines {
            0 => None,
            1 => Some(data),
            _ => {
                scratch.clear();
                scratch.extend_from_slice(b"data:");
                scratch.extend_from_slice(data);
                join_data(scratch);
                Some(scratch)
            }
        }
    }

    fn data_line(&mut self, start: usize, value: &[u8], end: usize) {
        if self.data_lines == 0 {
            self.data.start = start + usize::from(value.starts_with(b" "));
        }
        self.data.end = end;
        self.data_lines += 1;
    }
}

/// Makes of `data:` lines, with whatever else stands among them, their values with a line feed between.
fn join_data(lines: &mut Vec<u8>) {
    let mut joined = Vec::with_capacity(lines.len());
    for line in lines.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let value = match line.strip_prefix(b"data:") {
            Some(value) => value,
            None if line == b"data" => b"",
            None => continue,
        };
        joined.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        joined.push(b'\n');
    }
    joined.pop();
    *lines = joined;
}
