//! What of etcd is held in memory: documents, the newest record, who leads, who else is there, sealed secrets. Changed
//! only by what etcd said. Pure.

use super::{keys::Top, proto::KeyValue};
use crate::{
    lead::Member,
    store::{
        Batch, Change, Entry, Key, Revision, StoreError,
        documents::{Documents, Hash},
        journal::{
            payload,
            record::{Head, Sealed},
        },
    },
};
use std::collections::BTreeMap;

/// All of it.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) documents: Documents,
    pub(super) head: Head,
    /// The newest record that wrote documents, as far as is known: all up to the one that was loaded count as such.
    pub(super) wrote: Revision,
    /// etcd's revision of the key `head`.
    pub(super) written: i64,
    pub(super) applied: u64,
    pub(super) published: Option<(Revision, String)>,
    /// Who leads, and since which revision of etcd.
    pub(super) leader: Option<(Member, i64)>,
    pub(super) members: BTreeMap<String, Member>,
    /// Who keeps the books.
    pub(super) books: Option<String>,
    pub(super) vault: BTreeMap<String, File>,
    /// Everything up to this revision of etcd is in here.
    pub(super) seen: i64,
}

/// A sealed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    /// etcd's revision of it.
    pub(super) written: i64,
}

// === impl Mirror ===

impl Mirror {
    pub(super) fn top(&self) -> Top {
        Top {
            head: self.head,
            applied: self.applied,
            sum: self.documents.sum(),
            published: self.published.clone(),
        }
    }

    pub(super) fn sum(&self) -> Hash {
        self.documents.sum()
    }

    /// Takes the next record in. One that is in already is passed over; any other must follow.
    ///
    /// # Errors
    /// When it is no next record, or says what cannot be: two histories met.
    pub(super) fn follow(&mut self, record: &Sealed) -> Result<Option<Change>, StoreError> {
        if record.link.seq <= self.head.seq {
            return Ok(None);
        }
        let seq = record.link.seq;
        let damaged = |why: String| StoreError::Damaged(format!("record {seq} in etcd: {why}"));
        record.follows(Some(self.head)).map_err(|fault| damaged(fault.to_string()))?;
        let (entry, writes) =
            payload::decode(&record.payload).ok_or_else(|| damaged("it is not readable".to_owned()))?;
        let writes = payload::over(writes, &self.documents)
            .ok_or_else(|| damaged("it was made over other documents".to_owned()))?;
        let batch = Batch { writes, entry };
        self.documents.check(&batch).map_err(|error| damaged(error.to_string()))?;
        let keys: Vec<Key> = batch.writes.iter().map(|write| write.key.clone()).collect();
        batch.writes.into_iter().for_each(|write| self.documents.write(write));
        self.head = record.head();
        if !keys.is_empty() {
            self.wrote = seq;
        }
        self.publish(seq, &batch.entry);
        Ok(Some(Change { revision: seq, keys }))
    }

    /// What the record says of the state that replicas are sent.
    fn publish(&mut self, seq: Revision, entry: &Entry) {
        if !entry.state.is_empty() {
            self.published = Some((seq, entry.state.clone()));
        }
    }

    /// What the key `head` says, beyond the record that it names.
    pub(super) fn top_seen(&mut self, top: &Top, written: i64) {
        if written > self.written {
            (self.written, self.applied) = (written, top.applied);
        }
    }

    /// What lies beside documents and log, by an event of that revision; absent = it is gone now.
    pub(super) fn aside(&mut self, name: &str, found: Option<&KeyValue>, at: i64) {
        let member = |found: &KeyValue| serde_json::from_slice::<Member>(&found.value).ok();
        match name.split_once('/') {
            None if name == "leader" => {
                self.leader = found.and_then(|found| Some((member(found)?, found.create_revision)));
            }
            None if name == "books" => {
                self.books = found.and_then(|found| String::from_utf8(found.value.to_vec()).ok());
            }
            Some(("member", name)) => match found.and_then(member) {
                Some(member) => drop(self.members.insert(name.to_owned(), member)),
                None => drop(self.members.remove(name)),
            },
            Some(("vault", name)) => self.file(name, found, at),
            _ => {}
        }
    }

    /// A sealed file. What is older than what is known is passed over: own writes are known before the watch tells of them.
    pub(super) fn file(&mut self, name: &str, found: Option<&KeyValue>, at: i64) {
        if self.written_of(name) > at {
            return;
        }
        match found {
            Some(found) => {
                let file = File { bytes: found.value.to_vec(), written: found.mod_revision };
                self.vault.insert(name.to_owned(), file);
            }
            None => drop(self.vault.remove(name)),
        }
    }

    /// etcd's revision of a sealed file; 0 = there is none.
    pub(super) fn written_of(&self, name: &str) -> i64 {
        self.vault.get(name).map_or(0, |file| file.written)
    }
}
