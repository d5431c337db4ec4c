//! One connection to a provider, driven by whoever uses it.
//!
//! The request's own task writes and reads, so that no other has to be woken between a provider's bytes and the caller's,
//! and dropping the request closes the connection at once. While it rests it holds no buffer.

use super::{
    BadReply,
    connect::Stream,
    wire::{self, Framing, Outgoing},
};
use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request, response::Parts};
use keyway_dialect::rewrite::Segments;
use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Bytes of room for a read; four times as many each time that all were filled, up to the limit, until little comes.
const ROOM: usize = 8 * 1024;
const ROOM_LIMIT: usize = 256 * 1024;
/// Bytes of room that are not worth a read, and that a slow stream brings at most.
const ROOM_LEAST: usize = 1024;
/// Heads of information (1xx) before the one that answers.
const INFORMATION_LIMIT: usize = 16;

/// A connection with at most one request on it.
#[derive(Debug)]
pub(crate) struct Link {
    origin: u128,
    stream: Stream,
    /// `None` once it has been written.
    outgoing: Option<Outgoing>,
    incoming: BytesMut,
    room: usize,
    /// Of the reply that is being read.
    framing: Framing,
    /// Another request may follow.
    stays: bool,
    /// Something came back since the last request.
    heard: bool,
    /// How often it was found resting.
    pub(super) sweeps: u32,
}

/// Why a reply is not all there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the provider closed the connection")]
    Cut,
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the reply is not HTTP as it should be: {0}")]
    Framing(#[from] BadReply),
}

/// How far the head of a reply was looked for.
#[derive(Debug, Default)]
struct Search {
    asked_for_head: bool,
    looked: usize,
    informed: usize,
}

// === impl Link ===

impl Link {
    pub(super) fn new(origin: u128, stream: Stream) -> Self {
        Self {
            origin,
            stream,
            outgoing: None,
            incoming: BytesMut::new(),
            room: ROOM,
            framing: Framing::NOTHING,
            stays: true,
            heard: false,
            sweeps: 0,
        }
    }

    /// What it leads to.
    pub(crate) fn origin(&self) -> u128 {
        self.origin
    }

    /// Sends a request and gives the reply's head; the body is read with `poll_piece`.
    ///
    /// # Errors
    /// Why there is none. The request may have arrived.
    pub(crate) async fn send(&mut self, request: Request<Segments>) -> Result<Parts, Broken> {
        self.outgoing = Some(Outgoing::new(&request));
        self.heard = false;
        let mut search = Search { asked_for_head: *request.method() == Method::HEAD, ..Search::default() };
        // What it took from the caller is free while the provider thinks.
        drop(request);
        std::future::poll_fn(|cx| self.poll_head(cx, &mut search)).await
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, search: &mut Search) -> Poll<Result<Parts, Broken>> {
        loop {
            self.write(cx);
            let looked = std::mem::replace(&mut search.looked, self.incoming.len());
            match wire::head(&mut self.incoming, looked, search.asked_for_head)? {
                Some(head) if head.parts.status.is_informational() => {
                    (search.looked, search.informed) = (0, search.informed + 1);
                    if search.informed > INFORMATION_LIMIT {
                        return Poll::Ready(Err(BadReply("it is announced without end").into()));
                    }
                }
                Some(head) => {
                    self.framing = head.framing;
                    self.stays &= head.stays;
                    return Poll::Ready(Ok(head.parts));
                }
                None => {
                    if ready!(self.poll_read(cx))? == 0 {
                        return Poll::Ready(Err(Broken::Cut));
                    }
                    self.heard = true;
                }
            }
        }
    }

    /// Whether anything of a reply came: then the request arrived.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard
    }

    /// The next piece of a reply's body: all that one read brought. `None` at its end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        while !self.framing.is_over() {
            if !self.incoming.is_empty() {
                match self.framing.take(&mut self.incoming) {
                    Err(bad) => return Poll::Ready(Some(Err(bad.into()))),
                    Ok(taken) if taken.length == 0 => self.incoming.advance(taken.consumed),
                    Ok(taken) => {
                        self.incoming.advance(taken.start);
                        let piece = self.incoming.split_to(taken.length).freeze();
                        self.incoming.advance(taken.consumed - taken.start - taken.length);
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                continue;
            }
            self.write(cx);
            match ready!(self.poll_read(cx)) {
                Ok(0) if self.framing.is_until_close() => self.framing = Framing::NOTHING,
                Ok(0) => return Poll::Ready(Some(Err(Broken::Cut))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
        Poll::Ready(None)
    }

    /// Bytes of the body to come, where the provider said so.
    pub(crate) fn left(&self) -> Option<u64> {
        self.framing.left()
    }

    /// Nothing of the reply is to come.
    pub(crate) fn is_over(&self) -> bool {
        self.framing.is_over()
    }

    /// Whether another request can go over it. Asks the socket, so that one which the provider closed is not taken.
    pub(super) fn is_reusable(&mut self) -> bool {
        let is_at_rest =
            self.stays && self.outgoing.is_none() && self.framing.is_over() && self.incoming.is_empty();
        is_at_rest && self.is_silent()
    }

    #[cfg(test)]
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Gives its buffer back.
    pub(super) fn rest(&mut self) {
        self.incoming = BytesMut::new();
        self.room = ROOM;
        self.sweeps = 0;
    }

    /// What a provider says unasked is its end, or part of no reply.
    fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let stream = Pin::new(&mut self.stream);
        stream.poll_read(&mut Context::from_waker(Waker::noop()), &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Writes as much as goes out now. Where the provider takes no more, what it answered can still be read.
    fn write(&mut self, cx: &mut Context<'_>) {
        let Some(outgoing) = &mut self.outgoing else { return };
        match write(outgoing, &mut self.stream, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.outgoing = None,
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a provider does not take a request to its end");
                (self.outgoing, self.stays) = (None, false);
            }
        }
    }

    /// How many bytes came; 0 at the provider's end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // What a burst needed is not kept through a slow stream.
        if self.room == ROOM && self.incoming.is_empty() && self.incoming.capacity() > ROOM {
            self.incoming = BytesMut::new();
        }
        if self.incoming.capacity() - self.incoming.len() < ROOM_LEAST {
            self.incoming.reserve(self.room);
        }
        let room = self.incoming.capacity() - self.incoming.len();
        let came = ready!(pin!(self.stream.read_buf(&mut self.incoming)).poll(cx))?;
        if came == room {
            self.room = self.room.saturating_mul(4).min(ROOM_LIMIT);
        } else if came < ROOM_LEAST {
            self.room = ROOM;
        }
        Poll::Ready(Ok(came))
    }
}

fn write(outgoing: &mut Outgoing, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    while !outgoing.is_written() {
        let mut slices = [IoSlice::new(&[]); wire::SLICES];
        let count = outgoing.next(&mut slices);
        let slices = slices.get(..count).unwrap_or_default();
        let written = if stream.is_write_vectored() {
            Pin::new(&mut *stream).poll_write_vectored(cx, slices)
        } else {
            Pin::new(&mut *stream).poll_write(cx, slices.first().map_or(&[], |first| first))
        };
        match ready!(written)? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => outgoing.advance(written),
        }
    }
    // TLS may have records that the socket did not take yet.
    Pin::new(stream).poll_flush(cx)
}
