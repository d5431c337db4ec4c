//! How streams are cut into events: server-sent events, AWS frames, or a JSON list that comes item by item.

use super::BadStream;
use super::lines::Lines;
use super::list::List;
use crate::codec::Broken;
use crate::frame::aws;
use keyway_proto::snapshot::v1::Dialect;
use memchr::memchr2;

/// What a stream's events stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `text/event-stream`.
    Events,
    /// `application/vnd.amazon.eventstream`.
    Frames,
    /// One JSON list whose items come one by one: Gemini's streams where `alt=sse` is not asked for.
    List,
}

/// Finds the events of one stream.
#[derive(Debug)]
pub(super) enum Cutter {
    Events(Lines),
    Frames,
    List(List),
}

// === impl Framing ===

impl Framing {
    /// The framing of a reply by its content type; none if that is no stream that this dialect has. `asked` tells whether
    /// a stream was asked for.
    #[must_use]
    pub fn of(dialect: Dialect, asked: bool, content_type: &[u8]) -> Option<Self> {
        let begins = |kind: &str| {
            content_type.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
        };
        if begins("text/event-stream") {
            return Some(Self::Events);
        }
        match dialect {
            Dialect::BedrockConverse if begins("application/vnd.amazon.eventstream") => Some(Self::Frames),
            Dialect::Gemini if asked && begins("application/json") => Some(Self::List),
            _ => None,
        }
    }
}

// === impl Cutter ===

impl Cutter {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Events => Self::Events(Lines::default()),
            Framing::Frames => Self::Frames,
            Framing::List => Self::List(List::default()),
        }
    }

    /// Reads on in `bytes`, which begin with the current event; its length if it is whole.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, BadStream> {
        match self {
            Self::Events(lines) => lines.advance(bytes),
            Self::Frames => Ok(aws::length(bytes).map_err(bad)?.filter(|length| *length <= bytes.len())),
            Self::List(list) => list.advance(bytes),
        }
    }

    /// Bytes of `chunk` that may complete the event of which `held` has come: no byte behind it is copied for nothing.
    pub(super) fn step(&self, held: &[u8], chunk: &[u8]) -> usize {
        let to = |found: Option<usize>| found.map_or(chunk.len(), |end| end + 1);
        match self {
            Self::Events(_) => to(memchr2(b'\n', b'\r', chunk)),
            Self::Frames => {
                let length = aws::length(held).ok().flatten().unwrap_or(aws::PRELUDE);
                length.saturating_sub(held.len()).clamp(1, chunk.len().max(1)).min(chunk.len())
            }
            Self::List(_) => to(memchr2(b'}', b']', chunk)),
        }
    }
}

/// Whatever is wrong with a frame, nothing behind it can be found.
pub(super) fn bad(broken: Broken) -> BadStream {
    match broken {
        Broken::Frame(bad) => bad,
        Broken::Event(_) | Broken::Interleaved | Broken::Cut => BadStream::Malformed,
    }
}
