//! The backend that several control planes share: an etcd. One key a document, one a record of the same hash-chained log
//! that a journal holds, one `head` that says which record is the newest; only the leader moves it, by transactions that
//! etcd refuses to anybody else. Reads are answered from memory, which a watch keeps as etcd is.

mod address;
mod campaign;
mod commit;
mod follow;
mod inner;
mod keys;
mod migrate;
mod mirror;
mod proto;
mod sealed;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

pub use address::Address;
pub(crate) use inner::Inner;
pub use migrate::{Migrated, Place, migrate};
pub(crate) use sealed::SealedFiles;

use super::{
    Batch, Changes, Condition, Identity, Key, Listing, Pending, Record, Revision, Store, StoreError,
    Verified, Versioned, WATCH_BACKLOG,
    durable::new_cluster,
    journal::{genesis, record::Sealed},
};
use crate::{
    lead::{Member, Standing},
    plane::unix_millis,
};
use inner::{Writer, chained, shown};
use keys::{Keys, Logged, Top, made_at, put};
use parking_lot::Mutex;
use std::{
    io,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{broadcast, watch},
};
use wire::Wire;

/// A start waits so long for etcd.
const START_LIMIT: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(300);
/// Records of the log that are checked at one time.
const VERIFIED_AT_ONCE: u64 = 256;

/// A store in an etcd. What it does there runs on a thread of its own, so that no work of the control plane makes it late with its
/// lease.
#[derive(Debug)]
pub struct Etcd {
    inner: Arc<Inner>,
    runtime: Handle,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

// === impl Etcd ===

impl Etcd {
    /// Opens what is under that address, or makes it; from then on this control plane stands for leader. Waits for etcd; not
    /// to be called where nothing may wait.
    ///
    /// # Errors
    /// When etcd cannot be reached in time, and when what it holds is not whole.
    pub fn open(address: &Address, me: Member) -> Result<Self, StoreError> {
        let (stop, stopped) = watch::channel(false);
        let (ready, started) = mpsc::sync_channel(1);
        let wire = Wire::new(address)?;
        let keys = Keys::new(address.prefix());
        let system = |error: io::Error| StoreError::Unusable(format!("the system refused: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        let work = move || {
            runtime.block_on(async move {
                match begin(wire, keys, me).await {
                    Ok(inner) => {
                        // Whoever opens it waits for exactly this message.
                        let _ = ready.send(Ok((Arc::clone(&inner), Handle::current())));
                        let following = follow::run(Arc::clone(&inner), stopped.clone());
                        tokio::join!(following, campaign::run(inner, stopped));
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            });
        };
        let thread =
            std::thread::Builder::new().name("keyway-etcd".to_owned()).spawn(work).map_err(system)?;
        let began =
            started.recv().unwrap_or_else(|_| Err(StoreError::Unusable("its thread failed".to_owned())));
        let (inner, runtime) = began?;
        Ok(Self { inner, runtime, stop, thread: Some(thread) })
    }

    /// Whether anything was ever committed.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.inner.mirror.lock().head.seq > 0
    }

    /// Where the vault's files lie.
    pub(crate) fn sealed_files(&self) -> SealedFiles {
        SealedFiles::new(Arc::clone(&self.inner), self.runtime.clone())
    }

    /// Runs what talks to etcd where that is done, to its end, whether or not the caller stays.
    async fn there<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let ended = self.runtime.spawn(call).await;
        ended.unwrap_or_else(|_| Err(StoreError::Unavailable("the control plane stops".to_owned())))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // It gives its lease back, within a second; what a panic there left is nothing to be done about here.
            let _ = thread.join();
        }
    }
}

impl Store for Etcd {
    fn get<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Versioned>> {
        Box::pin(async move { Ok(self.inner.mirror.lock().documents.get(key).cloned()) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Pending<'a, Listing> {
        Box::pin(async move {
            let mirror = self.inner.mirror.lock();
            Ok(mirror.documents.list(prefix, mirror.head.seq))
        })
    }

    fn commit(&self, batch: Batch) -> Pending<'_, Revision> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.there(async move { inner.commit(batch, None).await }))
    }

    fn commit_over(&self, batch: Batch, over: Revision) -> Pending<'_, Revision> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.there(async move { inner.commit(batch, Some(over)).await }))
    }

    fn watch(&self) -> Changes {
        self.inner.changes.subscribe()
    }

    fn identity(&self) -> Identity {
        let epoch = self.inner.mirror.lock().head.epoch;
        Identity { cluster: self.inner.cluster.clone(), epoch }
    }

    fn head(&self) -> (Revision, [u8; 32]) {
        let head = self.inner.mirror.lock().head;
        (head.seq, head.hash)
    }

