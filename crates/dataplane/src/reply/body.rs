//! The body that hyper writes to a caller.

use super::{Events, Source};
use crate::meter::{Outcome, Seen, Tally};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use keyway_dialect::reply::UsageScan;
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

/// A reply's body.
#[derive(Debug, Default)]
pub(crate) enum ReplyBody {
    /// Nothing (more).
    #[default]
    Empty,
    /// All at once.
    Whole(Bytes),
    /// Piece by piece, made here.
    Pieces(VecDeque<Bytes>),
    /// As it comes from the provider.
    Passing(Box<Passing>),
    /// Event by event.
    Events(Box<Events>),
}

/// A reply that is passed on while usage is looked for in it.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(crate) source: Source,
    pub(crate) length: Option<u64>,
    pub(crate) usage: Option<Box<UsageScan>>,
    pub(crate) tally: Tally,
}

/// The provider's reply was cut, by it or by us; the caller's connection is cut too, since its length was promised.
#[derive(Debug, thiserror::Error)]
#[error("the provider's reply was cut")]
pub(crate) struct Cut;

// === impl ReplyBody ===

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
            Self::Passing(passing) => {
                passing.poll_piece(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
            Self::Events(events) => {
                events.poll_bytes(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Pieces(_) | Self::Passing(_) | Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Passing(passing) => passing.length.map(SizeHint::with_exact).unwrap_or_default(),
            Self::Pieces(_) | Self::Events(_) => SizeHint::default(),
        }
    }
}

// === impl Passing ===

impl Passing {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        self.tally.is_asked();
        if let Some(cut) = self.tally.is_cut() {
            self.close(Outcome::Broken(cut.reason()));
            return Poll::Ready(Some(Err(Cut)));
        }
        let Poll::Ready(piece) = self.source.poll_piece(cx) else {
            self.tally.wait_for_cut(cx);
            return Poll::Pending;
        };
        match piece {
            Some(Ok(piece)) => {
                if let Some(usage) = &mut self.usage {
                    usage.push(&piece);
                }
                self.tally.story.reply_bytes += piece.len() as u64;
                self.tally.gives();
                // hyper does not ask again after the last byte of a length that it knows.
                if self.length.is_some() && self.source.is_over() {
                    self.close(Outcome::Served);
                }
                Poll::Ready(Some(Ok(piece)))
            }
            Some(Err(_)) => {
                self.close(Outcome::Broken("upstream_cut"));
                Poll::Ready(Some(Err(Cut)))
            }
            None => {
                self.close(Outcome::Served);
                Poll::Ready(None)
            }
        }
    }

    fn close(&mut self, outcome: Outcome) {
        self.saw();
        self.tally.close(outcome);
    }

    fn saw(&mut self) {
        if let Some(usage) = self.usage.take() {
            self.tally.saw(Seen::whole(*usage));
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // The caller left: what came until now is what was used.
        self.saw();
    }
}
