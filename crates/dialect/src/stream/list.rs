//! Finds the items of a JSON list that comes piece by piece. Each goes with what stands before it: the opening bracket or
//! a comma; the closing bracket is an event of its own, since it says that the answer is whole. An object that comes where
//! a list should is taken for its only item.

use super::{BadStream, EVENT_LIMIT};
use std::ops::Range;

/// Goes on where it stopped.
#[derive(Debug, Default)]
pub(super) struct List {
    /// Up to here the current event has been read.
    at: usize,
    /// Where its item begins.
    item: usize,
    /// Brackets open inside the item; 0 = before it.
    depth: usize,
    text: Text,
    /// The opening bracket has come, or what stands for it.
    begun: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escape,
}

// === impl List ===

impl List {
    /// Reads on in `bytes`, which begin with the current event; its length if it is whole.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, BadStream> {
        while let Some(byte) = bytes.get(self.at) {
            if self.at >= EVENT_LIMIT {
                return Err(BadStream::LineTooLong);
            }
            self.at += 1;
            let ends = if self.depth == 0 { self.before(*byte)? } else { self.within(*byte) };
            if ends {
                return Ok(Some(self.at));
            }
        }
        Ok(None)
    }

    /// The place of the item in the event that has just ended; none for the end of the list.
    pub(super) fn take(&mut self) -> Option<Range<usize>> {
        let event = std::mem::take(self);
        self.begun = true;
        (event.item < event.at && event.begun).then_some(event.item..event.at)
    }

    /// Whether an item, or at least the opening bracket, has come.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// One byte before an item; true if it ends the list.
    fn before(&mut self, byte: u8) -> Result<bool, BadStream> {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' | b',' => {}
            b'[' if !self.begun => self.begun = true,
            b'{' => {
                (self.begun, self.depth, self.item) = (true, 1, self.at - 1);
            }
            b']' if self.begun => {
                self.item = self.at;
                return Ok(true);
            }
            _ => return Err(BadStream::Malformed),
        }
        Ok(false)
    }

    /// One byte of an item; true if it is its last.
    fn within(&mut self, byte: u8) -> bool {
        match (self.text, byte) {
            (Text::Escape, _) | (Text::Outside, b'"') => self.text = Text::Inside,
            (Text::Inside, b'\\') => self.text = Text::Escape,
            (Text::Inside, b'"') => self.text = Text::Outside,
            (Text::Outside, b'{' | b'[') => self.depth += 1,
            (Text::Outside, b'}' | b']') => self.depth -= 1,
            (Text::Inside | Text::Outside, _) => {}
        }
        self.depth == 0
    }
}
