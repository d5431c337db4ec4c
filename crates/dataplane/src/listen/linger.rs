//! The end of a connection on which a body was left unread. Closing it at once would make the system send a reset, which
//! destroys the answer before a caller that is still sending has read it. So our side is closed first, and what still
//! comes is thrown away for a while (as RFC 9112, 9.6 asks).

use super::pulse::Pulse;
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

const TIME: Duration = Duration::from_secs(5);
/// Bytes that are thrown away: the default limit of a body, twice.
const BYTES: usize = 64 << 20;
const STEP: usize = 16 * 1024;

/// A caller's byte stream with such an end.
#[derive(Debug)]
pub(super) struct Lingering<S> {
    io: S,
    pulse: Rc<Pulse>,
    end: Option<Box<End>>,
}

#[derive(Debug)]
struct End {
    until: Pin<Box<Sleep>>,
    left: usize,
    step: [u8; STEP],
}

// === impl Lingering ===

impl<S> Lingering<S> {
    pub(super) fn new(io: S, pulse: Rc<Pulse>) -> Self {
        Self { io, pulse, end: None }
    }
}

impl<S: AsyncRead + Unpin> Lingering<S> {
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = self.end.get_or_insert_with(|| {
            Box::new(End { until: Box::pin(sleep(TIME)), left: BYTES, step: [0; STEP] })
        });
        while end.left > 0 && end.until.as_mut().poll(cx).is_pending() {
            let mut step = ReadBuf::new(&mut end.step);
            if ready!(Pin::new(&mut self.io).poll_read(cx, &mut step)).is_err() || step.filled().is_empty() {
                break;
            }
            end.left = end.left.saturating_sub(step.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end.is_none() {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        }
        if self.pulse.is_unread() { self.poll_discard(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
