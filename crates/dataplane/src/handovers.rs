//! Who still uses which token of a client that is about to change its own. Only such clients are counted, so that a
//! request of any other costs nothing more.

use crate::clock;
use keyway_proto::fleet::v1::TokenUse;
use keyway_snapshot::{Client, Snapshot, TokenDigest};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Addresses of one token that are remembered.
const SOURCES: usize = 8;
/// Tokens that are told of.
const TOKENS: usize = 1024;

/// By token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handovers(HashMap<TokenDigest, Counted>);

#[derive(Debug, Clone)]
struct Counted {
    client: Box<str>,
    place: u32,
    used: Arc<Used>,
}

#[derive(Debug, Default)]
struct Used {
    requests: AtomicU64,
    last: AtomicU64,
    sources: Mutex<Vec<IpAddr>>,
}

// === impl Handovers ===

impl Handovers {
    /// Those of this snapshot; a token that `before` knows goes on with its counts.
    pub(crate) fn build(snapshot: &Snapshot, before: Option<&Self>) -> Self {
        let all = snapshot.clients.handing_over().take(TOKENS).map(|(digest, place, client)| {
            let known = before.and_then(|before| before.0.get(digest));
            let used = known.map(|known| Arc::clone(&known.used)).unwrap_or_default();
            (*digest, Counted { client: client.name.clone(), place, used })
        });
        Self(all.collect())
    }

    /// A request of this client was admitted with that token.
    pub(crate) fn used(&self, client: &Client, token: &TokenDigest, peer: IpAddr) {
        let counted = if client.handing_over { self.0.get(token) } else { None };
        let Some(Counted { used, .. }) = counted else { return };
        used.requests.fetch_add(1, Relaxed);
        used.last.store(clock::coarse_millis(), Relaxed);
        let mut sources = used.sources.lock();
        if sources.len() < SOURCES && !sources.contains(&peer) {
            sources.push(peer);
        }
    }

    /// What the control plane learns.
    pub(crate) fn report(&self) -> Vec<TokenUse> {
        let told = |one: &Counted| TokenUse {
            client: one.client.to_string(),
            place: one.place,
            requests: one.used.requests.load(Relaxed),
            last_use_unix_millis: one.used.last.load(Relaxed),
            sources: one.used.sources.lock().iter().map(IpAddr::to_string).collect(),
        };
        self.0.values().map(told).collect()
    }
}
