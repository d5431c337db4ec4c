//! What the simulator says, and how fast.

use bytes::Bytes;
use hyper::body::{Body, Frame};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;

/// The whole reply: 792 bytes.
pub(crate) const CHAT: &str = concat!(
    r#"{"id":"chatcmpl-9xK2mPqRsTuVwXyZaBcDeFgHiJkLm","object":"chat.completion","created":1763850000,"#,
    r#""model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"A reverse proxy sits "#,
    r#"between clients and one or more servers. It accepts each request, chooses a server, forwards the request, and "#,
    r#"relays the answer. Because every call passes through it, it is a natural place for authentication, rate "#,
    r#"limits, retries, caching and metering.","refusal":null,"annotations":[]},"logprobs":null,"#,
    r#""finish_reason":"stop"}],"usage":{"prompt_tokens":183,"completion_tokens":54,"total_tokens":237,"#,
    r#""prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"#,
    r#""completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}},"service_tier":"default","#,
    r#""system_fingerprint":"fp_a1b2c3d4e5"}"#,
);

const CHUNK_HEAD: &str = concat!(
    r#"data: {"id":"chatcmpl-9xK2mPqRsTuVwXyZaBcDeF","object":"chat.completion.chunk","created":1763850000,"#,
    r#""model":"gpt-4o-mini","system_fingerprint":"fp_a1b2c3d4e5","choices":["#,
);
const USAGE_TAIL: &str = r#"],"usage":{"prompt_tokens":183,"completion_tokens":54,"total_tokens":237}}"#;
const END: &str = "data: [DONE]\n\n";
/// More than any case asks for; keeps a slip in `/ctl` from eating the memory.
const MOST_CHUNKS: usize = 100_000;

/// What every stream says, made once for all of them.
#[derive(Debug)]
pub(crate) struct Script {
    /// Milliseconds before the reply's head.
    pub(crate) delay_ms: u64,
    /// Milliseconds between two chunks; 0 = all at once.
    chunk_ms: u64,
    chunks: usize,
    plain: Arc<[Bytes]>,
    with_usage: Arc<[Bytes]>,
}

/// One stream on its way.
#[derive(Debug)]
pub(crate) struct Play {
    lines: Arc<[Bytes]>,
    next: usize,
    /// Lines from here on follow at once: the usage chunk and the end mark.
    paced: usize,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

// === impl Script ===

impl Default for Script {
    fn default() -> Self {
        let mut script =
            Self { delay_ms: 0, chunk_ms: 0, chunks: 50, plain: Arc::default(), with_usage: Arc::default() };
        script.write();
        script
    }
}

impl Script {
    /// Takes `delay=MS&chunks=N&chunk_ms=MS`, each of them optional; other words are passed over.
    pub(crate) fn change(&mut self, query: &str) {
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let Ok(value) = value.parse::<u64>() else { continue };
            match name {
                "delay" => self.delay_ms = value,
                "chunk_ms" => self.chunk_ms = value,
                "chunks" => self.chunks = usize::try_from(value).map_or(MOST_CHUNKS, |n| n.min(MOST_CHUNKS)),
                _ => {}
            }
        }
        self.write();
    }

    /// A stream from its first line on.
    pub(crate) fn play(&self, with_usage: bool) -> Play {
        Play {
            lines: if with_usage { self.with_usage.clone() } else { self.plain.clone() },
            next: 0,
            paced: self.chunks,
            pause: Duration::from_millis(self.chunk_ms),
            sleep: None,
        }
    }

    fn write(&mut self) {
        let usage = Bytes::from(format!("{CHUNK_HEAD}{USAGE_TAIL}\n\n"));
        let mut lines: Vec<Bytes> = (0..self.chunks).map(|i| chunk(i, self.chunks)).collect();
        lines.push(usage);
        lines.push(Bytes::from_static(END.as_bytes()));
        self.with_usage = lines.iter().cloned().collect();
        lines.remove(self.chunks);
        self.plain = lines.into();
    }
}

fn chunk(i: usize, of: usize) -> Bytes {
    let last = i + 1 == of;
    let finish = if last { "\"stop\"" } else { "null" };
    let delta = match i {
        0 => r#"{"role":"assistant","content":""}"#.to_owned(),
        _ if last => "{}".to_owned(),
        _ => format!(r#"{{"content":" word{i}"}}"#),
    };
    let choice = format!(r#"{{"index":0,"delta":{delta},"finish_reason":{finish}}}"#);
    Bytes::from(format!("{CHUNK_HEAD}{choice}]}}\n\n"))
}

// === impl Play ===

impl Body for Play {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(line) = self.lines.get(self.next).cloned() else { return Poll::Ready(None) };
        if !self.pause.is_zero() && (1..self.paced).contains(&self.next) {
            let pause = self.pause;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        self.next += 1;
        Poll::Ready(Some(Ok(Frame::data(line))))
    }
}
