//! Requests that have begun and stand until the simulator is released or the gateway cuts them.

use bytes::Bytes;
use keyway_testkit::caller::{Answer, Caller, post};
use keyway_testkit::provider::{End, Provider, Reply, Step, Stream, Surface, good};

use crate::gateway::{CHAT, Gateway, Outcome, chat, streamed};

/// The model whose streams stand after two events.
const STREAM: &str = "held-stream";
/// The model whose whole replies stand before their first byte.
const WHOLE: &str = "held-whole";

/// A stream that has begun.
#[derive(Debug)]
pub struct Held {
    caller: Caller,
    head: (u16, Vec<(String, String)>),
}

/// Scripts both models.
pub fn script(provider: &Provider) {
    let stream = Stream { end: End::Hold { events: 2 }, ..Stream::default() };
    provider.script(STREAM).always(Reply::Stream(stream));
    let body = good(Surface::Chat, WHOLE);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let reply = Bytes::from([head.as_bytes(), &body].concat());
    provider.script(WHOLE).always(Reply::Steps(vec![Step::Hold, Step::Send(reply)]));
}

/// Asks for a stream of `sim` with this token, and waits until it has begun.
pub async fn stream(gateway: &Gateway, token: &str) -> Outcome<Held> {
    let mut caller = gateway.connect().await?;
    caller.send(&post(CHAT, token, "", streamed(&format!("sim/{STREAM}")).as_bytes())).await?;
    let head = caller.head().await?;
    assert_eq!(head.0, 200, "{head:?}");
    Ok(Held { caller, head })
}

/// So many of them.
pub async fn streams(gateway: &Gateway, token: &str, count: usize) -> Outcome<Vec<Held>> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(stream(gateway, token).await?);
    }
    Ok(all)
}

/// Asks for a whole reply, of which nothing comes yet.
pub async fn whole(gateway: &Gateway, token: &str) -> Outcome<Caller> {
    let mut caller = gateway.connect().await?;
    caller.send(&post(CHAT, token, "", chat(&format!("sim/{WHOLE}")).as_bytes())).await?;
    Ok(caller)
}

// === impl Held ===

impl Held {
    /// All of it, once it has ended.
    pub async fn end(mut self) -> Outcome<Answer> {
        Ok(self.caller.after(self.head).await?)
    }
}
