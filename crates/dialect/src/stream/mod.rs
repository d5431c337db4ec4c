//! Passes one stream on, byte for byte, in whole events only, and looks on: how it began, what it used, whether it ended
//! as its row says. Where chunks are cut makes no difference to bytes or verdicts.

mod framing;
mod lines;
mod list;
mod refused;
mod text;
mod watch;

#[cfg(test)]
mod tests;

use crate::fault::{self, Fault};
use crate::frame::aws;
use crate::usage::Usage;
use bytes::{Buf, Bytes, BytesMut};
use framing::{Cutter, bad};
use keyway_proto::snapshot::v1::{Dialect, Endpoint, ServiceTier, StreamEnd};
pub(crate) use lines::Lines;
use watch::{Pass, Watch};

pub use framing::Framing;
pub use lines::{EVENT_LIMIT, JUNK_LIMIT};
pub use refused::Refused;

/// One stream on its way from a target to a caller of the same dialect.
#[derive(Debug)]
pub struct Relay {
    watch: Watch,
    cutter: Cutter,
    /// The event that has begun and not ended.
    held: BytesMut,
    after: After,
    bad: Option<BadStream>,
    scratch: Vec<u8>,
}

/// Why a stream is given up. The caller sends the dialect's error event and ends without an end marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStream {
    /// `upstream_line_too_long`.
    #[error("an event of the stream is longer than {EVENT_LIMIT} bytes")]
    LineTooLong,
    /// `upstream_malformed`: more than `JUNK_LIMIT` lines that are neither field nor comment, a frame whose checksum is
    /// wrong, or something else than a list of objects.
    #[error("the stream's framing cannot be understood")]
    Malformed,
}

/// How the stream began; comments, pings and events without data do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// Nothing that counts has come yet.
    Pending,
    /// An answer: headers may go out.
    Content,
    /// An error: another target may be tried, since nothing has gone out.
    Error(Refused),
}

/// How the stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As the row says that complete streams end.
    Complete,
    /// Short of it: the caller must be told by an error event.
    Cut,
    /// With an error event of the target's own, which has been passed on; nothing needs to follow.
    Failed,
}

/// What stood at the end of the last chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Nothing that matters.
    Nothing,
    /// A `\r` that ended an event; a `\n` that comes next shares its fate.
    Return(Pass),
}

// === impl Relay ===

impl Relay {
    /// Begins a stream of server-sent events. `end` is the row's rule. With `withhold_usage_chunk` the extra chunk that only carries usage is
    /// counted and not passed on, because the caller did not ask for it.
    #[must_use]
    pub fn new(dialect: Dialect, endpoint: Endpoint, end: StreamEnd, withhold_usage_chunk: bool) -> Self {
        Self::framed(Framing::Events, (dialect, endpoint), end, withhold_usage_chunk)
    }

    /// Begins a stream in this framing.
    #[must_use]
    pub fn framed(
        framing: Framing,
        (dialect, endpoint): (Dialect, Endpoint),
        end: StreamEnd,
        withhold_usage_chunk: bool,
    ) -> Self {
        Self {
            watch: Watch::new(dialect, endpoint, end, withhold_usage_chunk),
            cutter: Cutter::new(framing),
            held: BytesMut::new(),
            after: After::Nothing,
            bad: None,
            scratch: Vec::new(),
        }
    }

    /// Takes in a chunk and gives every event that is whole by now to `out`, neighbours in one piece.
    ///
    /// # Errors
    /// The stream cannot be passed on; `out` has got what was whole before. Every later call says the same.
    pub fn push(&mut self, mut chunk: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), BadStream> {
        if let Some(bad) = self.bad {
            return Err(bad);
        }
        let done = self.finish_held(&mut chunk, out).and_then(|()| self.pass_whole(chunk, out));
        self.bad = done.err();
        done
    }

    /// How the stream began.
    #[must_use]
    pub fn first(&self) -> &First {
        self.watch.first()
    }

