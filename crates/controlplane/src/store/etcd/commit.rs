//! One commit: one transaction that moves `head`, guarded by head itself and by the leader's key as it was made. What is
//! too large for a transaction is laid beside first; readers go by head, so it counts whole or not at all.

use super::{
    inner::{Inner, Writer, unreadable},
    keys::{Kept, Logged, Top, delete, get, made_at, put, written_at},
    proto::{Compare, RequestOp, TxnRequest},
    wire::WireError,
};
use crate::store::{
    Batch, Key, Revision, StoreError, Versioned, Write,
    journal::{
        payload,
        record::{Link, Sealed},
    },
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Documents that one transaction writes: etcd takes 128 operations, and head and record are among them.
const WRITES: usize = 100;
/// Bytes of one transaction, and of one part: etcd takes 1.5 MiB.
const BYTES: usize = 1 << 20;
/// Bytes of a name and what stands round a value.
const OVERHEAD: usize = 256;
/// An outcome that is not known is looked for so long.
const RESOLVE_LIMIT: Duration = Duration::from_secs(4);
/// Between two looks.
const RESOLVE_PAUSE: Duration = Duration::from_millis(100);
/// Times that a commit is begun again because the log went on without it.
const TRIES: usize = 3;
/// Random bytes of the name that parts lie under.
const PART_ID: usize = 16;

/// A record that is ready to be written.
struct Ready {
    record: Sealed,
    writes: Vec<Write>,
    frame: Bytes,
    /// Head as it is to become.
    top: Top,
    /// Head's revision in etcd until then.
    written: i64,
}

/// What a transaction came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// At that revision of etcd.
    Done(i64),
    /// Somebody else leads.
    NotLeader,
    /// Head was moved, or whatever else it was guarded by.
    Moved,
}

// === impl Inner ===

impl Inner {
    /// `over`: the revision that the batch was planned over, if it depends on documents that it does not write.
    pub(super) async fn commit(&self, batch: Batch, over: Option<Revision>) -> Result<Revision, StoreError> {
        let mut writer = self.writer.lock().await;
        let term = self.term()?;
        for _ in 0..TRIES {
            if std::mem::take(&mut writer.doubt) {
                let before = self.mirror.lock().head;
                self.catch_up().await.inspect_err(|_| writer.doubt = true)?;
                if self.mirror.lock().head != before && !batch.writes.is_empty() {
                    // Whoever planned this did not know of that.
                    return Err(StoreError::Unavailable(
                        "what was not known to be written was; look and repeat".to_owned(),
                    ));
                }
            }
            self.spread(term).await?;
            let ready = self.ready(&batch, over)?;
            let seq = ready.record.link.seq;
            match self.write(&mut writer, &ready, term).await? {
                Outcome::Done(_) => {
                    // A commit that is committed answers no error; what is left to do is done before the next.
                    let spread = self.spread(term).await;
                    spread.unwrap_or_else(
                        |error| tracing::warn!(%error, "documents are not all in their keys yet"),
                    );
                    return Ok(seq);
                }
                Outcome::NotLeader => return Err(self.not_leader()),
                Outcome::Moved => writer.doubt = true,
            }
        }
        Err(StoreError::Unavailable("others write to it all the time".to_owned()))
    }

    /// The revision of etcd at which this control plane's leadership was made.
    pub(super) fn term(&self) -> Result<i64, StoreError> {
        self.standing.borrow().term.ok_or_else(|| self.not_leader())
    }

    pub(super) fn not_leader(&self) -> StoreError {
        let standing = self.standing.borrow();
        if !standing.contact {
            return StoreError::Unavailable("etcd does not answer".to_owned());
        }
        let other = standing.leader.as_ref().filter(|leader| leader.name != self.me.name);
        StoreError::NotLeader { leader: other.map(|leader| leader.admin.clone()) }
    }

