//! A provider that behaves by the name of the model and knows every key but one.

use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The version whose secret it refuses.
pub(crate) const REFUSED: u32 = 666;
/// Bytes that `half` promises.
pub(crate) const PROMISED: usize = 1 << 20;

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Gives its base URL.
pub(crate) async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // An error says that the gateway has closed, which is what some tests are about.
            tokio::spawn(async move { drop(serve(stream).await) });
        }
    });
    url
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    while let Some((head, body)) = request(&mut stream).await? {
        let key = head.split("Bearer ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or_default();
        if key == format!("sk-{REFUSED}") {
            whole(&mut stream, "401 Unauthorized", "{}").await?;
        } else if key == "gemini-bad" {
            whole(&mut stream, "400 Bad Request", r#"{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}"#)
                .await?;
        } else if key == "odd" {
            whole(&mut stream, "400 Bad Request", "{}").await?;
        } else if body.contains("/stream") || body.contains("\"stream") && body.contains(r#""stream":true"#) {
            events(&mut stream, &body).await?;
        } else if body.contains("half") {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
            stream.write_all(format!("{head}content-length: {PROMISED}\r\n\r\n").as_bytes()).await?;
            stream.write_all(&[b'a'; 300 * 1024]).await?;
            std::future::pending::<()>().await;
        } else if body.contains("silent-for-1") && key == "sk-1" {
            std::future::pending::<()>().await;
        } else {
            whole(&mut stream, "200 OK", &format!(r#"{{"said":"{key}"}}"#)).await?;
        }
    }
    Ok(())
}

async fn events(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n";
    stream.write_all(format!("{EVENTS}{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
    while body.contains("endless") {
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
    }
    if !body.contains("500-ms") {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let end = "data: [DONE]\n\n";
    stream.write_all(format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len()).as_bytes()).await
}

async fn whole(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await
}

/// Head and body; `None` at the end of the connection.
async fn request(stream: &mut TcpStream) -> std::io::Result<Option<(String, String)>> {
    let mut read = Vec::new();
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
        let mut room = [0; 4096];
        match stream.read(&mut room).await? {
            0 => return Ok(None),
            count => read.extend_from_slice(&room[..count]),
        }
    }
}
