//! What every connection to the control plane shows: the newest identity of this node, made ready for TLS.

use super::{Identity, IdentityError, tls};
use parking_lot::Mutex;
use rustls::ClientConfig;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Shared by whoever connects and by whoever renews.
#[derive(Default)]
pub(crate) struct Badge {
    shown: Mutex<Option<Shown>>,
    /// The control plane did not take the certificate.
    doubted: Notify,
    /// There is one to show.
    has_one: watch::Sender<bool>,
}

#[derive(Clone)]
struct Shown {
    identity: Arc<Identity>,
    tls: Arc<ClientConfig>,
}

// === impl Badge ===

impl Badge {
    /// Shows this one from the next connection on.
    ///
    /// # Errors
    /// When TLS takes none of it.
    pub(crate) fn show(&self, identity: Identity) -> Result<(), IdentityError> {
        let tls = Arc::new(tls::with_certificate(&identity)?);
        *self.shown.lock() = Some(Shown { identity: Arc::new(identity), tls });
        self.has_one.send_replace(true);
        Ok(())
    }

    /// The newest; `None` before the node has joined.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.shown.lock().as_ref().map(|shown| Arc::clone(&shown.identity))
    }

    /// For a connection that shows the certificate.
    pub(crate) fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.shown.lock().as_ref().map(|shown| Arc::clone(&shown.tls))
    }

    /// Until there is one to show: nobody tries without, so that the first connection comes at once.
    pub(crate) async fn joined(&self) {
        // Whoever could say so being gone, nobody waits any more.
        let _ = self.has_one.subscribe().wait_for(|has_one| *has_one).await;
    }

    /// The certificate was not taken: it is renewed before its time.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Waits until it is doubted.
    pub(super) async fn doubted(&self) {
        self.doubted.notified().await;
    }
}

impl std::fmt::Debug for Badge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Badge({:?})", self.identity())
    }
}