    fn audit(&self, after: Revision, limit: usize) -> Pending<'_, Vec<Record>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.there(async move {
            let until = after.saturating_add(limit as u64).min(inner.mirror.lock().head.seq);
            inner.records(after, until).await?.iter().map(shown).collect()
        }))
    }

    fn verify(&self) -> Pending<'_, Verified> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.there(async move { inner.verify().await }))
    }

    fn condition(&self) -> Condition {
        let read_only = match self.inner.term() {
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        let bytes = self.inner.mirror.lock().documents.bytes();
        Condition { read_only, bytes, ..Condition::default() }
    }

    fn shared(&self) -> Option<&dyn super::Shared> {
        Some(self)
    }
}

impl super::Shared for Etcd {
    fn me(&self) -> &Member {
        &self.inner.me
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.inner.standing.subscribe()
    }

    fn members(&self) -> Vec<Member> {
        self.inner.mirror.lock().members.values().cloned().collect()
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.inner.news.subscribe()
    }

    fn books(&self) -> Option<String> {
        self.inner.mirror.lock().books.clone()
    }

    fn read(&self, keys: &[Key]) -> super::Read {
        let mirror = self.inner.mirror.lock();
        let entries = keys.iter().map(|key| (key.clone(), mirror.documents.get(key).cloned())).collect();
        super::Read { revision: mirror.head.seq, published: mirror.published.clone(), entries }
    }

    fn catch_up(&self) -> Pending<'_, ()> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.there(async move { inner.catch_up().await }))
    }

    fn keep_books(&self, take: bool) -> Pending<'_, String> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.there(async move { inner.keep_books(take).await }))
    }
}

/// Reads everything; what was never there is made.
async fn begin(wire: Wire, keys: Keys, me: Member) -> Result<Arc<Inner>, StoreError> {
    let until = Instant::now() + START_LIMIT;
    let (cluster, mirror) = loop {
        match begin_once(&wire, &keys).await {
            Ok(Some(loaded)) => break loaded,
            Ok(None) => {}
            Err(StoreError::Unavailable(why)) if Instant::now() < until => {
                tracing::warn!("{why}; tried again");
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(START_PAUSE).await;
    };
    let standing =
        Standing { leader: mirror.leader.clone().map(|(leader, _)| leader), term: None, contact: true };
    Ok(Arc::new(Inner {
        wire,
        keys,
        cluster,
        me,
        mirror: Mutex::new(mirror),
        writer: tokio::sync::Mutex::new(Writer::default()),
        changes: broadcast::Sender::new(WATCH_BACKLOG),
        news: watch::Sender::new(0),
        standing: watch::Sender::new(standing),
    }))
}

async fn begin_once(wire: &Wire, keys: &Keys) -> Result<Option<(String, mirror::Mirror)>, StoreError> {
    if let Some(loaded) = inner::load(wire, keys).await? {
        return Ok(Some(loaded));
    }
    if !inner::all(wire, keys.all(""), 0).await?.is_empty() {
        return Err(StoreError::Damaged(
            "etcd holds something under this prefix, and no head: a migration that was cut short, or another \
             program's; give another prefix, or migrate again"
                .to_owned(),
        ));
    }
    let (frame, record) = genesis(&new_cluster()?, unix_millis()).ok_or_else(inner::unreadable)?;
    let top = Top { head: record.head(), applied: 0, sum: [0; 32], published: None };
    let ops =
        vec![put(keys.head(), top.encode(), 0), put(keys.log(0), Logged::Here(frame.into()).encode(), 0)];
    let request =
        proto::TxnRequest { compare: vec![made_at(keys.head(), 0)], success: ops, failure: Vec::new() };
    // Whoever makes it first has made it: all read it then.
    wire.txn(request).await?;
    Ok(None)
}

// === impl Inner ===

impl Inner {
    /// Reads the whole log.
    async fn verify(&self) -> Result<Verified, StoreError> {
        let until = self.mirror.lock().head;
        let mut head = None;
        let mut next = 0;
        while next <= until.seq {
            let last = until.seq.min(next.saturating_add(VERIFIED_AT_ONCE - 1));
            let records: Vec<Sealed> = self.records_from(next, last).await?;
            head = chained(head, &records)?;
            next = last + 1;
        }
        if head != Some(until) {
            return Err(StoreError::Damaged("the log in etcd does not end where head says".to_owned()));
        }
        Ok(Verified { records: until.seq, head: (until.seq, until.hash) })
    }

    /// Who keeps the books. Whoever asks first does, and keeps them until another one is told to take them.
    async fn keep_books(&self, take: bool) -> Result<String, StoreError> {
        let key = self.keys.at("books");
        let write = vec![put(key.clone(), self.me.name.clone().into_bytes().into(), 0)];
        let compare = if take { Vec::new() } else { vec![made_at(key.clone(), 0)] };
        let request = proto::TxnRequest { compare, success: write, failure: Vec::new() };
        self.wire.txn(request).await?;
        let (found, _) = self.get(key).await?;
        let name = found.and_then(|found| String::from_utf8(found.value.to_vec()).ok());
        let name = name.ok_or_else(inner::unreadable)?;
        self.mirror.lock().books = Some(name.clone());
        self.news.send_modify(|count| *count += 1);
        Ok(name)
    }
}
