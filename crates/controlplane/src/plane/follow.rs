//! A plane whose store others write to as well: takes over what the leader committed, and begins to lead. What it makes of the same
//! documents must be what the leader made, by its hash; otherwise no replica is sent it.

use super::{
    Plane, lease,
    made::{self, base, differing},
    unix_millis, wanted,
};
use crate::{
    compile::Compiler,
    observe,
    push::Push,
    resource::{Author, Body, Document, Held, Kind, Refusal, State},
    store::{Batch, Changes, Key, Listing, Read, Revision, Shared, Store, StoreError, Versioned},
    vault::SecretId,
};
use keyway_snapshot::{Change, Secret};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::{
        broadcast::error::{RecvError, TryRecvError},
        watch,
    },
    time::sleep,
};

/// After something that could not be taken over.
const AGAIN: Duration = Duration::from_secs(1);
/// Times that a beginning is tried while the log goes on.
const TRIES: usize = 5;
/// Times that a start reads everything while the log goes on: between two reads of memory lies next to no time.
const LOOKS: usize = 64;

/// What was committed and is perhaps not in the state yet; held by whoever writes.
#[derive(Debug)]
pub(super) struct Behind {
    changes: Changes,
    keys: BTreeSet<Key>,
    /// The newest commit that was heard of.
    heard: Revision,
    /// Some were missed: everything.
    all: bool,
}

// === impl Plane ===

