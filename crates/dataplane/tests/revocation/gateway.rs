//! A whole data plane, and callers of it.

use crate::plane::{Plane, State};
use keyway_dataplane::{Running, Settings, start};
use std::{net::TcpListener, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A data plane with its control plane.
pub(crate) struct Gateway {
    pub(crate) plane: Plane,
    running: Option<Running>,
}

impl Gateway {
    pub(crate) async fn start(state: State) -> Self {
        let mut plane = Plane::start().await;
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = Settings {
            id: "r".to_owned(),
            host: "h".to_owned(),
            supervisor: String::new(),
            hold_back: Duration::ZERO,
            listener: bind(),
            ops: bind(),
            fleet_url: Some(plane.url.clone()),
            identity: Some(plane.identity.clone()),
            token: None,
            node: "r".to_owned(),
            threads: Some(2),
            tls: None,
            upstream_ca: None,
            drain_grace: PATIENCE,
            memory_limit: None,
            otlp: None,
            state: None,
        };
        let running = tokio::task::spawn_blocking(|| start(settings).unwrap()).await.unwrap();
        plane.connected().await;
        plane.push(state).await;
        Self { plane, running: Some(running) }
    }

    /// Sends a request for this model; the provider behaves by its name.
    pub(crate) async fn ask(&self, model: &str) -> TcpStream {
        let listen = self.running.as_ref().unwrap().listen();
        let mut stream = TcpStream::connect(listen).await.unwrap();
        let events = model.starts_with("stream");
        let body = format!(r#"{{"model":"p/{model}","stream":{events},"messages":[]}}"#);
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer kw_1\r\nconnection: close\r\n";
        let request =
            format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    pub(crate) async fn ops(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.running.as_ref().unwrap().ops()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop_now();
            running.join();
        }
    }
}

/// Reads until these words have come.
pub(crate) async fn until(stream: &mut TcpStream, words: &str) -> String {
    let mut read = Vec::new();
    let mut room = vec![0; 64 * 1024];
    while !String::from_utf8(read.clone()).unwrap().contains(words) {
        let count = timeout(PATIENCE, stream.read(&mut room)).await.unwrap().unwrap();
        assert!(count > 0, "ended before {words}: {}", String::from_utf8(read).unwrap());
        read.extend_from_slice(&room[..count]);
    }
    String::from_utf8(read).unwrap()
}

/// All that comes until the end.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    // A connection that is cut gives what came before it.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.unwrap();
    String::from_utf8(read).unwrap()
}