    /// True once the end that the row asks for has passed; a broken connection then no longer matters.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.watch.is_complete()
    }

    /// To be called at a clean end of the target's bytes. An end marker that only lacks its blank line still goes to
    /// `out`; any other unfinished event is dropped, so that an error event never joins half a line.
    pub fn finish(&mut self, out: &mut impl FnMut(Bytes)) -> Ending {
        if self.bad.is_some() {
            return Ending::Cut;
        }
        if self.held.is_empty() {
            return self.watch.ending();
        }
        let tail = self.held.split().freeze();
        let Cutter::Events(lines) = &mut self.cutter else {
            // Blanks behind the only item of what should be a list.
            if !tail.trim_ascii().is_empty() {
                return Ending::Cut;
            }
            out(tail);
            return self.watch.ending();
        };
        // The event as if its blank line had come; it cannot be too long by two bytes and still matter.
        let whole = [tail.as_ref(), b"\n\n"].concat();
        let Ok(Some(length)) = lines.advance(&whole) else {
            return Ending::Cut;
        };
        let draft = lines.take();
        let event = whole.get(..length).unwrap_or_default();
        let Some(data) = draft.data(event, &mut self.scratch) else {
            return self.watch.ending();
        };
        match self.watch.see_tail(draft.name(event), data) {
            Some(Pass::On) => out(tail),
            Some(Pass::Withheld) => {}
            None => return Ending::Cut,
        }
        self.watch.ending()
    }

    /// The event that ends the stream early, in its framing and without an end marker.
    #[must_use]
    pub fn fault(&self, fault: &Fault) -> Bytes {
        let (dialect, endpoint) = self.watch.place();
        let Cutter::List(list) = &self.cutter else { return fault::encode_event(fault, dialect, endpoint) };
        let before: &[u8] = if list.has_begun() { b",\n" } else { b"[" };
        [before, &fault::encode(fault, dialect)].concat().into()
    }

    /// What the stream has used so far, as the target says; none if it said nothing, or nothing that can be.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.watch.usage()
    }

    /// Whether `usage` covers the whole answer. Until then it may hold the input alone (Messages tell it first).
    #[must_use]
    pub fn usage_is_whole(&self) -> bool {
        self.watch.usage_is_whole()
    }

    /// Bytes of answer text (content, reasoning, arguments of tools) that have been passed on, escapes undone.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.watch.text_bytes()
    }

    /// The service tier that the target says it served with.
    #[must_use]
    pub fn service_tier(&self) -> ServiceTier {
        self.watch.service_tier()
    }

    /// Completes the event that earlier chunks began, line by line, so that no byte behind it is copied.
    fn finish_held(&mut self, chunk: &mut Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), BadStream> {
        while !self.held.is_empty() && !chunk.is_empty() {
            let step = self.cutter.step(&self.held, chunk);
            self.held.extend_from_slice(chunk.get(..step).unwrap_or_default());
            chunk.advance(step);
            if self.cutter.advance(&self.held)?.is_none() {
                continue;
            }
            let event = self.held.split().freeze();
            let pass = self.see(&event)?;
            if self.ends_with_return(&event) {
                self.after = After::Return(pass);
            }
            if pass == Pass::On {
                out(event);
            }
        }
        Ok(())
    }

    /// Passes the whole events of a chunk on and holds the rest.
    fn pass_whole(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) -> Result<(), BadStream> {
        let mut at = 0;
        // Where the run of events begins that goes out in one piece.
        let mut run = 0;
        if let After::Return(pass) = self.after
            && !chunk.is_empty()
        {
            self.after = After::Nothing;
            at = usize::from(chunk.starts_with(b"\n"));
            run = if pass == Pass::On { 0 } else { at };
        }
        while at < chunk.len() {
            if self.watch.is_sealed() {
                at = chunk.len();
                break;
            }
            let rest = chunk.get(at..).unwrap_or_default();
            let seen = self.cutter.advance(rest).and_then(|length| {
                let event = length.and_then(|length| rest.get(..length));
                event.map(|event| self.see(event).map(|pass| (event, pass))).transpose()
            });
            let (event, pass) = match seen {
                Ok(Some(seen)) => seen,
                Ok(None) => break,
                Err(bad) => {
                    send(&chunk, run, at, out);
                    return Err(bad);
                }
            };
            let length = event.len();
            if at + length == chunk.len() && self.ends_with_return(event) {
                self.after = After::Return(pass);
            }
            if pass == Pass::Withheld {
                send(&chunk, run, at, out);
                run = at + length;
            }
            at += length;
        }
        self.held.extend_from_slice(chunk.get(at..).unwrap_or_default());
        send(&chunk, run, at, out);
        Ok(())
    }

    fn see(&mut self, event: &[u8]) -> Result<Pass, BadStream> {
        Ok(match &mut self.cutter {
            Cutter::Events(lines) => {
                let draft = lines.take();
                match draft.data(event, &mut self.scratch) {
                    Some(data) => self.watch.see(draft.name(event), data),
                    None => Pass::On,
                }
            }
            Cutter::Frames => self.watch.see_frame(&aws::read(event).map_err(bad)?),
            Cutter::List(list) => match list.take() {
                Some(item) => self.watch.see(b"", event.get(item).unwrap_or_default()),
                None => self.watch.see_close(),
            },
        })
    }

    /// Of lines only: in a frame it is a byte like any other.
    fn ends_with_return(&self, event: &[u8]) -> bool {
        event.ends_with(b"\r") && matches!(self.cutter, Cutter::Events(_))
    }
}

fn send(chunk: &Bytes, from: usize, to: usize, out: &mut impl FnMut(Bytes)) {
    if from < to {
        out(chunk.slice(from..to));
    }
}
