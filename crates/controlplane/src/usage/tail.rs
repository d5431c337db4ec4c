//! Records as they are booked, for whoever follows. Nobody is waited for: who is slow is told how many it missed.

use keyway_proto::fleet::v1::Record;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Records that wait for a follower.
const QUEUE: usize = 1024;

/// A record that stands in the books.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) replica: Arc<str>,
}

/// Where followers hear of them.
#[derive(Debug)]
pub(super) struct Tail {
    /// Absent once the control plane ends: followers see the end.
    out: Mutex<Option<broadcast::Sender<Arc<Entry>>>>,
}

// === impl Tail ===

impl Default for Tail {
    fn default() -> Self {
        Self { out: Mutex::new(Some(broadcast::Sender::new(QUEUE))) }
    }
}

impl Tail {
    /// What is booked from now on; `None` at the end.
    pub(super) fn follow(&self) -> Option<broadcast::Receiver<Arc<Entry>>> {
        self.out.lock().as_ref().map(broadcast::Sender::subscribe)
    }

    /// Whether it is worth the work.
    pub(super) fn is_followed(&self) -> bool {
        self.out.lock().as_ref().is_some_and(|out| out.receiver_count() > 0)
    }

    pub(super) fn tell(&self, entries: Vec<Arc<Entry>>) {
        let Some(out) = self.out.lock().clone() else { return };
        for entry in entries {
            // Everybody may have gone meanwhile.
            let _ = out.send(entry);
        }
    }

    pub(super) fn end(&self) {
        self.out.lock().take();
    }
}
