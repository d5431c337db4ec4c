//! A stream as one JSON array, which is what Gemini answers with where a caller does not ask for server-sent events.

use super::stream::KEPT;
use keyway_dialect::{canon::Event, codec::Writer};

/// Between two events of the writer within.
const BLANK: &[u8] = b"\n\n";
const DATA: &[u8] = b"data: ";

/// Takes the data of each event as an item. A stream that breaks off leaves the array open: it never looks complete.
#[derive(Debug)]
pub(super) struct Listed {
    within: Box<dyn Writer>,
    events: Vec<u8>,
    begun: bool,
}

// === impl Listed ===

impl Listed {
    pub(super) fn new(within: Box<dyn Writer>) -> Self {
        Self { within, events: Vec::new(), begun: false }
    }

    fn item(&mut self, item: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(if std::mem::replace(&mut self.begun, true) { b",\r\n" } else { b"[" });
        out.extend_from_slice(item);
    }
}

impl Writer for Listed {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        let mut events = std::mem::take(&mut self.events);
        self.within.write(event, &mut events);
        // JSON of ours holds no line ends.
        let mut rest = events.as_slice();
        while let Some(item) = rest.strip_prefix(DATA) {
            let end = memchr::memmem::find(item, BLANK).unwrap_or(item.len());
            self.item(item.get(..end).unwrap_or_default(), out);
            rest = item.get(end + BLANK.len()..).unwrap_or_default();
        }
        if events.capacity() <= KEPT {
            events.clear();
            self.events = events;
        }
        if matches!(event, Event::End) {
            out.extend_from_slice(if self.begun { b"]" } else { b"[]" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two server-sent events for each event.
    #[derive(Debug)]
    struct Twice;

    impl Writer for Twice {
        fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
            if let Event::Tier(tier) = event {
                out.extend_from_slice(format!("data: {tier}\n\ndata: {tier}\n\n").as_bytes());
            }
        }
    }

    #[test]
    fn one_array_that_ends_only_at_the_end() {
        let (mut listed, mut out) = (Listed::new(Box::new(Twice)), Vec::new());
        let mut write = |event, expected: &str| {
            listed.write(&event, &mut out);
            assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
        };
        write(Event::Tier("{}".to_owned()), "[{},\r\n{}");
        write(Event::Close { block: 0 }, "[{},\r\n{}");
        write(Event::Tier("1".to_owned()), "[{},\r\n{},\r\n1,\r\n1");
        write(Event::End, "[{},\r\n{},\r\n1,\r\n1]");
    }
}
