//! What the simulated provider can be told to answer, as plain data. Nothing here opens a socket:
//! `plan` turns a reply into steps, `serve` walks them.

use std::time::Duration;

use bytes::Bytes;

/// The answer to one request.
#[derive(Clone, Debug, Default)]
pub enum Reply {
    /// A good answer in the dialect of the path, with usage; a stream where one was asked for.
    #[default]
    Good,
    /// A stream with this form, whether or not one was asked for.
    Stream(Stream),
    /// An error with the body that a provider of the path's dialect sends.
    Error(Failure),
    /// Status, headers and body as they stand.
    Whole(Whole),
    /// One `data:` line of this many bytes with no end of line, made on the fly; then a complete stream's end.
    LongLine {
        /// Bytes of the line.
        bytes: u64,
    },
    /// A complete stream with comments of 64 bytes in it, each with its blank line.
    CommentFlood {
        /// Events that come before them.
        after: usize,
        /// How many comments, rounded down to a multiple of 1024.
        comments: u64,
    },
    /// A stream whose first event is an error object, under status 200.
    FirstEventError,
    /// Informational heads (1xx) before a good answer.
    Interim {
        /// The status of each.
        status: u16,
        /// How many.
        times: u32,
    },
    /// The head of a good stream, whose body is then sent one byte at a time.
    Drip {
        /// Time between two bytes.
        gap: Duration,
    },
    /// Nothing at all until the caller leaves.
    Silent,
    /// The connection ends before any byte of an answer.
    HangUp(Ending),
    /// Anything else, step by step.
    Steps(Vec<Step>),
}

impl Reply {
    /// An error of this status with the dialect's usual body.
    pub fn status(status: u16) -> Self {
        Self::Error(Failure { status, ..Failure::default() })
    }

    /// A 429 that asks to wait.
    pub fn rate_limited(retry_after: &str) -> Self {
        Self::Error(Failure {
            status: 429,
            headers: vec![("retry-after".to_owned(), retry_after.to_owned())],
            ..Failure::default()
        })
    }

    /// A redirection to `location`.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Whole(Whole {
            status,
            headers: vec![("location".to_owned(), location.to_owned())],
            ..Whole::default()
        })
    }

    /// Status 200 with this content type and body.
    pub fn whole(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::Whole(Whole {
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.into(),
            ..Whole::default()
        })
    }

    /// A stream that is cut after `events` events.
    pub fn cut(events: usize, ending: Ending) -> Self {
        Self::Stream(Stream { end: End::Cut { events, ending }, ..Stream::default() })
    }
}

/// A streamed answer. The default is three words, one write for each event, complete.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Events that carry text.
    pub words: u32,
    /// The text of each.
    pub word: String,
    /// Time before each event but the first.
    pub gap: Duration,
    /// How lines end.
    pub line_end: LineEnd,
    /// A byte order mark stands first.
    pub bom: bool,
    /// Bytes as they stand, after the first event.
    pub amid: Bytes,
    /// Bytes a write; 0 = one event.
    pub split: usize,
    /// How the body is framed.
    pub framing: Framing,
    /// How it ends.
    pub end: End,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            words: 3,
            word: "word ".to_owned(),
            gap: Duration::ZERO,
            line_end: LineEnd::Lf,
            bom: false,
            amid: Bytes::new(),
            split: 0,
            framing: Framing::Chunked,
            end: End::Complete,
        }
    }
}

/// How lines of an event stream end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// `\n`
    Lf,
    /// `\r\n`
    CrLf,
    /// `\r`
    Cr,
}

impl LineEnd {
    /// The bytes of one line's end.
    pub fn text(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
        }
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With the dialect's end marker.
    Complete,
    /// Cleanly, but without the end marker.
    NoMarker,
    /// In the middle: after this many events, with no last chunk.
    Cut {
        /// Events that are sent.
        events: usize,
        /// How the connection ends.
        ending: Ending,
    },
    /// In the middle of an event: the first `bytes` bytes of the body are sent, with no last chunk.
    CutAt {
        /// Bytes that are sent.
        bytes: usize,
        /// How the connection ends.
        ending: Ending,
    },
    /// Completely, but after this many events only when [`super::Provider::release`] says so.
    Hold {
        /// Events that are sent at once.
        events: usize,
    },
    /// Nothing more after this many events until the caller leaves.
    Stall {
        /// Events that are sent.
        events: usize,
    },
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// FIN.
    Close,
    /// RST.
    Reset,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Framing {
    /// `transfer-encoding: chunked`.
    Chunked,
    /// A `content-length` that is right.
    #[default]
    Length,
    /// Neither: the body ends with the connection.
    UntilClose,
    /// A `content-length` that differs from the body by this; the connection then closes.
    LengthOff(i64),
    /// Both at once, the body chunked.
    Both,
}

/// An error answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The status.
    pub status: u16,
    /// Headers beside `content-type` and length.
    pub headers: Vec<(String, String)>,
    /// The text inside the error object. Where `None`, it quotes the credential, as real providers do.
    pub text: Option<String>,
}

impl Default for Failure {
    fn default() -> Self {
        Self { status: 500, headers: Vec::new(), text: None }
    }
}

/// An answer given whole.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The status.
    pub status: u16,
    /// Headers beside those of the framing.
    pub headers: Vec<(String, String)>,
    /// The body before framing.
    pub body: Bytes,
    /// How it is framed.
    pub framing: Framing,
}

impl Default for Whole {
    fn default() -> Self {
        Self { status: 200, headers: Vec::new(), body: Bytes::new(), framing: Framing::Length }
    }
}

/// What is done on the connection, in order. After the last step it stays open for the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes these bytes at once.
    Send(Bytes),
    /// Writes these bytes so many times.
    Repeat {
        /// What is written.
        bytes: Bytes,
        /// How often.
        times: u64,
    },
    /// Writes byte after byte.
    Drip {
        /// What is written.
        bytes: Bytes,
        /// Time between two bytes.
        gap: Duration,
    },
    /// Waits.
    Wait(Duration),
    /// Waits until [`super::Provider::release`].
    Hold,
    /// Waits until the caller leaves.
    Stall,
    /// Ends the connection.
    End(Ending),
}
