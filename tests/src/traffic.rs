//! Light load on every replica of a fleet: nothing may fail, and no caller may ever see an older version than before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keyway_testkit::load::{Counts, Done, Load, Running, wants_ok};
use keyway_testkit::process::Replica;
use parking_lot::Mutex;

use crate::gateway::{CHAT, Outcome, TOKEN, chat};

/// `epoch.counter`, in that order of weight.
pub type Version = (u64, u64);

/// The load on some replicas.
#[derive(Debug)]
pub struct Traffic {
    running: Vec<Running>,
    newest: Arc<Mutex<Version>>,
    served: Arc<Mutex<u64>>,
}

/// What it saw.
#[derive(Debug)]
pub struct Saw {
    /// Good exchanges.
    pub ok: u64,
    /// Failed ones by reason.
    pub failed: BTreeMap<String, u64>,
    /// Of each replica, in order.
    pub each: Vec<Counts>,
}

impl Traffic {
    /// So many callers on each of these, each waiting `pause` between two requests.
    pub fn on(replicas: &[Replica], model: &str, callers: usize, pause: Duration) -> Outcome<Self> {
        let (newest, served) = (Arc::<Mutex<Version>>::default(), Arc::<Mutex<u64>>::default());
        let mut running = Vec::new();
        for replica in replicas {
            let check = checked(callers, Arc::clone(&newest), Arc::clone(&served));
            let load = Load {
                to: replica.address()?,
                callers,
                path: CHAT.to_owned(),
                token: TOKEN.to_owned(),
                body: Bytes::from(chat(model)),
                pause,
                check: Arc::new(check),
            };
            running.push(load.start());
        }
        Ok(Self { running, newest, served })
    }

    /// The newest version that any answer named.
    #[must_use]
    pub fn newest(&self) -> Version {
        *self.newest.lock()
    }

    /// Waits until so many more were served.
    pub async fn more(&self, count: u64) -> Outcome {
        let goal = *self.served.lock() + count;
        let waited = async {
            while *self.served.lock() < goal {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        Ok(tokio::time::timeout(Duration::from_secs(20), waited).await.map_err(|_| "no traffic is served")?)
    }

    /// Ends it.
    pub async fn stop(self) -> Saw {
        let mut saw = Saw { ok: 0, failed: BTreeMap::new(), each: Vec::new() };
        for running in self.running {
            let counts = running.stop().await;
            saw.ok += counts.ok;
            for (reason, times) in &counts.failed {
                *saw.failed.entry(reason.clone()).or_default() += times;
            }
            saw.each.push(counts);
        }
        saw
    }
}

/// `1.7` as numbers that can be compared.
#[must_use]
pub fn version(text: &str) -> Option<Version> {
    let (epoch, counter) = text.split_once('.')?;
    Some((epoch.parse().ok()?, counter.parse().ok()?))
}

/// Status 200, and a version no older than the one that this caller saw last.
fn checked(
    callers: usize,
    newest: Arc<Mutex<Version>>,
    served: Arc<Mutex<u64>>,
) -> impl Fn(&Done<'_>) -> Result<(), String> {
    let last = Mutex::new(vec![(0, 0); callers]);
    let status = wants_ok();
    move |done| {
        status(done)?;
        let named = done.headers.get("x-keyway-snapshot").and_then(|value| value.to_str().ok());
        let now = named.and_then(version).ok_or("no version")?;
        let mut last = last.lock();
        let before = last.get_mut(done.caller).ok_or("an unknown caller")?;
        if now < *before {
            return Err(format!("went back from {before:?} to {now:?}"));
        }
        *before = now;
        let mut newest = newest.lock();
        *newest = now.max(*newest);
        *served.lock() += 1;
        Ok(())
    }
}
