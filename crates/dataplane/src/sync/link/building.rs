//! A state is built on a thread of its own, one at a time: no core waits for it, nor does the stream. What does not
//! come to its end is refused, and the process goes on.

use super::super::session::{Build, Built, unbuilt};
use keyway_proto::fleet::v1::Nack;
use keyway_snapshot::Version;
use parking_lot::Mutex;
use std::{
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

/// What a state gets to be built: a hundred thousand clients take a fraction of a second. Its memory is bounded by
/// `STATE_LIMIT`, which its beginning announces.
const BUILD_LIMIT: Duration = Duration::from_secs(20);

type UnderWay = Pin<Box<dyn Future<Output = Result<Built, Nack>> + Send>>;

/// The state that is being built, if any.
pub(super) struct Building {
    under_way: Mutex<Option<UnderWay>>,
    /// The thread holds it too: two states at once would be twice the memory.
    free: Arc<Semaphore>,
}

// === impl Building ===

impl Default for Building {
    fn default() -> Self {
        Self { under_way: Mutex::default(), free: Arc::new(Semaphore::new(1)) }
    }
}

impl Building {
    /// Begins with the next look at what comes of it, or once one is at its end that a stream before this one left: that
    /// nobody waits for any more, and it says nothing of this one.
    pub(super) fn begin(&self, build: Build) {
        self.run(build.version(), move || build.run());
    }

    fn run(&self, version: Version, build: impl FnOnce() -> Result<Built, Nack> + Send + 'static) {
        let free = Arc::clone(&self.free);
        *self.under_way.lock() = Some(Box::pin(built(free, version, build)));
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

async fn built(
    free: Arc<Semaphore>,
    version: Version,
    build: impl FnOnce() -> Result<Built, Nack> + Send + 'static,
) -> Result<Built, Nack> {
    let Ok(Ok(mine)) = timeout(BUILD_LIMIT, free.acquire_owned()).await else {
        return Err(unbuilt(version, "the one before is still being built"));
    };
    let task = spawn_blocking(move || {
        let _mine = mine;
        build()
    });
    match timeout(BUILD_LIMIT, task).await {
        Ok(Ok(built)) => built,
        Ok(Err(_)) => Err(unbuilt(version, "building it failed inside: a fault of this program")),
        Err(_) => Err(unbuilt(version, "building it takes too long")),
    }
}

/// Puts it back when it is given up.
struct Taken<'a> {
    from: &'a Building,
    under_way: Option<UnderWay>,
}

impl Taken<'_> {
    async fn wait(&mut self) -> Result<Built, Nack> {
        let Some(under_way) = &mut self.under_way else { return pending().await };
        let ended = under_way.await;
        self.under_way = None;
        ended
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(under_way) = self.under_way.take() {
            *self.from.under_way.lock() = Some(under_way);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn version(counter: u64) -> Version {
        Version { epoch: 1, counter }
    }

    /// Whether it goes on waiting, looked at as a stream does that has something else to do.
    async fn waits(building: &Building) -> bool {
        timeout(Duration::ZERO, building.done()).await.is_err()
    }

    #[tokio::test]
    async fn a_state_of_a_new_stream_waits_for_the_one_that_the_old_stream_left() {
        let building = Building::default();
        let (go_on, told) = mpsc::channel();
        building.run(version(1), move || {
            told.recv().unwrap();
            Err(unbuilt(version(1), "the old one"))
        });
        assert!(waits(&building).await);
        building.forget();
        building.run(version(2), || Err(unbuilt(version(2), "the new one")));
        assert!(waits(&building).await && waits(&building).await, "given up and called again");
        go_on.send(()).unwrap();
        assert_eq!(building.done().await.unwrap_err().reason, "the new one");
        assert!(waits(&building).await, "for ever, while nothing is built");
    }

    #[tokio::test]
    async fn of_what_fails_inside_the_process_does_not_end() {
        let building = Building::default();
        building.run(version(1), || panic!("inside"));
        assert!(building.done().await.unwrap_err().reason.contains("failed inside"));
        building.run(version(2), || Err(unbuilt(version(2), "the next")));
        assert_eq!(building.done().await.unwrap_err().reason, "the next");
    }
}
