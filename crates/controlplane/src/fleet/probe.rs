//! Asks one replica after the other to try a key, until one answers.

use super::{Fleet, Order};
use keyway_proto::fleet::v1::{Probe, ProbeResult};
use keyway_snapshot::Secret;
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
    /// The answer names the key as the fault, whatever the status.
    pub key_invalid: bool,
    /// Who asked.
    pub replica: String,
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

/// What is to be tried.
#[derive(Debug)]
pub struct Asked<'a> {
    /// At which provider.
    pub provider: &'a str,
    /// Which key.
    pub key: &'a str,
    /// Which version of it.
    pub version: u32,
    /// Its secret, where no replica holds it yet.
    pub secret: Option<&'a Secret>,
}

impl Fleet {
    /// Tries one version of a key with one real call to its provider, made by a replica.
    ///
    /// # Errors
    /// When no replica answers.
    pub async fn probe(&self, asked: &Asked<'_>) -> Result<Probed, ProbeFailed> {
        let links = self.registry.lock().askable(Instant::now());
        if links.is_empty() {
            return Err(ProbeFailed::NoReplica);
        }
        for (replica, link) in links {
            let id = self.probes.fetch_add(1, Ordering::Relaxed) + 1;
            let secret = asked.secret.map(|secret| secret.expose().to_vec()).unwrap_or_default();
            let (provider, key) = (asked.provider.to_owned(), asked.key.to_owned());
            let probe = Probe { id, provider, key, version: asked.version, secret };
            if let Some(result) = ask(&link, probe).await {
                let latency = Duration::from_micros(result.latency_micros);
                let ProbeResult { status, reason, key_invalid, .. } = result;
                return Ok(Probed { status, latency, reason, key_invalid, replica });
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
