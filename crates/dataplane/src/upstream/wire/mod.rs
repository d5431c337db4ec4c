//! HTTP/1.1 as a client speaks it (RFC 9112), on bytes alone: what a request looks like on the wire, what a reply's head
//! says, and where its body ends. Nothing here reads or writes a socket.

mod chunks;
mod framing;
mod reply;
mod request;

pub(super) use framing::Framing;
pub(super) use reply::head;
pub(super) use request::{Outgoing, SLICES};

/// What is wrong with a reply, in a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadReply(pub(crate) &'static str);
