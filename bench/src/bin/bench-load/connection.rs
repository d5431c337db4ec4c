//! One keep-alive connection: bytes of a request out, one checked reply in.

use crate::framing::{BadChunk, Framing};
use bytes::{Buf, BytesMut};
use std::{io, net::SocketAddr, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection to the proxy.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    raw: BytesMut,
}

/// A reply that came to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// When the body's first byte was there; the end of the head if there is no body.
    pub(crate) first: Instant,
    /// When its last byte was there.
    pub(crate) last: Instant,
    /// The connection takes no further request.
    pub(crate) closes: bool,
}

/// Why a reply did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the connection was closed within a reply")]
    Closed,
    #[error("the reply's head is not HTTP/1.1: {0}")]
    Head(#[from] httparse::Error),
    #[error("the reply has neither length nor chunks")]
    NoFraming,
    #[error(transparent)]
    Chunk(#[from] BadChunk),
}

/// Room that is made before each read.
const READ_SIZE: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;

// === impl Connection ===

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, raw: BytesMut::with_capacity(READ_SIZE) })
    }

    /// Sends `request` and reads one reply; its body goes to `body`, which is emptied first.
    pub(crate) async fn exchange(&mut self, request: &[u8], body: &mut Vec<u8>) -> Result<Reply, Broken> {
        body.clear();
        self.stream.write_all(request).await?;
        let head = loop {
            self.read().await?;
            if let Some(head) = head(&self.raw)? {
                break head;
            }
        };
        self.raw.advance(head.length);
        let mut framing = head.framing;
        let mut first = None;
        loop {
            framing.take(&mut self.raw, body)?;
            let done = framing == Framing::Done;
            if first.is_none() && (done || !body.is_empty()) {
                first = Some(Instant::now());
            }
            if let (true, Some(first)) = (done, first) {
                let last = Instant::now();
                return Ok(Reply { status: head.status, first, last, closes: head.closes });
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Broken> {
        self.raw.reserve(READ_SIZE);
        match self.stream.read_buf(&mut self.raw).await? {
            0 => Err(Broken::Closed),
            _ => Ok(()),
        }
    }
}

struct Head {
    length: usize,
    status: u16,
    framing: Framing,
    closes: bool,
}

/// The head of a reply, once it is whole.
fn head(raw: &[u8]) -> Result<Option<Head>, Broken> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut reply = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = reply.parse(raw)? else { return Ok(None) };
    let (mut framing, mut closes) = (None, false);
    for header in reply.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| Broken::NoFraming)?;
            framing = Some(Framing::Length(text.parse().map_err(|_| Broken::NoFraming)?));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Some(Framing::ChunkSize);
        } else if header.name.eq_ignore_ascii_case("connection") {
            closes = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let framing = framing.ok_or(Broken::NoFraming)?;
    Ok(Some(Head { length, status: reply.code.unwrap_or_default(), framing, closes }))
}
