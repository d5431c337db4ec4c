//! A request's body on its way out: slices of what the caller sent, with the few bytes that changed between them.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use keyway_dialect::rewrite::Segments;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

/// Slices in order; their length is known, so that the request carries `content-length`.
#[derive(Debug)]
pub(crate) struct RequestBody {
    slices: <Segments as IntoIterator>::IntoIter,
    left: u64,
}

// === impl RequestBody ===

impl From<Segments> for RequestBody {
    fn from(segments: Segments) -> Self {
        Self { left: segments.len() as u64, slices: segments.into_iter() }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.slices.find(|slice| !slice.is_empty());
        if let Some(slice) = &next {
            self.left = self.left.saturating_sub(slice.len() as u64);
        }
        Poll::Ready(next.map(|slice| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