    fn ready(&self, batch: &Batch, over: Option<Revision>) -> Result<Ready, StoreError> {
        let mirror = self.mirror.lock();
        if over.is_some_and(|over| mirror.wrote > over) {
            // Its hash would be that of a state without what was written between.
            return Err(StoreError::Unavailable(
                "documents were written meanwhile; look and repeat".to_owned(),
            ));
        }
        mirror.documents.check(batch)?;
        let head = mirror.head;
        // Whole: who begins in the middle of the log reads documents from their own keys.
        let payload = payload::encode(&batch.entry, &batch.writes, &[]);
        let payload = payload.ok_or(StoreError::TooLarge { bytes: usize::MAX })?;
        let link = Link { seq: head.seq + 1, epoch: head.epoch, time: batch.entry.at, before: head.hash };
        let (frame, hash) = link.seal(&payload).ok_or(StoreError::TooLarge { bytes: payload.len() })?;
        let record = Sealed { link, payload, hash };
        let mut top = mirror.top();
        let direct = is_direct(&frame, &batch.writes);
        top.head = record.head();
        if direct {
            top.applied = link.seq;
        }
        if !batch.entry.state.is_empty() {
            top.published = Some((link.seq, batch.entry.state.clone()));
        }
        top.sum = mirror.documents.sum_after(&batch.writes);
        let writes = if direct { batch.writes.clone() } else { Vec::new() };
        Ok(Ready { record, writes, frame: frame.into(), top, written: mirror.written })
    }

    async fn write(&self, writer: &mut Writer, ready: &Ready, term: i64) -> Result<Outcome, StoreError> {
        let seq = ready.record.link.seq;
        let logged = if ready.frame.len() <= BYTES {
            Logged::Here(ready.frame.clone())
        } else {
            match self.lay_parts(&ready.frame, term).await? {
                Some(parts) => parts,
                None => return Ok(Outcome::NotLeader),
            }
        };
        let mut ops =
            vec![put(self.keys.head(), ready.top.encode(), 0), put(self.keys.log(seq), logged.encode(), 0)];
        for write in &ready.writes {
            ops.push(
                self.document_op(
                    &write.key,
                    write
                        .value
                        .as_ref()
                        .map(|value| Versioned { version: write.expected + 1, value: value.clone() }),
                    seq,
                )?,
            );
        }
        let outcome = match self.guarded(ops, term, Some(ready.written)).await {
            Ok(outcome) => outcome,
            Err(WireError::Unknown(why)) => self.resolve(writer, ready, term, why).await?,
            Err(error) => return Err(error.into()),
        };
        if let Outcome::Done(revision) = outcome {
            let mut mirror = self.mirror.lock();
            self.follow_all(&mut mirror, std::slice::from_ref(&ready.record))?;
            mirror.top_seen(&ready.top, revision);
        }
        Ok(outcome)
    }

    /// Whether a transaction without an answer happened. Where it did not, head is written as it was: then it never will,
    /// however late it arrives.
    async fn resolve(
        &self,
        writer: &mut Writer,
        ready: &Ready,
        term: i64,
        why: String,
    ) -> Result<Outcome, StoreError> {
        let until = Instant::now() + RESOLVE_LIMIT;
        while Instant::now() < until {
            tokio::time::sleep(RESOLVE_PAUSE).await;
            let before = self.mirror.lock().top();
            let same = vec![put(self.keys.head(), before.encode(), 0)];
            match self.guarded(same, term, Some(ready.written)).await {
                Ok(Outcome::Done(revision)) => {
                    self.mirror.lock().top_seen(&before, revision);
                    return Err(StoreError::Unavailable(format!("nothing was written: {why}")));
                }
                Ok(_) => {}
                Err(_) => continue,
            }
            if self.catch_up().await.is_err() {
                continue;
            }
            let seq = ready.record.link.seq;
            let (head, written) = {
                let mirror = self.mirror.lock();
                (mirror.head, mirror.written)
            };
            if head == ready.record.head() {
                return Ok(Outcome::Done(written));
            }
            return match self.records(seq - 1, seq).await {
                Ok(found) if found.first().is_some_and(|one| one.hash == ready.record.hash) => {
                    Ok(Outcome::Done(ready.written))
                }
                Ok(_) | Err(StoreError::Damaged(_)) => Ok(Outcome::NotLeader),
                Err(error) => Err(error),
            };
        }
        writer.doubt = true;
        Err(StoreError::Unavailable(format!("whether it was written is not known: {why}")))
    }

    /// Runs it if this control plane still leads, and head was not written since.
    pub(super) async fn guarded(
        &self,
        success: Vec<RequestOp>,
        term: i64,
        written: Option<i64>,
    ) -> Result<Outcome, WireError> {
        self.guarded_by(success, term, written.map(|written| written_at(self.keys.head(), written))).await
    }

