//! From a reply and the request that it answers to the steps on the connection. Pure.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::dialect::{Surface, error, events, good};
use super::reply::{End, Ending, Failure, Framing, Reply, Step, Stream, Whole};

/// What of a request decides the form of its answer.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) surface: Surface,
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) usage: bool,
    /// The credential, which error texts quote.
    pub(super) credential: String,
    /// Sent with every good answer.
    pub(super) headers: Vec<(String, String)>,
}

/// Bytes of one written piece of a generated line.
const PIECE: u64 = 64 * 1024;

/// The steps that `reply` takes for the request `asked`.
pub(super) fn plan(reply: &Reply, asked: &Asked) -> Vec<Step> {
    match reply {
        Reply::Good if asked.stream => stream(&Stream::default(), asked),
        Reply::Good => whole(&good_whole(asked)),
        Reply::Stream(form) => stream(form, asked),
        Reply::Error(failure) => whole(&failed(failure, asked)),
        Reply::Whole(answer) => whole(answer),
        Reply::LongLine { bytes } => long_line(*bytes, asked),
        Reply::CommentFlood { after, comments } => comment_flood(*after, *comments, asked),
        Reply::FirstEventError => first_event_error(asked),
        Reply::Interim { status, times } => interim(*status, *times, asked),
        Reply::Drip { gap } => drip(*gap, asked),
        Reply::Silent => vec![Step::Stall],
        Reply::HangUp(ending) => vec![Step::End(*ending)],
        Reply::Steps(steps) => steps.clone(),
    }
}

fn good_whole(asked: &Asked) -> Whole {
    let kind = ("content-type".to_owned(), "application/json".to_owned());
    Whole {
        headers: [kind].into_iter().chain(asked.headers.iter().cloned()).collect(),
        body: good(asked.surface, &asked.model),
        ..Whole::default()
    }
}

fn failed(failure: &Failure, asked: &Asked) -> Whole {
    let text = match &failure.text {
        Some(text) => text.clone(),
        None if failure.status == 401 => {
            format!("Incorrect API key provided: {} (the simulator says 401).", asked.credential)
        }
        None => format!("the simulator says {} to key {}", failure.status, asked.credential),
    };
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(failure.headers.iter().cloned());
    Whole {
        status: failure.status,
        headers,
        body: error(asked.surface, failure.status, &text),
        ..Whole::default()
    }
}

fn whole(answer: &Whole) -> Vec<Step> {
    let mut bytes = BytesMut::new();
    bytes.put(head(answer.status, &answer.headers, answer.framing, answer.body.len()).as_bytes());
    match answer.framing {
        Framing::Chunked | Framing::Both => {
            bytes.put(chunk(&answer.body));
            bytes.put(&b"0\r\n\r\n"[..]);
        }
        Framing::Length | Framing::UntilClose | Framing::LengthOff(_) => bytes.put(answer.body.clone()),
    }
    let mut steps = vec![Step::Send(bytes.freeze())];
    if matches!(answer.framing, Framing::UntilClose | Framing::LengthOff(_)) {
        steps.push(Step::End(Ending::Close));
    }
    steps
}

