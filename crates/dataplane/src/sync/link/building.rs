//! A state is built on a thread of its own, one at a time: no core waits for it, nor does the stream. What does not
//! come to its end is refused, and the process goes on.

use super::super::session::{Build, Built, unbuilt};
use keyway_proto::fleet::v1::Nack;
use keyway_snapshot::Version;
use parking_lot::Mutex;
use std::{future::pending, sync::Arc, time::Duration};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout_at},
};

/// What a state gets to be built: a hundred thousand clients take a fraction of a second. Its memory is bounded by
/// `STATE_LIMIT`, which its beginning announces.
const BUILD_LIMIT: Duration = Duration::from_secs(20);

/// The state that is being built, if any.
#[derive(Debug, Default)]
pub(super) struct Building {
    under_way: Mutex<Option<UnderWay>>,
    /// Held by the thread too: two states at once would be twice the memory.
    busy: Arc<()>,
}

#[derive(Debug)]
struct UnderWay {
    version: Version,
    deadline: Instant,
    task: JoinHandle<Result<Built, Nack>>,
}

// === impl Building ===

impl Building {
    /// Begins.
    ///
    /// # Errors
    /// The one before is not at its end.
    pub(super) fn begin(&self, build: Build) -> Result<(), Nack> {
        let version = build.version();
        self.spawn(version, move || build.run())
    }

    fn spawn(
        &self,
        version: Version,
        build: impl FnOnce() -> Result<Built, Nack> + Send + 'static,
    ) -> Result<(), Nack> {
        if Arc::strong_count(&self.busy) > 1 {
            return Err(unbuilt(version, "the one before is still being built"));
        }
        let busy = Arc::clone(&self.busy);
        let task = spawn_blocking(move || {
            let _busy = busy;
            build()
        });
        *self.under_way.lock() = Some(UnderWay { version, deadline: Instant::now() + BUILD_LIMIT, task });
        Ok(())
    }

    /// The stream ended: nobody waits for it any more.
    pub(super) fn forget(&self) {
        *self.under_way.lock() = None;
    }

    /// What came of it; for ever, while nothing is built. May be given up and called again.
    pub(super) async fn done(&self) -> Result<Built, Nack> {
        let taken = self.under_way.lock().take();
        let Some(mut under_way) = taken.map(|under_way| Taken { from: self, under_way: Some(under_way) })
        else {
            return pending().await;
        };
        under_way.wait().await
    }
}

/// Puts it back when it is given up.
struct Taken<'a> {
    from: &'a Building,
    under_way: Option<UnderWay>,
}

impl Taken<'_> {
    async fn wait(&mut self) -> Result<Built, Nack> {
        let Some(UnderWay { version, deadline, task }) = &mut self.under_way else { return pending().await };
        let (version, ended) = (*version, timeout_at(*deadline, task).await);
        self.under_way = None;
        match ended {
            Ok(Ok(built)) => built,
            Ok(Err(_)) => Err(unbuilt(version, "building it failed inside: a fault of this program")),
            Err(_) => Err(unbuilt(version, "building it takes too long")),
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(under_way) = self.under_way.take() {
            *self.from.under_way.lock() = Some(under_way);
        }
    }
}
