//! What goes back to a caller: whole, as it comes, or event by event.

mod body;
mod events;
mod flow;
mod gathered;
mod source;

pub(crate) use body::{Passing, ReplyBody};
pub(crate) use events::Events;
pub(crate) use flow::{Flow, Opening};
pub(crate) use gathered::Gathered;
pub(crate) use source::{Source, Uncollected};

use crate::{meter::Seen, sandbox::Said};
use bytes::Bytes;
use http::response::Parts;
use keyway_dialect::reply::UsageScan;
use std::time::Duration;
use tokio::time::Instant;

/// A provider's answer that may go out.
#[derive(Debug)]
pub(crate) enum Answer {
    /// By the sandbox.
    Made(Said),
    /// Read to its end.
    Whole { head: Parts, body: Bytes, seen: Seen },
    /// Too large to hold back, or of unknown length; it must have ended by then.
    Passing { head: Parts, source: Source, usage: Box<UsageScan>, deadline: Instant },
    /// A stream whose first event has come.
    Events(Box<Begun>),
}

/// A stream whose first event has come.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) head: Parts,
    pub(crate) source: Source,
    pub(crate) flow: Flow,
    pub(crate) gathered: Gathered,
    pub(crate) idle: Duration,
    /// Why it must be given up once `gathered` has gone out.
    pub(crate) broken: Option<&'static str>,
}