impl Plane {
    /// Whether changes are made here: nobody else makes any, or this one leads and has begun to.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.store.shared().is_none_or(|shared| {
            let term = shared.standing().borrow().term;
            term.is_some_and(|term| term == self.led.load(Ordering::Acquire))
        })
    }

    /// # Errors
    /// Another one makes changes, or nobody can now.
    pub(super) fn may_write(&self) -> Result<(), Refusal> {
        let Some(shared) = self.store.shared() else { return Ok(()) };
        if self.leads() {
            return Ok(());
        }
        let standing = shared.standing().borrow().clone();
        Err(Refusal::Store(match standing.leader {
            _ if !standing.contact => StoreError::Unavailable("etcd does not answer".to_owned()),
            leader => {
                let other = leader.filter(|leader| leader.name != shared.me().name);
                StoreError::NotLeader { leader: other.map(|leader| leader.admin) }
            }
        }))
    }

    /// Follows the store until `stop` says so. Where nobody else writes there is nothing to follow.
    pub(crate) async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        if self.store.shared().is_none() {
            return;
        }
        let mut changes = self.store.watch();
        loop {
            let taken = self.take_over(&mut *self.writing.lock().await).await;
            if let Err(refusal) = &taken {
                tracing::error!(%refusal, "what the leader committed cannot be taken over");
            }
            tokio::select! {
                () = crate::serve::stopped(&mut stop) => return,
                change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { return },
                () = sleep(AGAIN), if taken.is_err() => {}
            }
        }
    }

    /// Takes in whatever was committed and is not in the state yet; by whoever may write.
    pub(super) async fn take_over(&self, behind: &mut Behind) -> Result<(), Refusal> {
        let Some(shared) = self.store.shared() else { return Ok(()) };
        loop {
            behind.hear();
            let read = if behind.all {
                self.read_all(shared).await?
            } else {
                let keys: Vec<Key> = behind.keys.iter().cloned().collect();
                let read = shared.read(&keys);
                // A commit is told before it can be read: what is newer than all that was heard is in the channel by now.
                if read.revision > behind.heard && read.revision > self.state.load().revision {
                    continue;
                }
                read
            };
            self.take_in(read).inspect_err(|_| behind.all = true)?;
            (behind.all, behind.keys) = (false, BTreeSet::new());
            return Ok(());
        }
    }

    async fn read_all(&self, shared: &dyn Shared) -> Result<Read, Refusal> {
        loop {
            let listing = self.store.list("").await?;
            let mut keys: BTreeSet<Key> = listing.entries.into_iter().map(|(key, _)| key).collect();
            keys.extend(self.state.load().all().map(|(key, _)| key.clone()));
            let read = shared.read(&keys.into_iter().collect::<Vec<_>>());
            if read.revision == listing.revision {
                return Ok(read);
            }
        }
    }

    /// Makes what was read the state in force.
    fn take_in(&self, read: Read) -> Result<(), Refusal> {
        let before = self.state.load_full();
        let published = read.published.filter(|(at, _)| *at > before.published);
        let known = read.entries.iter().all(|(key, stored)| {
            before.held(key).map(|held| held.version) == stored.as_ref().map(|stored| stored.version)
        });
        if read.revision <= before.revision && published.is_none() && known {
            return Ok(());
        }
        let (newest, mut change) = (self.fleet.newest(), Change::default());
        let mut next = State::clone(&before);
        let mut keys_changed = false;
        for (key, stored) in read.entries {
            keys_changed |= Kind::of(&key) == Some(Kind::Provider);
            let old = before.held(&key).map_or(&[][..], |held| &held.resources);
            match stored {
                Some(stored) if before.held(&key).is_some_and(|held| is_same(held, &stored)) => {}
                Some(stored) => {
                    let held = self.compile(&key, &stored)?;
                    differing(&newest, (old, &held.resources), &mut change);
                    self.note_replica(&key, Some(&held.document.body));
                    next.put(key, held);
                }
                None => {
                    differing(&newest, (old, &[]), &mut change);
                    self.note_replica(&key, None);
                    next.remove(&key);
                }
            }
        }
        next.revision = next.revision.max(read.revision);
        let push = match &published {
            Some((at, hash)) => {
                next.published = *at;
                self.as_the_leader_made_it(&next, hash, change)?
            }
            None => None,
        };
        self.fleet.set_lease(lease(&next));
        self.fleet.want(wanted(&next));
        self.state.store(Arc::new(next));
        if let Some(push) = push {
            observe::publish(&self.tracer, &self.fleet, "", push);
        }
        if keys_changed {
            self.keys.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Absent: this program makes another state of it, which no replica may be sent under the same version.
    fn as_the_leader_made_it(
        &self,
        state: &State,
        hash: &str,
        mut change: Change,
    ) -> Result<Option<Push>, Refusal> {
        let newest = self.fleet.newest();
        let base = base(self.catalog, &self.vault, self.fleet.cluster(), state)?;
        differing(&newest, (&[], &base), &mut change);
        // What was read since the newest state is usually all; where the hash says otherwise, everything is looked at.
        let push = made::next(&newest, &change, state, &self.vault);
        let push = match push.ok().filter(|push| push.hash.to_string() == hash) {
            Some(push) => push,
            None => self.push(state)?,
        };
        let same = push.hash.to_string() == hash;
        if !same {
            tracing::error!(version = %push.version, "this control plane makes another state than the leader; replicas are not sent it");
        }
        self.fleet.withhold(!same);
        Ok(same.then_some(push))
    }

    fn compile(&self, key: &Key, stored: &Versioned) -> Result<Held, Refusal> {
        let secrets = |id: &SecretId, origins: &BTreeSet<String>| -> Option<Secret> {
            let opened = self.vault.open(id, origins);
            opened.inspect_err(|error| tracing::error!(%id, %error, "a secret is withheld")).ok()
        };
        let compiler = Compiler { catalog: self.catalog, secrets: &secrets };
        let document = Document::decode(&stored.value)
            .map_err(|_| Refusal::Internal("the store holds what is no document"))?;
        let resources = compiler.document(key.name(), &document.body)?;
        Ok(Held { version: stored.version, document, resources })
    }

    /// What the leader wrote of a replica.
    fn note_replica(&self, key: &Key, body: Option<&Body>) {
        if Kind::of(key) != Some(Kind::Replica) {
            return;
        }
        match body {
            Some(Body::Replica(replica)) if replica.evicted => {
                self.fleet.remember(key.name(), replica);
                self.fleet.evict(key.name());
            }
            Some(Body::Replica(replica)) => self.fleet.known(key.name(), replica),
            _ => self.fleet.unknown(key.name()),
        }
    }

    /// Begins to lead: takes in all there is, and makes a version of its own, so that no version ever stands for two states.
    ///
    /// # Errors
    /// When the store does not take it; then this one does not lead.
    pub(crate) async fn lead(&self, term: i64) -> Result<(), Refusal> {
        let Some(shared) = self.store.shared() else { return Ok(()) };
        for _ in 0..TRIES {
            shared.catch_up().await?;
            let mut behind = self.writing.lock().await;
            self.take_over(&mut behind).await?;
            let mut next = State::clone(&self.state.load());
            let over = next.revision;
            next.revision += 1;
            next.published = next.revision;
            let push = self.push(&next)?;
            let mut entry =
                Author::system("lead", &format!("control-plane/{}", shared.me().name)).entry(unix_millis());
            entry.state = push.hash.to_string();
            if self.store.commit_over(Batch { writes: Vec::new(), entry }, over).await? != next.revision {
                continue;
            }
            for (name, held) in next.each(Kind::Replica) {
                if let Body::Replica(replica) = &held.document.body {
                    self.fleet.remember_anew(name, replica);
                }
            }
            self.state.store(Arc::new(next));
            self.fleet.withhold(false);
            observe::publish(&self.tracer, &self.fleet, "", push);
            self.led.store(term, Ordering::Release);
            self.sweep();
            self.keys.send_modify(|count| *count += 1);
            tracing::info!(version = %self.version(), "leads");
            return Ok(());
        }
        Err(Refusal::Internal("the log went on while this control plane began to lead"))
    }
}

/// All documents, and what is published as of the same commit; that is absent where nobody else writes.
pub(super) async fn listed(store: &dyn Store) -> Result<(Listing, Option<Read>), Refusal> {
    for _ in 0..LOOKS {
        let listing = store.list("").await?;
        let read = store.shared().map(|shared| shared.read(&[]));
        if read.as_ref().is_none_or(|read| read.revision == listing.revision) {
            return Ok((listing, read));
        }
    }
    Err(Refusal::Internal("the log went on while the documents were read"))
}

fn is_same(held: &Held, stored: &Versioned) -> bool {
    held.version == stored.version && held.document.encode().is_ok_and(|bytes| bytes == stored.value)
}

// === impl Behind ===

impl Behind {
    /// From what `changes` tells on; what was before is in the state.
    pub(super) fn new(changes: Changes) -> Self {
        Self { changes, keys: BTreeSet::new(), heard: 0, all: false }
    }

    fn hear(&mut self) {
        loop {
            match self.changes.try_recv() {
                Ok(change) => {
                    self.heard = self.heard.max(change.revision);
                    self.keys.extend(change.keys);
                }
                Err(TryRecvError::Lagged(_)) => self.all = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }
}
