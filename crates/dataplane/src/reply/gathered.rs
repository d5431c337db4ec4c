//! Pieces that are ready together leave together: a large one is passed as it is, others are joined into one. Small ones
//! are copied even alone: what they came in is then free for the next, where a new buffer would be set aside.

use bytes::{Bytes, BytesMut};

/// What is ready to go out.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    first: Bytes,
    rest: BytesMut,
}

/// Bytes of a piece that is copied though it is alone.
const SMALL: usize = 1024;
/// What is set aside where more than that comes together.
const BURST: usize = 16 * 1024;

// === impl Gathered ===

impl Gathered {
    pub(crate) fn add(&mut self, piece: Bytes) {
        if self.is_empty() && piece.len() > SMALL {
            self.first = piece;
            return;
        }
        let (length, room) = (self.len() + piece.len(), self.rest.capacity() - self.rest.len());
        if room < self.first.len() + piece.len() {
            self.rest.reserve(if length > SMALL { BURST.max(length) } else { SMALL });
        }
        self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        self.rest.extend_from_slice(&piece);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    /// All of it; empty if nothing is ready.
    pub(crate) fn take(&mut self) -> Bytes {
        if self.rest.is_empty() { std::mem::take(&mut self.first) } else { self.rest.split().freeze() }
    }
}
