//! Stands for leader for as long as the store is open: a lease, our name under it, and the leader's key for whoever
//! makes it first. `lead` decides; here are calls and waits.

use super::{
    inner::Inner,
    keys::{made_at, put},
    proto::TxnRequest,
    wire::WireError,
};
use crate::{
    lead::{KEEP_EVERY, KEEP_LIMIT, LEASE_SECONDS, Seen, Standing, Step, next},
    store::StoreError,
};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

/// After a lease that was lost, and between two tries to keep one.
const AGAIN: Duration = Duration::from_millis(100);
/// The lease is given back within this time at the end.
const END_LIMIT: Duration = Duration::from_millis(500);

/// One lease.
struct Session {
    lease: i64,
    /// Since when this control plane leads by it.
    office: Option<i64>,
    /// Until when it holds if nothing more is heard, by this machine's clock.
    until: Instant,
}

/// Runs until `stop` says so; then whoever comes next need not wait for the lease's end.
pub(super) async fn run(inner: Arc<Inner>, mut stop: watch::Receiver<bool>) {
    loop {
        match session(&inner, &mut stop).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "no lease in etcd"),
        }
        inner.stand(|standing| (standing.term, standing.contact) = (None, false));
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => return,
            () = sleep(AGAIN) => {}
        }
    }
}

/// From a lease to its end; `Ok` = it was told to stop.
async fn session(inner: &Inner, stop: &mut watch::Receiver<bool>) -> Result<(), StoreError> {
    let asked = Instant::now();
    let lease = inner.wire.grant(LEASE_SECONDS).await?;
    let mut session = Session { lease, office: None, until: asked + ttl() };
    let myself = inner.keys.at(&format!("member/{}", inner.me.name));
    let request = TxnRequest { success: vec![put(myself, inner.myself()?, lease)], ..TxnRequest::default() };
    inner.wire.txn(request).await?;
    let mut news = inner.news.subscribe();
    let mut beat = interval(KEEP_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        news.mark_unchanged();
        if session.look(inner) == Step::Run {
            session.run_for_it(inner).await?;
            continue;
        }
        tokio::select! {
            () = crate::serve::stopped(stop) => {
                // Nobody waits for it: without it the lease ends by itself.
                let _ = timeout(END_LIMIT, inner.wire.revoke(session.lease)).await;
                return Ok(());
            }
            _ = news.changed() => {}
            _ = beat.tick() => session.keep(inner).await?,
        }
    }
}

fn ttl() -> Duration {
    Duration::from_secs(u64::try_from(LEASE_SECONDS).unwrap_or_default())
}

// === impl Session ===

impl Session {
    /// Says how this control plane stands, and what is to be done.
    fn look(&self, inner: &Inner) -> Step {
        let kept = Instant::now() < self.until;
        let leader = inner.mirror.lock().leader.clone();
        let seen = Seen {
            leader: leader.as_ref().map(|(member, since)| (member, *since)),
            office: self.office,
            kept,
        };
        let step = next(seen);
        let term = match step {
            Step::Lead(term) => Some(term),
            Step::Run | Step::Follow => None,
        };
        let now = Standing { leader: leader.map(|(member, _)| member), term, contact: kept };
        inner.stand(|standing| *standing = now);
        step
    }

    /// Makes the leader's key, if nobody has it.
    async fn run_for_it(&mut self, inner: &Inner) -> Result<(), StoreError> {
        let key = inner.keys.leader();
        let request = TxnRequest {
            compare: vec![made_at(key.clone(), 0)],
            success: vec![put(key.clone(), inner.myself()?, self.lease)],
            failure: Vec::new(),
        };
        // An unknown outcome is read like any other.
        let tried = inner.wire.txn(request).await;
        let (found, _) = inner.get(key).await?;
        let leader = found.and_then(|found| {
            let member = serde_json::from_slice(&found.value).ok()?;
            if found.lease == self.lease {
                self.office = Some(found.create_revision);
            }
            Some((member, found.create_revision))
        });
        inner.mirror.lock().leader = leader;
        match tried {
            Err(error @ WireError::Refused(_)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Keeps the lease once; asked again until its time is over and beyond: only etcd knows whether it is.
    async fn keep(&mut self, inner: &Inner) -> Result<(), StoreError> {
        let asked = Instant::now();
        match timeout(KEEP_LIMIT, inner.wire.keep(self.lease)).await {
            Ok(Ok(true)) => self.until = asked + ttl(),
            Ok(Ok(false)) => return Err(StoreError::Unavailable("the lease has ended".to_owned())),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the lease was not kept");
                sleep(AGAIN).await;
            }
            Err(_) => inner.wire.leave().await,
        }
        Ok(())
    }
}

// === impl Inner ===

impl Inner {
    fn stand(&self, change: impl FnOnce(&mut Standing)) {
        self.standing.send_if_modified(|standing| {
            let before = standing.clone();
            change(standing);
            *standing != before
        });
    }

    fn myself(&self) -> Result<Bytes, StoreError> {
        let text = serde_json::to_vec(&self.me);
        text.map(Bytes::from).map_err(|error| StoreError::Unusable(error.to_string()))
    }
}
