//! Server-sent events: from any cut of bytes to names and data, and back.

use crate::codec::Broken;
use crate::json::Json;
use crate::stream::Lines;

/// Bytes that a buffer keeps for the next event; what a larger event needed is given back.
const KEPT: usize = 8 * 1024;

/// Cuts a stream into events. Holds no more than the event that has begun.
#[derive(Debug, Default)]
pub(crate) struct Sse {
    lines: Lines,
    held: Vec<u8>,
    scratch: Vec<u8>,
}

// === impl Sse ===

impl Sse {
    /// Gives name and data of every event that is whole by now to `each`. Comments and events without data are skipped.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&[u8], &[u8]) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        if self.held.is_empty() {
            let taken = self.read(bytes, each)?;
            self.held.extend_from_slice(bytes.get(taken..).unwrap_or_default());
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let taken = self.read(&held, each)?;
        // Not while an event goes on: it would be copied whole with every piece.
        if taken > 0 {
            held.drain(..taken);
            held.shrink_to(KEPT);
            self.scratch.clear();
            self.scratch.shrink_to(KEPT);
        }
        self.held = held;
        Ok(())
    }

    /// As if the last event's blank line had come: some servers leave it out.
    pub(crate) fn end(
        &mut self,
        each: &mut impl FnMut(&[u8], &[u8]) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        if self.held.is_empty() { Ok(()) } else { self.push(b"\n\n", each) }
    }

    /// Reads whole events off the front of `bytes`; how many bytes they were.
    fn read(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&[u8], &[u8]) -> Result<(), Broken>,
    ) -> Result<usize, Broken> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(length) = self.lines.advance(rest)? else { break };
            let event = rest.get(..length).unwrap_or_default();
            let draft = self.lines.take();
            if let Some(data) = draft.data(event, &mut self.scratch) {
                each(draft.name(event), data)?;
            }
            at += length;
        }
        Ok(at)
    }
}

/// Writes one event whose data is what `data` writes. Line breaks in it can only be blanks between tokens of JSON that is
/// carried as it was written; they become spaces, since a line break would end the line.
pub(crate) fn write(name: Option<&str>, out: &mut Vec<u8>, data: impl FnOnce(&mut Json<'_>)) {
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    let begun = out.len();
    data(&mut Json::new(out));
    let mut rest = out.get_mut(begun..).unwrap_or_default();
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        if let Some(byte) = rest.get_mut(at) {
            *byte = b' ';
        }
        rest = rest.get_mut(at..).unwrap_or_default();
    }
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Sse, write};

    fn pushed(sse: &mut Sse, bytes: &[u8]) -> Vec<(String, String)> {
        let mut events = Vec::new();
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().to_owned();
        sse.push(bytes, &mut |name, data| {
            events.push((text(name), text(data)));
            Ok(())
        })
        .unwrap();
        events
    }

    #[test]
    fn a_large_event_is_not_paid_for_to_the_end() {
        let mut sse = Sse::default();
        assert!(pushed(&mut sse, b"data: ").is_empty());
        assert!(pushed(&mut sse, "x".repeat(1 << 20).as_bytes()).is_empty());
        assert_eq!(pushed(&mut sse, b"\n\ndata: y").len(), 1);
        assert!(sse.held.capacity() <= 2 * KEPT, "{}", sse.held.capacity());
    }

    #[test]
    fn a_large_event_in_pieces_is_not_copied_with_each() {
        let (mut sse, mut grown, mut last) = (Sse::default(), 0, 0);
        assert!(pushed(&mut sse, b"data: ").is_empty());
        for _ in 0..(4 << 20) / 1400 {
            assert!(pushed(&mut sse, &[b'x'; 1400]).is_empty());
            assert!(sse.held.capacity() >= last, "shrunk to {}", sse.held.capacity());
            grown += usize::from(sse.held.capacity() > last);
            last = sse.held.capacity();
        }
        assert!(grown < 32, "grown {grown} times");
        assert_eq!(pushed(&mut sse, b"\n\n").len(), 1);
        assert!(sse.held.capacity() <= KEPT, "{}", sse.held.capacity());
    }

    #[test]
    fn carried_line_breaks_do_not_end_an_event() {
        let mut out = Vec::new();
        write(Some("e"), &mut out, |json| {
            json.literal("{\r\n\"a\":\n\n1}");
        });
        let events = pushed(&mut Sse::default(), &out);
        assert_eq!(events, [("e".to_owned(), "{  \"a\":  1}".to_owned())]);
    }
}
