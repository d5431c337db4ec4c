//! Keeps the mirror as etcd is: one watch over everything of ours, from the revision that was read. Where the watch ends, by
//! a broken link or because etcd compacted what it should have told, all is read afresh and followed from there.

use super::{
    inner::{self, BESIDE, FILES, Inner, gone},
    keys::{Top, after},
    mirror::Mirror,
    proto::{Event, KeyValue, WatchCreateRequest, WatchResponse, event::EventType},
};
use crate::store::{StoreError, journal::record::Sealed};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// After a watch that ended.
const AGAIN: Duration = Duration::from_millis(200);

/// The log at one revision of etcd.
pub(super) struct Sight {
    top: Top,
    /// etcd's revision of the key `head`.
    written: i64,
    revision: i64,
    /// Those that were not known.
    records: Vec<Sealed>,
}

/// Runs until `stop` says so.
pub(super) async fn run(inner: Arc<Inner>, mut stop: watch::Receiver<bool>) {
    loop {
        let following = async {
            match watch_on(&inner).await {
                Err(error @ StoreError::Damaged(_)) => {
                    tracing::error!(%error, "etcd's log cannot be followed")
                }
                Err(error) => tracing::debug!(%error, "etcd's watch ended; it is begun again"),
                Ok(()) => {}
            }
            inner.wire.leave().await;
            sleep(AGAIN).await;
            if let Err(error) = inner.afresh().await {
                tracing::debug!(%error, "etcd cannot be read");
            }
        };
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => return,
            () = following => {}
        }
    }
}

/// Follows until the watch ends.
async fn watch_on(inner: &Inner) -> Result<(), StoreError> {
    let beginning = inner.keys.at("");
    let create = WatchCreateRequest {
        range_end: after(&beginning),
        key: beginning,
        start_revision: inner.mirror.lock().seen + 1,
        progress_notify: true,
    };
    let mut answers = inner.wire.watch(create).await?;
    loop {
        let answer = answers
            .message()
            .await
            .map_err(|status| StoreError::Unavailable(format!("the watch: {}", status.message())))?;
        let Some(answer) = answer else { return Ok(()) };
        if answer.canceled {
            return Err(StoreError::Unavailable(format!("the watch: {}", answer.cancel_reason)));
        }
        inner.heard(answer).await?;
    }
}

// === impl Inner ===

impl Inner {
    /// Events of whole revisions, in order.
    async fn heard(&self, answer: WatchResponse) -> Result<(), StoreError> {
        let revision = answer.header.map_or(0, |header| header.revision);
        let mut records: Vec<Sealed> = Vec::new();
        for event in &answer.events {
            let log = self.named(event).is_some_and(|name| name.starts_with("log/"));
            if let Some(kv) = event.kv.as_ref().filter(|_| log && event.r#type() == EventType::Put) {
                records.push(self.logged(&kv.value).await?);
            }
        }
        let mut mirror = self.mirror.lock();
        self.follow_all(&mut mirror, &records)?;
        let mut news = false;
        for event in &answer.events {
            let Some((name, kv)) = self.named(event).zip(event.kv.as_ref()) else { continue };
            let put = event.r#type() == EventType::Put;
            match name {
                "head" if !put => return Err(gone()),
                "head" => {
                    let top = Top::decode(&kv.value).ok_or_else(inner::unreadable)?;
                    mirror.top_seen(&top, kv.mod_revision);
                    self.agrees(&mirror, &top)?;
                }
                _ if name.starts_with("doc/") || name.starts_with("log/") || name.starts_with("part/") => {}
                _ => {
                    mirror.aside(name, put.then_some(kv), kv.mod_revision);
                    news = true;
                }
            }
        }
        mirror.seen = mirror.seen.max(revision);
        drop(mirror);
        if news {
            self.news.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    fn named<'a>(&self, event: &'a Event) -> Option<&'a str> {
        self.keys.name(&event.kv.as_ref()?.key)
    }

    /// Takes in what others committed, as of now. The watch may be behind, so sealed files come with the documents that name them.
    pub(super) async fn catch_up(&self) -> Result<(), StoreError> {
        let sight = self.look().await?;
        let files = if sight.records.is_empty() {
            Vec::new()
        } else {
            inner::all(&self.wire, self.keys.all(FILES), sight.revision).await?
        };
        let mut mirror = self.mirror.lock();
        // What the watch told beyond that is newer: a file may be gone since.
        if mirror.seen < sight.revision {
            self.lay_beside(&mut mirror, &files);
        }
        self.take(&mut mirror, &sight)
    }

    /// Reads what lies beside the documents anew, and the records that came since.
    async fn afresh(&self) -> Result<(), StoreError> {
        let sight = self.look().await?;
        self.afresh_as_of(&sight).await
    }

    /// All as of that one revision, and not a record more: what a newer one names would not be there.
    pub(super) async fn afresh_as_of(&self, sight: &Sight) -> Result<(), StoreError> {
        let mut beside = Vec::new();
        for beginning in BESIDE {
            beside.extend(inner::all(&self.wire, self.keys.all(beginning), sight.revision).await?);
        }
        let mut mirror = self.mirror.lock();
        (mirror.leader, mirror.books) = (None, None);
        mirror.members.clear();
        // This control plane's own newer writes stay.
        mirror.vault.retain(|_, file| file.written > sight.revision);
        self.lay_beside(&mut mirror, &beside);
        self.take(&mut mirror, sight)?;
        mirror.seen = sight.revision;
        drop(mirror);
        self.news.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Head as it is now, and the records up to it that are not known yet.
    pub(super) async fn look(&self) -> Result<Sight, StoreError> {
        let (found, revision) = self.get(self.keys.head()).await?;
        let found = found.ok_or_else(gone)?;
        let top = Top::decode(&found.value).ok_or_else(inner::unreadable)?;
        let mine = self.mirror.lock().head.seq;
        let records = self.records(mine, top.head.seq).await?;
        Ok(Sight { top, written: found.mod_revision, revision, records })
    }

    fn lay_beside(&self, mirror: &mut Mirror, found: &[KeyValue]) {
        for one in found {
            if let Some(name) = self.keys.name(&one.key) {
                mirror.aside(name, Some(one), one.mod_revision);
            }
        }
    }

    fn take(&self, mirror: &mut Mirror, sight: &Sight) -> Result<(), StoreError> {
        self.follow_all(mirror, &sight.records)?;
        mirror.top_seen(&sight.top, sight.written);
        self.agrees(mirror, &sight.top)
    }
}
