//! Pieces that are ready together leave together: one piece is passed as it is, more are joined into one.

use bytes::{Bytes, BytesMut};

/// What is ready to go out.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    first: Bytes,
    rest: BytesMut,
}

/// What a burst's second piece sets aside.
const BURST: usize = 16 * 1024;

// === impl Gathered ===

impl Gathered {
    pub(crate) fn add(&mut self, piece: Bytes) {
        if self.is_empty() {
            self.first = piece;
            return;
        }
        if self.rest.is_empty() {
            self.rest.reserve(BURST.max(self.first.len() + piece.len()));
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
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
        if self.rest.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.rest).freeze()
        }
    }
}
