//! A key in use by one attempt: how its secret goes out, and what of it must not come back.

use super::{Key, Presented, redact::redact};
use crate::{
    oauth::{NoToken, Tokens},
    quota::{Ask, Spent, Told},
    upstream::Connector,
    worker::Worker,
};
use bytes::Bytes;
use http::HeaderMap;
use keyway_snapshot::{Secret, Surface, Target};
use memchr::memmem;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// A key in use by one attempt.
#[derive(Debug)]
pub(crate) struct Lease {
    key: Arc<Key>,
    /// When its attempt began, in the worker's milliseconds, and what of a scarce limit had been taken then.
    began: u64,
    spent: Option<Spent>,
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(key: Arc<Key>) -> Self {
        Self { key, began: 0, spent: None }
    }

    pub(crate) fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Its attempt begins: what it takes of a scarce limit is counted until the provider has said what is left.
    pub(crate) fn begin(&mut self, model: &str, ask: &Ask, now: u64) {
        self.began = now;
        self.spent = self.key.quota.begin(model, ask, now);
    }

    /// What a reply's head says of the limits of its key.
    pub(crate) fn learn(&self, worker: &Worker, target: &Target, headers: &HeaderMap) {
        let names = &*target.provider.limit_headers;
        if names.is_empty() {
            return;
        }
        let told = Told { headers, names, sent: self.began, before: self.spent };
        self.key.quota.learn(&target.model, &told, || {
            let at = Instant::now();
            (worker.millis(at), worker.since_epoch(at))
        });
    }

    /// How it goes into a request to this surface.
    pub(crate) fn presented(&self, surface: &Surface) -> &Presented {
        self.key.ways.at(surface)
    }

    /// The tokens that a request to this surface carries, where it carries any.
    pub(crate) fn tokens(&self, surface: &Surface) -> Option<&Tokens> {
        match self.presented(surface) {
            Presented::Token(tokens) => Some(tokens),
            _ => None,
        }
    }

    /// Comes back once every token that may be presented is there.
    ///
    /// # Errors
    /// Why one is not.
    pub(crate) async fn ready(&self, connector: &Connector) -> Result<(), NoToken> {
        self.key.ways.ready(connector).await
    }

    /// The provider did not take the credential: a token that was fetched is not used again. Whether a fresh one may help.
    pub(crate) fn forget_tokens(&self, worker: &Worker) -> bool {
        self.key.ways.forget_tokens((worker.epoch + Duration::from_millis(self.began)).into_std())
    }

    /// The secret for a query; empty where there is none.
    pub(crate) fn secret(&self) -> &[u8] {
        self.key.secret.as_ref().map_or(&[], Secret::expose)
    }

    /// Whether these bytes hold the secret, or what was made of it: what a provider echoes must not reach the caller.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        let mut found = false;
        self.each_mark(|mark| found |= bytes.len() >= mark.len() && memmem::find(bytes, mark).is_some());
        found
    }

    /// These bytes without any of that.
    pub(crate) fn redact(&self, bytes: &[u8]) -> Bytes {
        let mut clean = Bytes::copy_from_slice(bytes);
        self.each_mark(|mark| clean = redact(&clean, mark));
        clean
    }

    fn each_mark(&self, mut look: impl FnMut(&[u8])) {
        let secret = self.secret();
        if !secret.is_empty() {
            look(secret);
        }
        self.key.ways.each_mark(look);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Before the count, so that whoever reads 0 reads this last use too.
        self.key.used();
        self.key.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
