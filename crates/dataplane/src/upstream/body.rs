//! A request's body on its way out: slices of what the caller sent, with the few bytes that changed between them.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use keyway_dialect::rewrite::Segments;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

/// Slices in order; their length is known, so that the request carries `content-length`. Small, since hyper keeps room for
/// some sixty requests with each connection.
#[derive(Debug)]
pub(crate) struct RequestBody {
    next: Bytes,
    /// What follows, the last first: nothing, but of a large body that was changed.
    rest: Vec<Bytes>,
}

// === impl RequestBody ===

impl From<Segments> for RequestBody {
    fn from(segments: Segments) -> Self {
        let mut slices = segments.into_iter();
        let next = slices.next().unwrap_or_default();
        let mut rest: Vec<Bytes> = slices.collect();
        rest.reverse();
        Self { next, rest }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let following = self.rest.pop().unwrap_or_default();
        let slice = std::mem::replace(&mut self.next, following);
        Poll::Ready((!slice.is_empty()).then(|| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let following: usize = self.rest.iter().map(Bytes::len).sum();
        SizeHint::with_exact((self.next.len() + following) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use keyway_dialect::{rewrite, scan};

    #[tokio::test]
    async fn slices_come_in_order_and_their_length_is_told() {
        let text = format!(r#"{{"model":"a","x":"{}","stream":true}}"#, "y".repeat(rewrite::JOIN_LIMIT));
        let scanned = scan::request(text.as_bytes()).unwrap();
        let sent = rewrite::request(text.clone().into(), &scanned, Some("longer"), true);
        assert!(sent.parts().len() > 2);
        let body = RequestBody::from(sent);
        let told = body.size_hint().exact();
        let whole = body.collect().await.unwrap().to_bytes();
        assert_eq!(told, Some(whole.len() as u64));
        let end = r#"y","stream":true,"stream_options":{"include_usage":true}}"#;
        assert!(whole.starts_with(br#"{"model":"longer","x":"y"#) && whole.ends_with(end.as_bytes()));
        assert!(RequestBody::from(Segments::default()).is_end_stream());
    }
}
