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
    gaps: Gaps,
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

/// Where events of lines end: at the first blank line after others, wherever pieces are cut.
#[derive(Debug, Default)]
struct Gaps {
    /// Part of a line has come.
    in_line: bool,
    /// A line has come.
    in_event: bool,
    /// The last byte was a `\r`, to which a `\n` may belong.
    returned: bool,
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
            gaps: Gaps::default(),
            state: State::Before,
            endpoint,
            id,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Takes in a piece; what it means goes to `out` at once. Gives whether an event has come to its end, be it one that
    /// means nothing to the caller: pings and comments are signs of life, bytes alone are none.
    ///
    /// # Errors
    /// The reason why the stream cannot be understood any further; `out` has got what came before.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        lease: Option<&Lease>,
        out: &mut Gathered,
    ) -> Result<bool, &'static str> {
        if self.is_over() {
            return Ok(false);
        }
        let read = self.reader.push(piece, &mut self.events);
        // Frames that are no lines show life by what they mean.
        let lives = self.gaps.passes(piece) || !self.events.is_empty();
        self.pass_on(lease, out);
        read.map(|()| lives).map_err(|broken| reason(&broken))
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
                    fault.reason = Some("upstream_stream_error");
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

// === impl Gaps ===

impl Gaps {
    /// Whether an event ends in this piece.
    fn passes(&mut self, piece: &[u8]) -> bool {
        let (mut ended, mut from) = (false, 0);
        for at in memchr::memchr2_iter(b'\n', b'\r', piece) {
            let is_rest = self.returned && at == from && piece.get(at) == Some(&b'\n');
            if at > from || self.in_line {
                self.in_event = true;
            } else if !is_rest {
                ended |= std::mem::take(&mut self.in_event);
            }
            (self.in_line, self.returned) = (false, piece.get(at) == Some(&b'\r'));
            from = at + 1;
        }
        if from < piece.len() {
            (self.in_line, self.returned) = (true, false);
        }
        ended
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

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_dialect::{
        codec::{Asked, Target, codec},
        fault::Code,
        quirk::Quirks,
    };
    use keyway_proto::fleet::v1::UsageSource;
    use keyway_snapshot::{Dialect, Meter};

    const START: &str = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",",
        "\"role\":\"assistant\",\"model\":\"c\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    );
    const END: &str = concat!(
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
        "\"usage\":{\"output_tokens\":5}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    const OVERLOADED: &str = concat!(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",",
        "\"message\":\"host 10.0.0.1 is full\"}}\n\n"
    );

    fn word(text: &str) -> String {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
    }

    /// Anthropic's stream for a caller who speaks chat.
    fn stream() -> Stream {
        let quirks = Quirks::default();
        let target = Target { provider: "p", model: "m", quirks: &quirks };
        let reader = codec(Dialect::AnthropicMessages).unwrap().reader(&target);
        let writer = codec(Dialect::OpenaiChat).unwrap().writer(&Asked::default());
        Stream::new(reader, writer, Endpoint::ChatCompletions, "01ID".to_owned())
    }

    /// What goes out for these pieces.
    fn fed(stream: &mut Stream, pieces: &[&str]) -> Vec<String> {
        let fed = pieces.iter().map(|piece| {
            let mut out = Gathered::default();
            stream.push(piece.as_bytes(), None, &mut out).unwrap();
            String::from_utf8(out.take().to_vec()).unwrap()
        });
        fed.collect()
    }

    fn fault() -> Fault {
        Fault::new(Code::UpstreamError, "cut")
    }

    #[test]
    fn each_event_goes_out_at_once_and_the_end_is_the_callers() {
        let mut stream = stream();
        let out = fed(&mut stream, &[START, &word("a"), "event: content_block_delta\n", &word("b"), END]);
        assert!(out[1].contains("\"content\":\"a\"") && out[1].ends_with("\n\n"), "{out:?}");
        assert_eq!(out[2], "");
        assert!(out[3].contains("\"content\":\"b\""), "{out:?}");
        assert!(out[4].ends_with("data: [DONE]\n\n"), "{out:?}");
        let seen = stream.seen();
        let usage = seen.usage.unwrap();
        assert_eq!((usage.get(Meter::Input), usage.get(Meter::Output)), (3, 5));
        assert!(seen.is_final && seen.text_bytes == 2);
        // Nothing follows the end, whatever becomes of the connection.
        assert_eq!(stream.broken_off(fault()), Bytes::new());
        assert_eq!(stream.finish(None, &mut Gathered::default()), Ending::Complete);
    }

    #[test]
    fn a_broken_stream_ends_with_an_error_and_is_estimated() {
        let mut stream = stream();
        fed(&mut stream, &[START, &word("12345678")]);
        assert_eq!(stream.finish(None, &mut Gathered::default()), Ending::Cut);
        let out = String::from_utf8(stream.broken_off(fault()).to_vec()).unwrap();
        assert!(out.starts_with("data: {\"error\"") && !out.contains("[DONE]"), "{out}");
        let (counts, source) = crate::meter::counts(&stream.seen(), Endpoint::ChatCompletions, 99);
        assert_eq!((counts[Meter::Input as usize], counts[Meter::Output as usize]), (3, 2));
        assert_eq!(source, UsageSource::Partial);
    }

    #[test]
    fn a_providers_error_is_its_callers_without_its_words() {
        let mut first = stream();
        fed(&mut first, &[OVERLOADED]);
        assert_eq!(first.state(), State::Refused(529));
        let mut later = stream();
        let out = fed(&mut later, &[START, &word("a"), OVERLOADED]);
        assert_eq!(later.state(), State::Failed);
        assert!(out[2].contains("\"code\":\"overloaded\"") && out[2].contains("01ID"), "{out:?}");
        assert!(!out[2].contains("10.0.0.1"), "{out:?}");
    }

    #[test]
    fn whole_events_are_signs_of_life_though_they_mean_nothing() {
        let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
        let crlf = ping.replace('\n', "\r\n");
        let returns = ping.replace('\n', "\r");
        for sent in [ping, &crlf, &returns, ": a comment\n\n", ": a comment\r\n\r\n"] {
            // Whole, and byte by byte: one sign of life, and none of the bytes before.
            let mut stream = stream();
            let mut out = Gathered::default();
            stream.push(START.as_bytes(), None, &mut out).unwrap();
            out.take();
            assert_eq!(stream.push(sent.as_bytes(), None, &mut out), Ok(true), "{sent:?}");
            let bytes = sent.as_bytes().chunks(1);
            let signs: Vec<bool> = bytes.map(|byte| stream.push(byte, None, &mut out).unwrap()).collect();
            assert_eq!(signs.iter().filter(|lives| **lives).count(), 1, "{sent:?}");
            assert!(signs[signs.len() - 2..].contains(&true), "{sent:?}");
            assert_eq!(stream.push(b"\n\r\n\n", None, &mut out), Ok(false), "blank lines alone");
            assert!(out.is_empty());
        }
    }

    #[test]
    fn room_does_not_grow_with_what_came() {
        let mut stream = stream();
        fed(&mut stream, &[START, &word(&"x".repeat(1 << 20)), &word("y").repeat(5_000)]);
        assert!(stream.room.capacity() <= KEPT && stream.events.capacity() <= KEPT_EVENTS);
    }
}
