//! A short run of bytes that may come in pieces: a key, a tier's name, a number.

/// Bytes that are remembered; what is longer is no word that is looked for.
const LIMIT: usize = 32;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Name {
    bytes: [u8; LIMIT],
    length: usize,
    spoiled: bool,
}

// === impl Name ===

impl Name {
    pub(super) fn extend(&mut self, more: &[u8]) {
        if self.spoiled {
            return;
        }
        match self.bytes.get_mut(self.length..self.length + more.len()) {
            Some(place) => {
                place.copy_from_slice(more);
                self.length += more.len();
            }
            None => self.spoiled = true,
        }
    }

    /// It is none of the words that are looked for, whatever comes.
    pub(super) fn spoil(&mut self) {
        self.spoiled = true;
    }

    pub(super) fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length).filter(|_| !self.spoiled)
    }

    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.get() == Some(word)
    }

    /// Seconds between a colon and the next member, in milliseconds; 0 where no such number stands there.
    pub(super) fn millis(&self) -> u64 {
        let number = self.get().and_then(|gap| gap.trim_ascii().strip_prefix(b":"));
        let number = number.map(|rest| rest.split(|byte| *byte == b',').next().unwrap_or_default());
        number.and_then(|number| crate::usage::millis(number.trim_ascii())).unwrap_or_default()
    }
}
