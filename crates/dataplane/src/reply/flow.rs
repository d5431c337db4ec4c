//! What stands between a provider's stream and the caller's: one that looks on where both speak one dialect, one that
//! translates where they differ.

use super::Gathered;
use crate::{
    lease::Lease,
    meter::Seen,
    translate::{State, Stream},
};
use bytes::Bytes;
use keyway_dialect::{
    fault::Fault,
    stream::{BadStream, Ending, First, Relay},
};

/// One stream's way through the gateway.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one, and stands in a box with the rest"
)]
pub(crate) enum Flow {
    /// Bytes as they come.
    Relay(Relay),
    /// Events, written anew.
    Crossing(Box<Stream>),
}

/// How a stream began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Nothing that counts has come yet.
    Pending,
    /// An answer.
    Content,
    /// An error, which would have had this status.
    Error(u16),
}

// === impl Flow ===

impl Flow {
    /// Takes in a piece; what may go out by now goes to `out`. Gives whether an event has come to its end, which is a sign
    /// of life.
    ///
    /// # Errors
    /// The reason why the stream must be given up.
    pub(crate) fn push(
        &mut self,
        piece: Bytes,
        lease: Option<&Lease>,
        out: &mut Gathered,
    ) -> Result<bool, &'static str> {
        match self {
            Self::Relay(relay) => {
                let before = out.len();
                let pushed = relay.push(piece, &mut |bytes| out.add(bytes));
                pushed.map(|()| out.len() > before).map_err(|bad| match bad {
                    BadStream::LineTooLong => "upstream_line_too_long",
                    BadStream::Malformed => "upstream_malformed",
                })
            }
            Self::Crossing(stream) => stream.push(&piece, lease, out),
        }
    }

    pub(crate) fn opening(&self) -> Opening {
        match self {
            Self::Relay(relay) => match relay.first() {
                First::Pending => Opening::Pending,
                First::Content => Opening::Content,
                First::Error(refused) => Opening::Error(refused.status),
            },
            Self::Crossing(stream) => match stream.state() {
                State::Before => Opening::Pending,
                State::Refused(status) => Opening::Error(status),
                State::Running | State::Failed | State::Complete => Opening::Content,
            },
        }
    }

    /// True once everything has come: a broken connection then no longer matters.
    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Relay(relay) => relay.is_complete(),
            Self::Crossing(stream) => stream.state() == State::Complete,
        }
    }

    /// The provider's bytes have ended cleanly.
    pub(crate) fn finish(&mut self, lease: Option<&Lease>, out: &mut Gathered) -> Ending {
        match self {
            Self::Relay(relay) => relay.finish(&mut |bytes| out.add(bytes)),
            Self::Crossing(stream) => stream.finish(lease, out),
        }
    }

    /// The event that ends the caller's stream short of its end.
    pub(super) fn broken_off(&mut self, fault: Fault) -> Bytes {
        match self {
            Self::Relay(relay) => relay.fault(&fault),
            Self::Crossing(stream) => stream.broken_off(fault),
        }
    }

    pub(super) fn seen(&self) -> Seen {
        match self {
            Self::Relay(relay) => Seen::so_far(relay),
            Self::Crossing(stream) => stream.seen(),
        }
    }
}
