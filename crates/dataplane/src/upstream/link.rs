//! One connection to a provider, driven by whoever uses it.
//!
//! hyper wants its `Connection` polled by somebody. Giving it a task of its own costs two wake-ups for every piece of a
//! reply; here the request's own task polls it just before it looks for a frame, so that all that one read brought is
//! handed on together, and dropping the request closes the connection at once. What is driven by its reader alone need
//! not wake it: the reply and its body are asked without a waker.

use super::{RequestBody, ears::Ears};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Bytes of a reply's head that are accepted, and of a body that hyper reads at once.
const READ_BUFFER_LIMIT: usize = 256 * 1024;

/// A connection with at most one request on it.
#[derive(Debug)]
pub(crate) struct Link {
    origin: u128,
    sender: SendRequest<RequestBody>,
    /// `None` once the connection has ended.
    connection: Option<Pin<Box<Driver>>>,
    ears: Arc<Ears>,
    /// `ears` as what the connection calls.
    caller: Waker,
    /// A reply's head has come, and its body may have begun.
    has_head: bool,
    /// How often it was found resting.
    pub(super) sweeps: u32,
}

type Driver = Connection<TokioIo<super::connect::Stream>, RequestBody>;

/// Why no reply came.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The connection had ended before anything was written: the request is untouched and may go elsewhere.
    NotSent(Box<Request<RequestBody>>),
    /// It broke under way.
    Broken(hyper::Error),
}

// === impl Link ===

impl Link {
    pub(super) async fn open(origin: u128, stream: super::connect::Stream) -> Result<Self, hyper::Error> {
        let (sender, connection) =
            http1::Builder::new().max_buf_size(READ_BUFFER_LIMIT).handshake(TokioIo::new(stream)).await?;
        let ears = Ears::new();
        let caller = Waker::from(Arc::clone(&ears));
        Ok(Self {
            origin,
            sender,
            connection: Some(Box::pin(connection)),
            ears,
            caller,
            has_head: false,
            sweeps: 0,
        })
    }

    /// What it leads to.
    pub(crate) fn origin(&self) -> u128 {
        self.origin
    }

    /// Sends a request and gives the reply's head; the body is read with `poll_frame`.
    ///
    /// # Errors
    /// `NotSent` where the request can safely go over another connection.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendError> {
        let mut reply = pin!(self.sender.try_send_request(request));
        let (ears, caller, connection) = (&self.ears, &self.caller, &mut self.connection);
        std::future::poll_fn(|cx| {
            ears.at(cx, || {
                // An answer may come although the connection ends in the same moment, so both are asked, in this order.
                ears.were_called();
                drive(connection, caller);
                reply.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            })
        })
        .await
        .inspect(|_| self.has_head = true)
        .map_err(|mut failed| match failed.take_message() {
            Some(request) => SendError::NotSent(Box::new(request)),
            None => SendError::Broken(failed.into_error()),
        })
    }

    /// The next piece of a reply's body.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let (ears, caller, connection) = (&self.ears, &self.caller, &mut self.connection);
        let mut frame = || Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop()));
        let has_head = std::mem::take(&mut self.has_head);
        ears.at(cx, || {
            let mut found = if has_head { frame() } else { Poll::Pending };
            if found.is_pending() && ears.were_called() {
                drive(connection, caller);
                found = frame();
            }
            if found.is_ready() {
                // More may have come with it.
                ears.call();
            }
            found
        })
    }

    /// Whether another request can go over it. Asks the socket, so that one which the provider closed is not taken.
    pub(super) fn is_reusable(&mut self) -> bool {
        self.ears.forget();
        drive(&mut self.connection, Waker::noop());
        self.connection.is_some() && self.sender.is_ready()
    }
}

/// Moves bytes both ways as far as they go now.
fn drive(connection: &mut Option<Pin<Box<Driver>>>, caller: &Waker) {
    if let Some(driver) = connection
        && driver.as_mut().poll(&mut Context::from_waker(caller)).is_ready()
    {
        *connection = None;
    }
}
