//! AWS event streams, `application/vnd.amazon.eventstream`, as botocore's `eventstream.py` has them: two lengths and
//! their CRC, headers, payload, CRC of it all. Nothing of a message is believed before both checksums are.

use crate::codec::Broken;
use crate::json::Malformed;
use crate::stream::{BadStream, EVENT_LIMIT};

#[cfg(test)]
mod tests;

/// Bytes of headers that one message may have.
pub(crate) const HEADERS_LIMIT: usize = 128 * 1024;
/// Bytes of the buffer that stay with a stream after a large message.
const KEPT: usize = 16 * 1024;
/// Total length, length of the headers, CRC of both.
pub(crate) const PRELUDE: usize = 12;
/// The CRC at the end.
const TRAILER: usize = 4;
/// The type of a header that is text.
const TEXT: u8 = 7;

/// Cuts a stream into messages. Holds no more than the message that has begun.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    held: Vec<u8>,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// What it is.
    pub(crate) kind: Kind,
    /// `:event-type`, `:exception-type` or `:error-code`; empty if there is none.
    pub(crate) name: &'a str,
    /// `:error-message`; empty but for errors of the service.
    pub(crate) error: &'a str,
    /// Its bytes.
    pub(crate) payload: &'a [u8],
}

/// Kinds of messages: `:message-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A part of the answer.
    Event,
    /// An error that the API describes; its payload tells.
    Exception,
    /// An error of the service itself; its headers tell.
    Error,
}

// === impl Frames ===

impl Frames {
    /// Gives every message that is whole by now to `each`.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(Message<'_>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        if self.held.is_empty() {
            let rest = read_all(bytes, each)?;
            self.held.extend_from_slice(rest);
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let taken = held.len() - read_all(&held, each)?.len();
        // Not while a message goes on: it would be copied whole with every piece.
        if taken > 0 {
            held.drain(..taken);
            held.shrink_to(KEPT);
        }
        self.held = held;
        Ok(())
    }
}

/// Reads whole messages off the front; what is left of the bytes.
fn read_all<'a>(
    mut bytes: &'a [u8],
    each: &mut dyn FnMut(Message<'_>) -> Result<(), Broken>,
) -> Result<&'a [u8], Broken> {
    while let Some((message, rest)) = whole(bytes)? {
        each(message)?;
        bytes = rest;
    }
    Ok(bytes)
}

/// The message at the front and what follows it; none if it is not whole yet.
fn whole(bytes: &[u8]) -> Result<Option<(Message<'_>, &[u8])>, Broken> {
    let whole = length(bytes)?.and_then(|length| bytes.split_at_checked(length));
    whole.map(|(message, rest)| Ok((read(message)?, rest))).transpose()
}

/// Bytes of the message at the front; none if its lengths are not whole yet.
pub(crate) fn length(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    let Some((prelude, _)) = bytes.split_at_checked(PRELUDE) else { return Ok(None) };
    let mut fields = prelude;
    let (total, headers) = (number(&mut fields)?, number(&mut fields)?);
    if number(&mut fields)? != crc32fast::hash(prelude.get(..8).unwrap_or_default()) {
        return Err(bad("has a wrong checksum of its lengths"));
    }
    let (total, headers) = (total as usize, headers as usize);
    if total > EVENT_LIMIT {
        return Err(BadStream::LineTooLong.into());
    }
    if headers > HEADERS_LIMIT || total < PRELUDE + TRAILER + headers {
        return Err(bad("has lengths that do not fit"));
    }
    Ok(Some(total))
}

/// One message of the length that it tells itself.
pub(crate) fn read(message: &[u8]) -> Result<Message<'_>, Broken> {
    let (body, mut trailer) =
        message.split_at_checked(message.len().saturating_sub(TRAILER)).ok_or_else(short)?;
    if number(&mut trailer)? != crc32fast::hash(body) {
        return Err(bad("has a wrong checksum"));
    }
    let (mut prelude, body) = body.split_at_checked(PRELUDE).ok_or_else(short)?;
    take(&mut prelude, 4)?;
    let (headers, payload) = body.split_at_checked(number(&mut prelude)? as usize).ok_or_else(short)?;
    message_of(headers, payload)
}

fn message_of<'a>(mut headers: &'a [u8], payload: &'a [u8]) -> Result<Message<'a>, Broken> {
    let mut message = Message { kind: Kind::Event, name: "", error: "", payload };
    while !headers.is_empty() {
        let length = usize::from(byte(&mut headers)?);
        let name = take(&mut headers, length)?;
        let Some(value) = value(&mut headers)? else { continue };
        match name {
            b":message-type" => {
                message.kind = match value {
                    "event" => Kind::Event,
                    "exception" => Kind::Exception,
                    "error" => Kind::Error,
                    _ => return Err(bad("is neither event nor exception nor error")),
                }
            }
            b":event-type" | b":exception-type" | b":error-code" => message.name = value,
            b":error-message" => message.error = value,
            _ => {}
        }
    }
    Ok(message)
}

/// The next value if it is text; other types are skipped.
fn value<'a>(headers: &mut &'a [u8]) -> Result<Option<&'a str>, Broken> {
    let kind = byte(headers)?;
    let length = match kind {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        6 | TEXT => usize::from(byte(headers)?) << 8 | usize::from(byte(headers)?),
        9 => 16,
        _ => return Err(bad("has a header of an unknown type")),
    };
    let value = take(headers, length)?;
    if kind != TEXT {
        return Ok(None);
    }
    std::str::from_utf8(value).map(Some).map_err(|_| bad("has a header that is not UTF-8"))
}

/// Writes one message with a JSON payload at the end of `out`.
pub(crate) fn write(kind: Kind, name: &str, payload: &[u8], out: &mut Vec<u8>) {
    let (word, of_name) = match kind {
        Kind::Event => ("event", ":event-type"),
        Kind::Exception => ("exception", ":exception-type"),
        Kind::Error => ("error", ":error-code"),
    };
    let headers = [(of_name, name), (":content-type", "application/json"), (":message-type", word)];
    let length: usize = headers.iter().map(|(name, value)| 4 + name.len() + value.len()).sum();
    let start = out.len();
    out.extend_from_slice(&cut(PRELUDE + length + payload.len() + TRAILER).to_be_bytes());
    out.extend_from_slice(&cut(length).to_be_bytes());
    let prelude = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&prelude.to_be_bytes());
    for (name, value) in headers {
        // Names of headers and of events are ours and short.
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(name.as_bytes());
        out.push(TEXT);
        out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(payload);
    let whole = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&whole.to_be_bytes());
}

/// Payloads are pieces of an answer and far below 4 GiB.
fn cut(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Broken> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(short)?;
    *bytes = rest;
    Ok(taken)
}

fn byte(bytes: &mut &[u8]) -> Result<u8, Broken> {
    take(bytes, 1).map(|taken| taken.first().copied().unwrap_or_default())
}

fn number(bytes: &mut &[u8]) -> Result<u32, Broken> {
    let taken = take(bytes, 4)?;
    Ok(taken.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn short() -> Broken {
    bad("has headers that are cut short")
}

fn bad(what: &'static str) -> Broken {
    Broken::Event(Malformed::new(what))
}
