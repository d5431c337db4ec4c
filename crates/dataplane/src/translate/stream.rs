//! A stream on its way from one dialect to another: bytes in, events, bytes out. Nothing is kept beyond one event, but
//! for what a codec must hold, and that is bounded.

use super::{fault::presentable, noted::Noted};
use crate::{lease::Lease, meter::Seen, reply::Gathered};
use bytes::Bytes;
use keyway_dialect::{
    canon::Event,
    codec::{Broken, Reader, Writer},
    fault::Fault,
    grammar::Grammar,
    stream::{BadStream, Ending},
};
use keyway_snapshot::Endpoint;

/// Bytes of room that are kept between two pieces; what a larger piece needed is given back.
pub(super) const KEPT: usize = 8 * 1024;
/// The same in events.
const KEPT_EVENTS: usize = 32;

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    reader: Box<dyn Reader>,
    writer: Box<dyn Writer>,
    events: Vec<Event>,
    room: Vec<u8>,
    noted: Noted,
    grammar: Grammar,
    state: State,
    endpoint: Endpoint,
    /// Ours, of the request.
    id: String,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing that counts has come yet.
    Before,
    /// The answer has begun.
    Running,
    /// The provider has broken it off with an error of this status, and nothing had come before.
    Refused(u16),
    /// It has broken it off later.
    Failed,
    /// Everything has come.
    Complete,
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(
        reader: Box<dyn Reader>,
        writer: Box<dyn Writer>,
        endpoint: Endpoint,
        id: String,
    ) -> Self {
        Self {
            reader,
            writer,
            events: Vec::new(),
            room: Vec::new(),
            noted: Noted::default(),
            grammar: Grammar::new(),
            state: State::Before,
            endpoint,
            id,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Takes in a piece; what it means goes to `out` at once.
    ///
    /// # Errors
    /// The reason why the stream cannot be understood any further; `out` has got what came before.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        lease: Option<&Lease>,
        out: &mut Gathered,
    ) -> Result<(), &'static str> {
        if self.is_over() {
            return Ok(());
        }
        let read = self.reader.push(piece, &mut self.events);
        self.pass_on(lease, out);
        read.map_err(|broken| reason(&broken))
    }

    /// The provider's bytes have ended cleanly.
    pub(crate) fn finish(&mut self, lease: Option<&Lease>, out: &mut Gathered) -> Ending {
        if !self.is_over() {
            // What it says is seen by the events that came of it.
            let _ = self.reader.end(&mut self.events);
            self.pass_on(lease, out);
        }
        match self.state {
            State::Complete => Ending::Complete,
            State::Refused(_) | State::Failed => Ending::Failed,
            State::Before | State::Running => Ending::Cut,
        }
    }

    /// The caller's error event, without an end marker; nothing where the caller has got its end already.
    pub(crate) fn broken_off(&mut self, fault: Fault) -> Bytes {
        if self.is_over() {
            return Bytes::new();
        }
        self.state = State::Failed;
        let mut out = Vec::new();
        self.writer.write(&Event::Fault(Box::new(fault)), &mut out);
        out.into()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.noted.seen(self.endpoint)
    }

    fn is_over(&self) -> bool {
        !matches!(self.state, State::Before | State::Running)
    }

    fn pass_on(&mut self, lease: Option<&Lease>, out: &mut Gathered) {
        let mut events = std::mem::take(&mut self.events);
        for mut event in events.drain(..) {
            let legal = cfg!(not(debug_assertions)) || self.grammar.admit(&event).is_ok();
            debug_assert!(legal, "a reader made an illegal order of events: {event:?}");
            self.state = match &mut event {
                Event::Fault(fault) => {
                    presentable(fault, lease, &self.id);
                    if self.state == State::Before { State::Refused(fault.status) } else { State::Failed }
                }
                Event::End => State::Complete,
                _ => State::Running,
            };
            self.noted.note(&event);
            self.writer.write(&event, &mut self.room);
        }
        if !self.room.is_empty() {
            out.add(Bytes::copy_from_slice(&self.room));
        }
        self.room.clear();
        self.room.shrink_to(KEPT);
        events.shrink_to(KEPT_EVENTS);
        self.events = events;
    }
}

/// Why a stream that cannot be read is given up.
pub(crate) fn reason(broken: &Broken) -> &'static str {
    match broken {
        Broken::Frame(BadStream::LineTooLong) => "upstream_line_too_long",
        Broken::Cut => "upstream_stream_cut",
        Broken::Frame(BadStream::Malformed) | Broken::Event(_) | Broken::Interleaved => "upstream_malformed",
    }
}
