//! What this replica serves from. The only file that names `ArcSwap`: one swap changes everything at once, and a
//! request that pinned the old state keeps it to its end.

use crate::lease::Keyring;
use arc_swap::ArcSwapOption;
use http::HeaderValue;
use keyway_snapshot::Snapshot;
use std::sync::Arc;

/// One state: configuration and keys that belong together.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) snapshot: Snapshot,
    pub(crate) keyring: Keyring,
    /// The version as a header.
    pub(crate) version: HeaderValue,
}

/// The newest state; none before the first was applied.
#[derive(Debug, Default)]
pub(crate) struct Held(ArcSwapOption<State>);

// === impl Held ===

impl Held {
    /// The state to serve a request from, or the newest keys for an attempt.
    pub(crate) fn pin(&self) -> Option<Arc<State>> {
        self.0.load_full()
    }

    /// Serves from this snapshot from now on.
    pub(crate) fn swap(&self, snapshot: Snapshot) {
        let before = self.0.load_full();
        let keyring = match &before {
            Some(before) => Keyring::build(&snapshot, &before.keyring),
            None => Keyring::build(&snapshot, &Keyring::default()),
        };
        let version = HeaderValue::from_str(&snapshot.version.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("0.0"));
        self.0.store(Some(Arc::new(State { snapshot, keyring, version })));
    }
}
