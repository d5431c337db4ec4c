//! The thread that writes states to disk: never a core, never before the ACK, and of several that wait only the newest.

use super::{
    LinkStatus,
    disk::{Disk, Kept},
};
use keyway_snapshot::Version;
use parking_lot::Mutex;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{runtime::Builder, sync::watch};

/// Seconds between two notes that the control plane was heard.
const CONFIRM_EVERY: u64 = 3600;
/// After the disk refused a state.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Hands states to the thread; when it is dropped, the thread writes what waits and ends.
#[derive(Debug)]
pub(crate) struct Keeper {
    slot: Arc<Slot>,
    ring: watch::Sender<()>,
    kept: watch::Receiver<Option<Version>>,
    confirmed_at: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    newest: Mutex<Option<Kept>>,
    confirm: Mutex<Option<u64>>,
    /// Nothing may be left of what was kept.
    forget: AtomicBool,
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn start(disk: Disk, status: Arc<Mutex<LinkStatus>>) -> io::Result<(Self, JoinHandle<()>)> {
        let slot = Arc::<Slot>::default();
        let (ring, rung) = watch::channel(());
        let (told, kept) = watch::channel(disk.version());
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let waiting = Arc::clone(&slot);
        let run = move || runtime.block_on(write(disk, &waiting, rung, &told, &status));
        let thread = thread::Builder::new().name("keyway-disk".to_owned()).spawn(run)?;
        Ok((Self { slot, ring, kept, confirmed_at: AtomicU64::new(0) }, thread))
    }

    /// Keeps this state, and not the one that waits.
    pub(crate) fn keep(&self, kept: Kept) {
        self.confirmed_at.store(kept.confirmed_at, Relaxed);
        *self.slot.newest.lock() = Some(kept);
        self.ring.send_replace(());
    }

    /// Wipes what is kept, and what waits to be.
    pub(crate) fn forget(&self) {
        *self.slot.newest.lock() = None;
        self.slot.forget.store(true, Relaxed);
        self.ring.send_replace(());
    }

    /// The control plane was heard at this time, in seconds since 1970; noted once an hour.
    pub(crate) fn confirm(&self, now_unix: u64) {
        if now_unix.abs_diff(self.confirmed_at.load(Relaxed)) < CONFIRM_EVERY {
            return;
        }
        self.confirmed_at.store(now_unix, Relaxed);
        *self.slot.confirm.lock() = Some(now_unix);
        self.ring.send_replace(());
    }

    /// The version on disk, as it changes.
    pub(crate) fn kept(&self) -> watch::Receiver<Option<Version>> {
        self.kept.clone()
    }
}

async fn write(
    mut disk: Disk,
    slot: &Slot,
    mut rung: watch::Receiver<()>,
    told: &watch::Sender<Option<Version>>,
    status: &Mutex<LinkStatus>,
) {
    let mut failed: Option<Kept> = None;
    loop {
        // What waits is written before an end is noticed.
        let again = failed.is_some() || slot.forget.load(Relaxed);
        match tokio::time::timeout(TRY_AGAIN, rung.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) if again => {}
            Err(_) => continue,
        }
        if slot.forget.swap(false, Relaxed) {
            failed = None;
            if let Err(error) = disk.wipe() {
                tracing::error!(%error, "the last good state of this evicted node could not be wiped: remove its state directory");
                slot.forget.store(true, Relaxed);
            }
        }
        let (newest, confirm) = (slot.newest.lock().take(), slot.confirm.lock().take());
        let result = match newest.or(failed.take()) {
            Some(kept) => disk.keep(&kept).inspect_err(|_| failed = Some(kept)),
            None => confirm.map_or(Ok(()), |at| disk.confirm(at)),
        };
        told.send_if_modified(|version| std::mem::replace(version, disk.version()) != disk.version());
        let mut status = status.lock();
        status.last_good_bytes = disk.written();
        status.last_good_error = result.err().map(|error| {
            tracing::warn!(%error, "the last good state could not be written; a start without the control plane would find an older one");
            error.to_string()
        });
    }
}
