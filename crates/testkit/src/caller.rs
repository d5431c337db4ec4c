//! A caller on raw TCP: sends bytes as they stand and reads answers with their framing, so that a test sees
//! exactly what is on the wire and may break every rule itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long an answer may take before the caller gives up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// One connection.
#[derive(Debug)]
pub struct Caller {
    stream: TcpStream,
    buffer: BytesMut,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names (lower case) and values in order.
    pub headers: Vec<(String, String)>,
    /// The body, freed of chunk framing.
    pub body: Bytes,
    /// False where the connection ended before the framing said so.
    pub complete: bool,
}

impl Answer {
    /// The first value of the header `name`, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; empty where it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// True where the server says that it closes the connection.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// The bytes of a POST with this token, JSON content type and further header lines (each ending `\r\n`).
pub fn post(path: &str, token: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\n{more}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl Caller {
    /// Connects.
    pub async fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(to)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::new() })
    }

    /// Connects from this source address; on loopback any of 127.0.0.0/8 will do.
    pub async fn connect_from(source: IpAddr, to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source, 0))?;
        let stream = timeout(PATIENCE, socket.connect(to)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::new() })
    }

    /// Writes these bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes)).await?
    }

    /// Writes these bytes and reads the answer.
    pub async fn ask(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        self.send(bytes).await?;
        self.answer().await
    }

    /// The next answer, whole. Informational heads are skipped. Fails where no head comes.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let head = self.head().await?;
        self.after(head).await
    }

    /// As `answer`, of which `head` was read already.
    pub async fn after(&mut self, (status, headers): (u16, Vec<(String, String)>)) -> io::Result<Answer> {
        let mut answer = Answer { status, headers, body: Bytes::new(), complete: true };
        let mut body = BytesMut::new();
        answer.complete = timeout(PATIENCE, self.body(&answer, &mut body)).await?;
        answer.body = body.freeze();
        Ok(answer)
    }

    /// Status and headers of the next answer; its body is still to be read.
    pub async fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        loop {
            let end = timeout(PATIENCE, self.until(b"\r\n\r\n")).await??;
            let head = self.buffer.split_to(end);
            let (status, headers) = parse(&head).ok_or(io::ErrorKind::InvalidData)?;
            if status >= 200 {
                return Ok((status, headers));
            }
        }
    }

    /// Reads on until the bytes gathered hold `needle`; gives all of them and takes them away.
    pub async fn wait_for(&mut self, needle: &[u8]) -> io::Result<Bytes> {
        timeout(PATIENCE, self.until(needle)).await??;
        Ok(self.buffer.split().freeze())
    }

    /// Everything until the connection ends, however it ends.
    pub async fn rest(&mut self) -> io::Result<Bytes> {
        timeout(PATIENCE, async { while matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {} })
            .await?;
        Ok(self.buffer.split().freeze())
    }

    /// Waits until the server has closed; true where it sent nothing before.
    pub async fn closed(&mut self) -> io::Result<bool> {
        Ok(self.rest().await?.is_empty())
    }

    async fn until(&mut self, needle: &[u8]) -> io::Result<usize> {
        loop {
            let found = self.buffer.windows(needle.len()).position(|window| window == needle);
            if let Some(at) = found {
                return Ok(at + needle.len());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads a body by the framing that the head announces; false where it was cut.
    async fn body(&mut self, answer: &Answer, into: &mut BytesMut) -> bool {
        if answer.header("transfer-encoding") == Some("chunked") {
            return self.chunks(into).await.is_ok();
        }
        let length: Option<usize> = answer.header("content-length").and_then(|value| value.parse().ok());
        let wanted = length.unwrap_or(usize::MAX);
        while self.buffer.len() < wanted {
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(_) | Err(_) => break,
            }
        }
        let got = self.buffer.len().min(wanted);
        into.extend_from_slice(&self.buffer.split_to(got));
        length.is_none_or(|length| got == length)
    }

    async fn chunks(&mut self, into: &mut BytesMut) -> io::Result<()> {
        loop {
            let end = self.until(b"\r\n").await?;
            let line = self.buffer.split_to(end);
            let text = std::str::from_utf8(&line).ok().map(str::trim_end);
            let length = text.and_then(|text| usize::from_str_radix(text, 16).ok());
            let length = length.ok_or(io::ErrorKind::InvalidData)?;
            let mut left = length;
            while left > 0 {
                if self.buffer.is_empty() && self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let piece = self.buffer.split_to(left.min(self.buffer.len()));
                left -= piece.len();
                into.extend_from_slice(&piece);
            }
            self.until(b"\r\n").await?;
            self.buffer.advance(2);
            if length == 0 {
                return Ok(());
            }
        }
    }
}

fn parse(head: &[u8]) -> Option<(u16, Vec<(String, String)>)> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some((status, headers))
}
