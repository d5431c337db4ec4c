//! Asks one replica after the other to try a key, until one answers.

use super::{Fleet, Order};
use keyway_proto::fleet::v1::{Probe, ProbeResult};
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// A replica that does not take the order within this time is passed over.
const TAKE: Duration = Duration::from_millis(500);
/// From taking it to the answer.
const ANSWER: Duration = Duration::from_secs(3);

/// What a provider said to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// HTTP status; 0 = no answer.
    pub status: u32,
    /// Of the call at the provider.
    pub latency: Duration,
    /// Why there was no answer, or what the replica makes of it.
    pub reason: String,
}

/// No replica gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFailed {
    /// There is nobody to ask.
    #[error("no replica is connected")]
    NoReplica,
    /// All were asked.
    #[error("no replica answered in time")]
    NoAnswer,
}

impl Fleet {
    /// Tries one version of a key with one real call to its provider, made by a replica.
    ///
    /// # Errors
    /// When no replica answers.
    pub async fn probe(&self, provider: &str, key: &str, version: u32) -> Result<Probed, ProbeFailed> {
        let links = self.registry.lock().askable(Instant::now());
        if links.is_empty() {
            return Err(ProbeFailed::NoReplica);
        }
        for link in links {
            let id = self.probes.fetch_add(1, Ordering::Relaxed) + 1;
            let (provider, key) = (provider.to_owned(), key.to_owned());
            let probe = Probe { id, provider, key, version, secret: Vec::new() };
            if let Some(result) = ask(&link, probe).await {
                let latency = Duration::from_micros(result.latency_micros);
                return Ok(Probed { status: result.status, latency, reason: result.reason });
            }
        }
        Err(ProbeFailed::NoAnswer)
    }
}

async fn ask(link: &mpsc::Sender<Order>, probe: Probe) -> Option<ProbeResult> {
    let (taken, was_taken) = oneshot::channel();
    let (answer, answered) = oneshot::channel();
    let take = async {
        link.send(Order::Probe { probe, taken, answer }).await.ok()?;
        was_taken.await.ok()
    };
    timeout(TAKE, take).await.ok()??;
    timeout(ANSWER, answered).await.ok()?.ok()
}
