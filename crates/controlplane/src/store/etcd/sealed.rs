//! The vault's files in etcd: read from memory, written by transactions that only the leader gets through. Not in the log.
//! What is removed stays in etcd's history until that is compacted.

use super::{
    commit::Outcome,
    inner::Inner,
    keys::{delete, made_at, put, written_at},
    mirror::File,
    proto::{RequestOp, TxnRequest},
};
use crate::{
    store::StoreError,
    vault::{Over, Place, VaultError},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};
use tokio::runtime::Handle;

/// A write waits so long for etcd.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Files by name.
#[derive(Debug)]
pub(crate) struct SealedFiles {
    inner: Arc<Inner>,
    runtime: Handle,
}

// === impl SealedFiles ===

impl SealedFiles {
    pub(super) fn new(inner: Arc<Inner>, runtime: Handle) -> Self {
        Self { inner, runtime }
    }

    /// Where the vault's calls are made nothing can be awaited; the work is done by the store's own thread.
    fn wait(
        &self,
        name: &str,
        work: impl Future<Output = Result<(), StoreError>> + Send + 'static,
    ) -> Result<(), VaultError> {
        let (done, outcome) = mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            // Whoever waited may have given up.
            let _ = done.send(work.await);
        });
        let outcome = outcome.recv_timeout(WRITE_LIMIT);
        let outcome =
            outcome.unwrap_or_else(|_| Err(StoreError::Unavailable("etcd does not answer".to_owned())));
        outcome.map_err(|source| VaultError::Store { path: PathBuf::from(name), source })
    }
}

impl Place for SealedFiles {
    fn path(&self, name: &str) -> PathBuf {
        Path::new("etcd").join(self.inner.keys.named("vault/", name))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.inner.mirror.lock().vault.get(name).map(|file| file.bytes.clone()))
    }

    fn write(&self, name: &str, bytes: &[u8], over: Over) -> Result<(), VaultError> {
        let (inner, name, bytes) = (Arc::clone(&self.inner), name.to_owned(), bytes.to_vec());
        let path = self.path(&name);
        let key = inner.keys.sealed(&name);
        let written = name.clone();
        match over {
            Over::Nothing => {
                let (made, is_made) = mpsc::sync_channel(1);
                self.wait(&name, async move {
                    let request = TxnRequest {
                        compare: vec![made_at(key.clone(), 0)],
                        success: vec![put(key, bytes.into(), 0)],
                        failure: Vec::new(),
                    };
                    let done = inner.wire.txn(request).await?.succeeded;
                    // Of two that make it at once, one finds the other's.
                    let found = inner.get(inner.keys.sealed(&written)).await?.0;
                    if let Some(found) = found {
                        let file = File { bytes: found.value.to_vec(), written: found.mod_revision };
                        inner.mirror.lock().vault.insert(written, file);
                    }
                    // Whoever waits reads it after this call.
                    let _ = made.send(done);
                    Ok(())
                })?;
                if is_made.try_recv() == Ok(true) { Ok(()) } else { Err(VaultError::Exists { path }) }
            }
            Over::Anything => self.wait(&name, async move {
                let revision = inner.as_leader(&written, put(key, bytes.clone().into(), 0)).await?;
                inner.mirror.lock().vault.insert(written, File { bytes, written: revision });
                Ok(())
            }),
        }
    }

    fn remove(&self, name: &str) -> Result<(), VaultError> {
        let (inner, removed) = (Arc::clone(&self.inner), name.to_owned());
        if !inner.mirror.lock().vault.contains_key(name) {
            return Ok(());
        }
        self.wait(name, async move {
            inner.as_leader(&removed, delete(inner.keys.sealed(&removed))).await?;
            inner.mirror.lock().vault.remove(&removed);
            Ok(())
        })
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        let within = format!("{folder}/");
        let mirror = self.inner.mirror.lock();
        Ok(mirror.vault.keys().filter(|name| name.starts_with(&within)).cloned().collect())
    }
}

// === impl Inner ===

impl Inner {
    /// Writes one file, if this control plane leads and knows the file as it is: a write whose answer was lost, and that comes
    /// late, finds another revision. Gives the revision of etcd.
    pub(super) async fn as_leader(&self, name: &str, op: RequestOp) -> Result<i64, StoreError> {
        let (term, key) = (self.term()?, self.keys.sealed(name));
        let known = self.mirror.lock().written_of(name);
        match self.guarded_by(vec![op], term, Some(written_at(key.clone(), known))).await? {
            Outcome::Done(revision) => Ok(revision),
            Outcome::NotLeader => Err(self.not_leader()),
            Outcome::Moved => {
                let (found, at) = self.get(key).await?;
                let at = found.as_ref().map_or(at, |found| found.mod_revision);
                self.mirror.lock().file(name, found.as_ref(), at);
                Err(StoreError::Unavailable("the vault's file was written meanwhile; try again".to_owned()))
            }
        }
    }
}
