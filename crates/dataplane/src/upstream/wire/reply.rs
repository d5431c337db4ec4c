//! A reply's head.

use super::{BadReply, Framing};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header, response::Parts};
use std::mem::MaybeUninit;

/// Bytes of a head.
pub(in crate::upstream) const HEAD_LIMIT: usize = 256 * 1024;
/// Fields of a head.
const FIELDS_LIMIT: usize = 100;

/// What a head says.
#[derive(Debug)]
pub(in crate::upstream) struct Head {
    pub(in crate::upstream) parts: Parts,
    pub(in crate::upstream) framing: Framing,
    /// The connection can be used again once the body has been read.
    pub(in crate::upstream) stays: bool,
}

/// Cuts the head off the front of `buffer`, once it is all there. `looked` is how many bytes of it were there the last time.
///
/// # Errors
/// What is no head of HTTP/1.1 or 1.0.
pub(in crate::upstream) fn head(
    buffer: &mut BytesMut,
    looked: usize,
    asked_for_head: bool,
) -> Result<Option<Head>, BadReply> {
    let Some(length) = length(buffer, looked) else {
        let is_too_long = buffer.len() > HEAD_LIMIT;
        return if is_too_long { Err(BadReply("its head is too long")) } else { Ok(None) };
    };
    // A copy of its own, so that the buffer is free for what follows.
    let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
    buffer.advance(length);
    let mut parts = parsed(&bytes)?;
    let (framing, is_sound) = framing(&mut parts, asked_for_head)?;
    if !is_sound {
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    let stays =
        is_sound && parts.version == Version::HTTP_11 && !framing.is_until_close() && !closes(&parts.headers);
    Ok(Some(Head { parts, framing, stays }))
}

/// Bytes of the head with the empty line that ends it.
fn length(buffer: &[u8], looked: usize) -> Option<usize> {
    // The end may have begun in what was there before.
    let from = looked.saturating_sub(3);
    memchr::memchr_iter(b'\n', buffer.get(from..)?).map(|at| from + at).find_map(|at| {
        let after = buffer.get(at + 1..)?;
        let end = if after.starts_with(b"\n") {
            1
        } else if after.starts_with(b"\r\n") {
            2
        } else {
            return None;
        };
        Some(at + 1 + end)
    })
}

fn parsed(bytes: &Bytes) -> Result<Parts, BadReply> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_LIMIT];
    let mut reply = httparse::Response::new(&mut []);
    let read =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut reply, bytes, &mut fields);
    match read {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(BadReply("its head ends before it is complete")),
        Err(httparse::Error::TooManyHeaders) => return Err(BadReply("it has too many headers")),
        Err(_) => return Err(BadReply("its head is not HTTP")),
    }
    let mut parts = Response::new(()).into_parts().0;
    parts.version = if reply.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let status = reply.code.and_then(|code| StatusCode::from_u16(code).ok());
    parts.status = status.ok_or(BadReply("its status is none"))?;
    parts.headers.reserve(reply.headers.len());
    for field in reply.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
        let (Ok(name), Ok(value)) = (name, value) else { return Err(BadReply("one of its headers is none")) };
        parts.headers.append(name, value);
    }
    Ok(parts)
}

/// How the body is marked off, and whether that leaves no doubt: where it does, what follows could be taken for another reply.
fn framing(parts: &mut Parts, asked_for_head: bool) -> Result<(Framing, bool), BadReply> {
    let (status, headers) = (parts.status, &mut parts.headers);
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(BadReply("it switches to a protocol that nobody asked for"));
    }
    if asked_for_head
        || status.is_informational()
        || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
    {
        return Ok((Framing::NOTHING, true));
    }
    let has_length = headers.contains_key(header::CONTENT_LENGTH);
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if parts.version == Version::HTTP_10 || codings.next().is_some() {
            return Err(BadReply("its transfer-encoding cannot be understood"));
        }
        return match coding.as_bytes().trim_ascii() {
            coding if coding.eq_ignore_ascii_case(b"chunked") => Ok((Framing::chunked(), !has_length)),
            coding if coding.eq_ignore_ascii_case(b"identity") => Ok((Framing::until_close(), !has_length)),
            _ => Err(BadReply("its transfer-encoding is one that nobody asked for")),
        };
    }
    if !has_length {
        return Ok((Framing::until_close(), true));
    }
    let (length, times) = content_length(headers)?;
    if times > 1 {
        // Who reads the reply next gets it once.
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok((Framing::length(length), true))
}

