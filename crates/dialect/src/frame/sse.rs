//! Server-sent events: from any cut of bytes to names and data, and back.

use crate::codec::Broken;
use crate::json::Json;
use crate::stream::Lines;

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
        held.drain(..taken);
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

/// Writes one event whose data is what `data` writes: one line, since JSON holds no line feed of its own.
pub(crate) fn write(name: Option<&str>, out: &mut Vec<u8>, data: impl FnOnce(&mut Json<'_>)) {
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    data(&mut Json::new(out));
    out.extend_from_slice(b"\n\n");
}
