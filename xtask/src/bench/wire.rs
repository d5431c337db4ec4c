//! As much HTTP as it takes to turn the simulator's knobs and to see whether a subject answers.

use super::Outcome;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// The status of one GET.
pub(super) fn get(addr: SocketAddr, path: &str) -> Outcome<u16> {
    send(addr, &format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n"))
}

/// The status of one chat request.
pub(super) fn chat(addr: SocketAddr, headers: &[String], body: &str) -> Outcome<u16> {
    let mut text = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n");
    text.push_str("content-type: application/json\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    send(addr, &text)
}

fn send(addr: SocketAddr, request: &str) -> Outcome<u16> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let line = reply.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status = std::str::from_utf8(line)?.split(' ').nth(1).ok_or("no reply")?;
    Ok(status.parse()?)
}
