//! A provider made of a few lines: lists its models to whoever shows a key, as the test sets it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// Answers on a port of its own for as long as the test runs.
pub(crate) struct Provider {
    pub(crate) url: String,
    status: Arc<AtomicU16>,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let status = Arc::new(AtomicU16::new(200));
        let says = Arc::clone(&status);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let says = Arc::clone(&says);
                std::thread::spawn(move || answer(&stream, &says));
            }
        });
        Self { url, status }
    }

    /// What it answers from now on.
    pub(crate) fn says(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// A keyway.yaml with this provider as `own`, its key `main`.
    pub(crate) fn file(&self, secret: &str) -> String {
        let url = &self.url;
        format!(
            "providers: {{ own: {{ dialect: openai-chat, base_url: '{url}', models: [small], \
             keys: [{{ name: main, secret: {secret} }}] }} }}\n"
        )
    }
}

/// One request a connection.
fn answer(mut stream: &TcpStream, status: &AtomicU16) {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    for line in lines.map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
    }
    let status = if first.starts_with("GET /v1/models ") { status.load(Ordering::SeqCst) } else { 404 };
    let body = r#"{"object":"list","data":[{"id":"small","object":"model"}]}"#;
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n");
    let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
}