fn head(status: u16, headers: &[(String, String)], framing: Framing, length: usize) -> String {
    let mut head =
        format!("HTTP/1.1 {status} Simulated\r\nserver: keyway-testkit\r\nx-request-id: req-sim\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    match framing {
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
        Framing::Length => head.push_str(&format!("content-length: {length}\r\n")),
        Framing::UntilClose => head.push_str("connection: close\r\n"),
        Framing::LengthOff(by) => head.push_str(&format!("content-length: {}\r\n", (length + by).max(0))),
        Framing::Both => {
            head.push_str(&format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"));
        }
    }
    head.push_str("\r\n");
    head
}

/// `body` as one chunk; empty for an empty body, since an empty chunk would end the message.
pub(super) fn chunk(body: &[u8]) -> Bytes {
    if body.is_empty() {
        return Bytes::new();
    }
    let mut out = BytesMut::with_capacity(body.len() + 20);
    out.put(format!("{:x}\r\n", body.len()).as_bytes());
    out.put(body);
    out.put(&b"\r\n"[..]);
    out.freeze()
}

fn sse_head(framing: Framing, length: usize, more: &[(String, String)]) -> Bytes {
    let kind = ("content-type".to_owned(), "text/event-stream; charset=utf-8".to_owned());
    let headers: Vec<_> = [kind].into_iter().chain(more.iter().cloned()).collect();
    Bytes::from(head(200, &headers, framing, length))
}

/// The pieces of the body, in the order of their writes.
fn pieces(form: &Stream, asked: &Asked) -> Vec<Bytes> {
    let mut pieces = events(asked.surface, &asked.model, form, asked.usage);
    match form.end {
        End::NoMarker => {
            pieces.pop();
        }
        End::Cut { events, .. } | End::Stall { events } => pieces.truncate(events),
        End::Complete | End::CutAt { .. } | End::Hold { .. } => {}
    }
    if !form.amid.is_empty() {
        pieces.insert(1.min(pieces.len()), form.amid.clone());
    }
    if form.bom {
        pieces.insert(0, Bytes::from_static(b"\xef\xbb\xbf"));
    }
    if let End::CutAt { bytes, .. } = form.end {
        let mut body = Bytes::from(pieces.concat());
        body.truncate(bytes);
        pieces = vec![body];
    }
    if form.split > 0 {
        let body = pieces.concat();
        pieces = body.chunks(form.split).map(Bytes::copy_from_slice).collect();
    }
    pieces
}

fn stream(form: &Stream, asked: &Asked) -> Vec<Step> {
    let pieces = pieces(form, asked);
    let length = pieces.iter().map(Bytes::len).sum();
    let chunked = matches!(form.framing, Framing::Chunked | Framing::Both);
    let mut steps = vec![Step::Send(sse_head(form.framing, length, &asked.headers))];
    for (number, piece) in pieces.iter().enumerate() {
        if matches!(form.end, End::Hold { events } if events == number) {
            steps.push(Step::Hold);
        }
        if number > 0 && !form.gap.is_zero() {
            steps.push(Step::Wait(form.gap));
        }
        steps.push(Step::Send(if chunked { chunk(piece) } else { piece.clone() }));
    }
    match form.end {
        End::Cut { ending, .. } | End::CutAt { ending, .. } => steps.push(Step::End(ending)),
        End::Stall { .. } => steps.push(Step::Stall),
        End::Complete | End::NoMarker | End::Hold { .. } if chunked => steps.push(last_chunk()),
        End::Complete | End::NoMarker | End::Hold { .. } => {
            if form.framing != Framing::Length {
                steps.push(Step::End(Ending::Close));
            }
        }
    }
    steps
}

fn last_chunk() -> Step {
    Step::Send(Bytes::from_static(b"0\r\n\r\n"))
}

fn long_line(bytes: u64, asked: &Asked) -> Vec<Step> {
    let mut events = events(asked.surface, &asked.model, &Stream::default(), asked.usage).into_iter();
    let piece = chunk(&vec![b'x'; usize::try_from(PIECE).unwrap_or(0)]);
    let mut steps = vec![Step::Send(sse_head(Framing::Chunked, 0, &asked.headers))];
    steps.extend(events.next().map(|first| Step::Send(chunk(&first))));
    steps.push(Step::Send(chunk(b"data: {\"choices\": \"")));
    steps.push(Step::Repeat { bytes: piece, times: bytes / PIECE });
    steps.push(Step::Send(chunk(b"\"}\n\n")));
    steps.extend(events.map(|event| Step::Send(chunk(&event))));
    steps.push(last_chunk());
    steps
}

fn comment_flood(after: usize, comments: u64, asked: &Asked) -> Vec<Step> {
    const COMMENTS_A_PIECE: u64 = 1024;
    let comment = format!(": {}\n\n", "k".repeat(60));
    let piece = chunk(comment.repeat(usize::try_from(COMMENTS_A_PIECE).unwrap_or(0)).as_bytes());
    let events = events(asked.surface, &asked.model, &Stream::default(), asked.usage);
    let mut steps = vec![Step::Send(sse_head(Framing::Chunked, 0, &asked.headers))];
    steps.extend(events.iter().take(after).map(|event| Step::Send(chunk(event))));
    steps.push(Step::Repeat { bytes: piece, times: comments / COMMENTS_A_PIECE });
    steps.extend(events.iter().skip(after).map(|event| Step::Send(chunk(event))));
    steps.push(last_chunk());
    steps
}

fn first_event_error(asked: &Asked) -> Vec<Step> {
    let body = error(asked.surface, 529, "overloaded before the first token");
    let name = if asked.surface.is_anthropic() { "event: error\n" } else { "" };
    let mut event = BytesMut::from(name);
    event.put(&b"data: "[..]);
    event.put(body);
    event.put(&b"\n\n"[..]);
    vec![Step::Send(sse_head(Framing::Chunked, 0, &asked.headers)), Step::Send(chunk(&event)), last_chunk()]
}

fn interim(status: u16, times: u32, asked: &Asked) -> Vec<Step> {
    let head = Bytes::from(format!("HTTP/1.1 {status} Interim\r\nx-interim: yes\r\n\r\n"));
    let mut steps = vec![Step::Repeat { bytes: head, times: u64::from(times) }];
    steps.extend(plan(&Reply::Good, asked));
    steps
}

fn drip(gap: Duration, asked: &Asked) -> Vec<Step> {
    let body: Vec<u8> = events(asked.surface, &asked.model, &Stream::default(), asked.usage).concat();
    vec![
        Step::Send(sse_head(Framing::Length, body.len(), &asked.headers)),
        Step::Drip { bytes: Bytes::from(body), gap },
    ]
}