    /// Runs it if this control plane still leads, and that holds too.
    pub(super) async fn guarded_by(
        &self,
        success: Vec<RequestOp>,
        term: i64,
        guard: Option<Compare>,
    ) -> Result<Outcome, WireError> {
        let mut compare: Vec<Compare> = vec![made_at(self.keys.leader(), term)];
        compare.extend(guard);
        let failure = vec![get(self.keys.leader())];
        let answer = self.wire.txn(TxnRequest { compare, success, failure }).await?;
        if answer.succeeded {
            return Ok(Outcome::Done(answer.header.map_or(0, |header| header.revision)));
        }
        let leader = answer.responses.into_iter().find_map(|one| match one.response? {
            super::proto::response_op::Response::Range(range) => range.kvs.into_iter().next(),
            _ => None,
        });
        if leader.is_some_and(|leader| leader.create_revision == term) {
            return Ok(Outcome::Moved);
        }
        self.standing.send_if_modified(|standing| {
            let mine = standing.term == Some(term);
            if mine {
                standing.term = None;
            }
            mine
        });
        Ok(Outcome::NotLeader)
    }

    /// A record that is too large for one key, in pieces; `None` = somebody else leads.
    async fn lay_parts(&self, frame: &Bytes, term: i64) -> Result<Option<Logged>, StoreError> {
        let mut random = [0; PART_ID];
        getrandom::fill(&mut random)
            .map_err(|_| StoreError::Unusable("the system gives no randomness".to_owned()))?;
        let id = crate::hex::hex(&random);
        let mut count = 0;
        for part in frame.chunks(BYTES) {
            let op = put(self.keys.part(&id, count), frame.slice_ref(part), 0);
            match self.guarded(vec![op], term, None).await? {
                Outcome::Done(_) => count += 1,
                Outcome::NotLeader | Outcome::Moved => return Ok(None),
            }
        }
        Ok(Some(Logged::Parts { id, count }))
    }

    /// Writes the keys of documents that were committed in too large a piece.
    async fn spread(&self, term: i64) -> Result<(), StoreError> {
        let (top, written) = {
            let mirror = self.mirror.lock();
            (mirror.top(), mirror.written)
        };
        if top.applied >= top.head.seq {
            return Ok(());
        }
        let mut touched: BTreeMap<Key, Revision> = BTreeMap::new();
        for record in self.records(top.applied, top.head.seq).await? {
            let (_, writes) = payload::decode(&record.payload).ok_or_else(unreadable)?;
            touched.extend(writes.into_iter().map(|write| (write.key, record.link.seq)));
        }
        let (mut ops, mut bytes) = (Vec::new(), 0);
        for (key, seq) in touched {
            let document = self.mirror.lock().documents.get(&key).cloned();
            let size = OVERHEAD + document.as_ref().map_or(0, |document| document.value.len());
            if ops.len() >= WRITES || (!ops.is_empty() && bytes + size > BYTES) {
                self.expect_leader(self.guarded(std::mem::take(&mut ops), term, Some(written)).await?)?;
                bytes = 0;
            }
            bytes += size;
            ops.push(self.document_op(&key, document, seq)?);
        }
        let top = Top { applied: top.head.seq, ..top };
        ops.push(put(self.keys.head(), top.encode(), 0));
        let revision = self.expect_leader(self.guarded(ops, term, Some(written)).await?)?;
        self.mirror.lock().top_seen(&top, revision);
        Ok(())
    }

    fn expect_leader(&self, outcome: Outcome) -> Result<i64, StoreError> {
        match outcome {
            Outcome::Done(revision) => Ok(revision),
            Outcome::NotLeader | Outcome::Moved => Err(self.not_leader()),
        }
    }

    fn document_op(
        &self,
        key: &Key,
        document: Option<Versioned>,
        seq: Revision,
    ) -> Result<RequestOp, StoreError> {
        let Some(document) = document else { return Ok(delete(self.keys.document(key))) };
        let kept = if document.value.len() <= BYTES {
            Kept::Here(document)
        } else {
            Kept::InRecord { version: document.version, seq }
        };
        let value = kept.encode().ok_or(StoreError::TooLarge { bytes: usize::MAX })?;
        Ok(put(self.keys.document(key), value, 0))
    }
}

/// Whether documents, record and head fit into one transaction.
fn is_direct(frame: &[u8], writes: &[Write]) -> bool {
    let values: usize = writes
        .iter()
        .map(|write| OVERHEAD + write.key.as_str().len() + write.value.as_ref().map_or(0, Bytes::len))
        .sum();
    writes.len() <= WRITES && frame.len() + values <= BYTES
}
