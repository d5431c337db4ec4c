//! Callers, and a provider that answers by the model's name.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// One connection.
pub(crate) struct Caller(TcpStream);

impl Caller {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self(TcpStream::connect(to).await.unwrap())
    }

    /// Sends a request, with more header lines.
    pub(crate) async fn send(&mut self, path: &str, headers: &str, body: &str) -> std::io::Result<()> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer kw_1\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).await
    }

    /// Reads one whole answer of known length; gives its status and all of it.
    pub(crate) async fn answer(&mut self) -> std::io::Result<(u16, String)> {
        message(&mut self.0)
            .await?
            .map(|(head, body)| {
                let status =
                    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
                (status, format!("{head}\r\n\r\n{body}"))
            })
            .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }

    /// Reads until these words have come.
    pub(crate) async fn until(&mut self, words: &str) -> String {
        let (mut read, mut room) = (String::new(), [0; 4096]);
        while !read.contains(words) {
            let count = timeout(PATIENCE, self.0.read(&mut room)).await.unwrap().unwrap();
            assert!(count > 0, "ended before {words}: {read}");
            read.push_str(std::str::from_utf8(&room[..count]).unwrap());
        }
        read
    }
}

/// A non-streaming chat with the sandbox.
pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const ECHO: &str =
    r#"{"model":"sandbox/echo","messages":[{"role":"user","content":"two words"}]}"#;

/// Gives its base URL. `broken` answers 500; a stream brings an event of text and then nothing.
pub(crate) async fn provider() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // An error says that the gateway has closed.
            tokio::spawn(async move { drop(serve(stream).await) });
        }
    });
    url
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    while let Some((head, body)) = message(&mut stream).await? {
        if body.contains(r#""broken""#) {
            stream
                .write_all(
                    b"HTTP/1.1 500 Oops\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
                )
                .await?;
        } else if body.contains(r#""stream":true"#) {
            let events = if head.contains("/messages") {
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":11,\"output_tokens\":1}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"nine byte\"}}\n\n"
            } else {
                "data: {\"choices\":[{\"delta\":{\"content\":\"nine byte\"}}]}\n\n"
            };
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(format!("{head}{:x}\r\n{events}\r\n", events.len()).as_bytes()).await?;
            std::future::pending::<()>().await;
        } else {
            let usage = if body.contains("negative") { -1 } else { 20 };
            let reply = format!(
                r#"{{"choices":[{{"message":{{"content":"nine byte"}}}}],"usage":{{"prompt_tokens":{usage},"completion_tokens":4}}}}"#
            );
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                reply.len()
            );
            stream.write_all(format!("{head}{reply}").as_bytes()).await?;
        }
    }
    Ok(())
}

/// Head and body; `None` at the end of the connection.
async fn message(stream: &mut TcpStream) -> std::io::Result<Option<(String, String)>> {
    let (mut read, mut room) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8(read.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().split("content-length: ").nth(1).map_or(0, |rest| {
                    rest.split("\r\n").next().and_then(|text| text.parse().ok()).unwrap_or(0)
                });
            if body.len() >= length {
                return Ok(Some((head.to_owned(), body.to_owned())));
            }
        }
        match stream.read(&mut room).await? {
            0 => return Ok(None),
            count => read.extend_from_slice(&room[..count]),
        }
    }
}
