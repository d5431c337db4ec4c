//! Reads requests off a connection as strictly as a careful server: one framing, no repairs.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes that a head may have.
const HEAD_LIMIT: usize = 256 * 1024;
/// Bytes that a body may have.
const BODY_LIMIT: usize = 256 * 1024 * 1024;

/// Why no request could be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The caller closed between two requests.
    Closed,
    /// The bytes are no request, or the connection ended inside one.
    Broken(Bytes),
}

/// Head and body of the next request; what follows it stays in `buffer`.
pub(super) async fn request(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> Result<(Bytes, Bytes), Unreadable> {
    let end = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        more(from, buffer, HEAD_LIMIT).await?;
    };
    let head = buffer.split_to(end).freeze();
    let body = match framing(&head) {
        Some(Body::None) => Bytes::new(),
        Some(Body::Length(length)) if length <= BODY_LIMIT => {
            while buffer.len() < length {
                more(from, buffer, BODY_LIMIT).await.map_err(|_| Unreadable::Broken(head.clone()))?;
            }
            buffer.split_to(length).freeze()
        }
        Some(Body::Chunked) => chunks(from, buffer).await.map_err(|_| Unreadable::Broken(head.clone()))?,
        Some(Body::Length(_)) | None => return Err(Unreadable::Broken(head)),
    };
    Ok((head, body))
}

enum Body {
    None,
    Length(usize),
    Chunked,
}

/// `None` where the head is not one clean request.
fn framing(head: &[u8]) -> Option<Body> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let line = lines.next()?;
    if line.split(' ').count() != 3 || !line.ends_with(" HTTP/1.1") {
        return None;
    }
    let mut body = Body::None;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let seen = !matches!(body, Body::None);
        if name.eq_ignore_ascii_case("content-length") {
            body = Body::Length(value.trim().parse().ok().filter(|_| !seen)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            body = (value.trim() == "chunked" && !seen).then_some(Body::Chunked)?;
        } else if name.is_empty() || name.contains([' ', '\t', '\n', '\r']) || value.contains('\n') {
            return None;
        }
    }
    Some(body)
}

async fn chunks(from: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Result<Bytes, Unreadable> {
    let mut body = BytesMut::new();
    loop {
        let end = loop {
            if let Some(at) = find(buffer, b"\r\n") {
                break at;
            }
            more(from, buffer, BODY_LIMIT).await?;
        };
        let size = buffer.split_to(end).freeze();
        buffer.advance(2);
        let text = std::str::from_utf8(&size).ok();
        let length = text.and_then(|text| usize::from_str_radix(text, 16).ok());
        let length = length.filter(|length| body.len() + length <= BODY_LIMIT);
        let length = length.ok_or(Unreadable::Broken(size))?;
        while buffer.len() < length + 2 {
            more(from, buffer, BODY_LIMIT).await?;
        }
        body.extend_from_slice(&buffer.split_to(length));
        if !buffer.starts_with(b"\r\n") {
            return Err(Unreadable::Broken(buffer.split().freeze()));
        }
        buffer.advance(2);
        if length == 0 {
            return Ok(body.freeze());
        }
    }
}

async fn more(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    limit: usize,
) -> Result<(), Unreadable> {
    let full = buffer.len() > limit;
    match from.read_buf(buffer).await {
        Ok(1..) if !full => Ok(()),
        Ok(_) | Err(_) if buffer.is_empty() => Err(Unreadable::Closed),
        Ok(_) | Err(_) => Err(Unreadable::Broken(buffer.split().freeze())),
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}
