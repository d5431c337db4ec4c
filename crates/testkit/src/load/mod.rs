//! A small closed-loop driver: so many callers, each with one kept connection and one request at a time.
//! For tests that must see what happens to traffic while something changes; no benchmark.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long one exchange may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time before a caller whose connection failed tries again.
const PAUSE: Duration = Duration::from_millis(10);
/// The longest time that is told apart, in microseconds.
const LATENCY_LIMIT: u64 = 60_000_000;
/// Different reasons of failure that are kept.
const REASONS_LIMIT: usize = 64;

/// One finished exchange, for the check.
#[derive(Debug)]
pub struct Done<'a> {
    /// Which caller, counted from 0; each has a connection of its own.
    pub caller: usize,
    /// When the request was sent.
    pub sent: Instant,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a Bytes,
}

/// Decides whether an exchange was good; the text says why not.
pub type Check = Arc<dyn Fn(&Done<'_>) -> Result<(), String> + Send + Sync>;

/// What to ask, and by how many.
#[derive(Clone)]
pub struct Load {
    /// Where.
    pub to: SocketAddr,
    /// How many callers at once.
    pub callers: usize,
    /// The path of the POST.
    pub path: String,
    /// The bearer token.
    pub token: String,
    /// The JSON body.
    pub body: Bytes,
    /// Time between an answer and the next request of one caller.
    pub pause: Duration,
    /// What a good answer is.
    pub check: Check,
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("to", &self.to).field("callers", &self.callers).finish_non_exhaustive()
    }
}

/// A check that wants status 200.
pub fn wants_ok() -> Check {
    Arc::new(|done| match done.status {
        StatusCode::OK => Ok(()),
        other => Err(format!("status {other}")),
    })
}

/// What came of it.
#[derive(Debug)]
pub struct Counts {
    /// Good exchanges.
    pub ok: u64,
    /// Failed ones by reason.
    pub failed: BTreeMap<String, u64>,
    /// Time from request to whole answer of the good ones, in microseconds.
    pub latency: Option<Histogram<u64>>,
}

impl Counts {
    /// How many failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// The latency below which `share` (0 to 1) of the good exchanges stayed.
    pub fn quantile(&self, share: f64) -> Duration {
        let micros = self.latency.as_ref().map_or(0, |latency| latency.value_at_quantile(share));
        Duration::from_micros(micros)
    }

    fn empty() -> Self {
        Self { ok: 0, failed: BTreeMap::new(), latency: Histogram::new_with_max(LATENCY_LIMIT, 3).ok() }
    }

    fn good(&mut self, took: Duration) {
        self.ok += 1;
        if let Some(latency) = &mut self.latency {
            latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn bad(&mut self, reason: String) {
        let full = self.failed.len() >= REASONS_LIMIT && !self.failed.contains_key(&reason);
        *self.failed.entry(if full { "other".to_owned() } else { reason }).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        for (reason, times) in other.failed {
            *self.failed.entry(reason).or_default() += times;
        }
        if let Some((all, more)) = self.latency.as_mut().zip(other.latency) {
            let _ = all.add(more);
        }
    }
}

/// A load that goes on until it is stopped.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    callers: JoinSet<Counts>,
}

impl Load {
    /// Starts all callers on the current runtime.
    pub fn start(self) -> Running {
        let (stop, stopped) = watch::channel(false);
        let mut callers = JoinSet::new();
        for number in 0..self.callers {
            callers.spawn(call(self.clone(), number, stopped.clone()));
        }
        Running { stop, callers }
    }
}

impl Running {
    /// Lets every caller end the exchange it is in, and adds up.
    pub async fn stop(mut self) -> Counts {
        self.stop.send_replace(true);
        let mut all = Counts::empty();
        while let Some(ended) = self.callers.join_next().await {
            match ended {
                Ok(counts) => all.add(counts),
                Err(error) => all.bad(format!("a caller ended early: {error}")),
            }
        }
        all
    }
}

async fn call(load: Load, number: usize, stop: watch::Receiver<bool>) -> Counts {
    let mut counts = Counts::empty();
    let mut connection = None;
    while !*stop.borrow() {
        let sent = Instant::now();
        let turn = tokio::time::timeout(PATIENCE, exchange(&load, number, &mut connection)).await;
        match turn.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(()) => counts.good(sent.elapsed()),
            Err(reason) => {
                counts.bad(reason);
                tokio::time::sleep(PAUSE).await;
            }
        }
        if load.pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(load.pause).await;
        }
    }
    counts
}

/// One request and its answer; leaves the connection in its place if it can be used again.
async fn exchange(
    load: &Load,
    caller: usize,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
) -> Result<(), String> {
    let mut sender = match connection.take().filter(|sender| !sender.is_closed()) {
        Some(sender) => sender,
        None => connect(load.to).await?,
    };
    sender.ready().await.map_err(|error| format!("connection: {error}"))?;
    let sent = Instant::now();
    let request = Request::post(&load.path)
        .header("host", "gateway")
        .header("authorization", format!("Bearer {}", load.token))
        .header("content-type", "application/json")
        .body(Full::new(load.body.clone()))
        .map_err(|error| format!("request: {error}"))?;
    let answer = sender.send_request(request).await.map_err(|error| format!("exchange: {error}"))?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| format!("body: {error}"))?.to_bytes();
    *connection = Some(sender);
    (load.check)(&Done { caller, sent, status: parts.status, headers: &parts.headers, body: &body })
}

async fn connect(to: SocketAddr) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(to).await.map_err(|error| format!("connect: {error}"))?;
    stream.set_nodelay(true).map_err(|error| format!("connect: {error}"))?;
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| format!("connect: {error}"))?;
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::{Load, wants_ok};
    use crate::provider::{Provider, Reply};
    use bytes::Bytes;
    use std::time::Duration;

    #[tokio::test]
    async fn it_counts_good_and_failed_exchanges() {
        let provider = Provider::start().unwrap();
        provider.script("m").reply(Reply::status(503)).reply(Reply::HangUp(crate::provider::Ending::Reset));
        let load = Load {
            to: provider.address(),
            callers: 3,
            path: "/v1/chat/completions".to_owned(),
            token: "sk-a".to_owned(),
            body: Bytes::from(r#"{"model":"m"}"#),
            pause: Duration::ZERO,
            check: wants_ok(),
        };
        let running = load.start();
        provider
            .until(Duration::from_secs(5), |seen| seen.iter().any(|one| one.connection == 4))
            .await
            .unwrap();
        let counts = running.stop().await;
        assert_eq!(counts.failures(), 2, "{:?}", counts.failed);
        assert!(counts.ok > 0);
        assert!(counts.quantile(1.0) > Duration::from_micros(10), "{:?}", counts.quantile(1.0));
    }
}