/// The same number however often it stands there (RFC 9110, section 8.6), and how often that is.
fn content_length(headers: &HeaderMap) -> Result<(u64, usize), BadReply> {
    let (mut length, mut times) = (None, 0);
    for text in headers
        .get_all(header::CONTENT_LENGTH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
    {
        let text = text.trim_ascii();
        let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let number = is_number.then(|| std::str::from_utf8(text).ok()?.parse::<u64>().ok()).flatten();
        if number.is_none() || length.is_some_and(|length| Some(length) != number) {
            return Err(BadReply("its content-length is no length"));
        }
        (length, times) = (number, times + 1);
    }
    length.map(|length| (length, times)).ok_or(BadReply("its content-length is no length"))
}

fn closes(headers: &HeaderMap) -> bool {
    let mut options = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Option<Head>, BadReply> {
        head(&mut BytesMut::from(text), 0, false)
    }

    fn lines(version: &str, status: u16, fields: &str) -> String {
        format!("HTTP/{version} {status} Some Reason\r\n{fields}\r\n")
    }

    /// Version, status and fields; then bytes to come (`None`: the framing is another), whether it goes on until the close, and
    /// whether the connection stays.
    #[test]
    fn a_head_says_where_the_body_ends_and_whether_the_connection_stays() {
        let cases = [
            ("1.1", 200, "content-length: 5\r\n", Some(5), false, true),
            ("1.1", 200, "content-length: 5\r\ncontent-length: 5\r\n", Some(5), false, true),
            ("1.1", 200, "content-length: 5, 5\r\n", Some(5), false, true),
            ("1.1", 200, "content-length: 5\r\nconnection: keep-alive, Close\r\n", Some(5), false, false),
            ("1.0", 200, "content-length: 5\r\n", Some(5), false, false),
            ("1.1", 200, "", None, true, false),
            ("1.1", 200, "transfer-encoding: Chunked\r\n", None, false, true),
            ("1.1", 200, "transfer-encoding: chunked\r\ncontent-length: 5\r\n", None, false, false),
            ("1.1", 200, "transfer-encoding: identity\r\n", None, true, false),
            ("1.1", 204, "", Some(0), false, true),
            ("1.1", 304, "content-length: 5\r\n", Some(0), false, true),
            ("1.1", 103, "link: x\r\n", Some(0), false, true),
        ];
        for (version, status, fields, left, until_close, stays) in cases {
            let head = read(&lines(version, status, fields)).unwrap().unwrap();
            let said =
                (head.parts.status.as_u16(), head.framing.left(), head.framing.is_until_close(), head.stays);
            assert_eq!(said, (status, left, until_close, stays), "{version} {status} {fields:?}");
        }
        let asked = head(&mut BytesMut::from(&*lines("1.1", 200, "content-length: 5\r\n")), 0, true);
        assert!(asked.unwrap().unwrap().framing.is_over());
    }

    #[test]
    fn a_length_that_is_said_twice_goes_on_once() {
        for fields in ["content-length: 5, 5\r\n", "content-length: 5\r\ncontent-length: 5\r\n"] {
            let head = read(&lines("1.1", 200, fields)).unwrap().unwrap();
            let values: Vec<_> = head.parts.headers.get_all(header::CONTENT_LENGTH).iter().collect();
            assert_eq!(values, ["5"], "{fields:?}");
        }
    }

    #[test]
    fn what_is_no_head_or_leaves_doubt_is_refused() {
        let many = "x: y\r\n".repeat(FIELDS_LIMIT + 1);
        for text in [
            lines("1.1", 200, "content-length: 5\r\ncontent-length: 6\r\n"),
            lines("1.1", 200, "content-length: +5\r\n"),
            lines("1.1", 200, "content-length:\r\n"),
            lines("1.1", 200, "content-length: 99999999999999999999\r\n"),
            lines("1.1", 200, "transfer-encoding: gzip, chunked\r\n"),
            lines("1.1", 200, "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n"),
            lines("1.0", 200, "transfer-encoding: chunked\r\n"),
            lines("1.1", 101, "upgrade: x\r\n"),
            lines("1.1", 99, ""),
            lines("2.0", 200, ""),
            lines("1.1", 200, "a b: c\r\n"),
            lines("1.1", 200, "a: b\r\n c\r\n"),
            lines("1.1", 200, "a: \u{1}\r\n"),
            lines("1.1", 200, &many),
            "{\"error\": 1}\n\n".to_owned(),
            "\r\n\r\n\r\n".to_owned(),
        ] {
            assert!(read(&text).is_err(), "{text:?}");
        }
        assert!(read(&"x".repeat(HEAD_LIMIT + 1)).is_err());
    }

    #[test]
    fn values_come_as_they_are_and_what_follows_stays() {
        let mut buffer = BytesMut::from(
            "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:  \tzwei \u{fc} \r\ncontent-length: 2\r\n\r\nhello",
        );
        let head = head(&mut buffer, 0, false).unwrap().unwrap();
        let values: Vec<&[u8]> =
            head.parts.headers.get_all("x-a").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, [&b"1"[..], "zwei \u{fc}".as_bytes()]);
        assert_eq!(&buffer[..], b"hello");
    }

    proptest! {
        /// A head that comes in two pieces is the same, and is not seen before it is whole.
        #[test]
        fn a_cut_changes_nothing(cut in 0usize..75) {
            let wire = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nx-y: z\r\n\r\n";
            prop_assume!(cut < wire.len());
            let mut buffer = BytesMut::from(&wire[..cut]);
            prop_assert!(head(&mut buffer, 0, false).unwrap().is_none());
            buffer.extend_from_slice(&wire[cut..]);
            let whole = head(&mut buffer, cut, false).unwrap().unwrap();
            prop_assert_eq!(whole.parts.headers.len(), 3);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(any::<u8>(), 0..300), begins in any::<bool>()) {
            let start: &[u8] = if begins { b"HTTP/1.1 200 OK\r\n" } else { b"" };
            let _ = head(&mut BytesMut::from(&[start, &bytes, b"\r\n\r\n"].concat()[..]), 0, false);
        }
    }
}
