//! What replicas were told of how far the log is, held against the log. Whoever cuts it back or writes it anew, signatures and
//! all, has to reach every replica's memory too.

use crate::store::{Record, Revision, Store, StoreError};
use keyway_proto::fleet::v1::AuditHead;
use std::collections::BTreeMap;

/// A log that is not the one that replicas were told of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Contradiction {
    /// It ends before that.
    #[error(
        "replica {replica} was told of record {told} of the audit log, which ends at {end}: its end was cut off, or an older copy of the store \
         was put in place without `keyway restore`"
    )]
    CutOff {
        /// Who knows it.
        replica: String,
        /// `epoch.revision`.
        told: String,
        /// Likewise.
        end: String,
    },
    /// It has something else there.
    #[error(
        "replica {replica} was told another record {told} of the audit log than stands in it: it was written anew"
    )]
    Rewritten {
        /// Who knows it.
        replica: String,
        /// `epoch.revision`.
        told: String,
    },
}

/// How far the log is now.
pub(crate) fn head(store: &dyn Store) -> AuditHead {
    let (revision, hash) = store.head();
    AuditHead { epoch: store.identity().epoch, revision, hash: hash.to_vec() }
}

/// Everything that these replicas know otherwise.
///
/// # Errors
/// When the log cannot be read.
pub(crate) async fn contradictions(
    store: &dyn Store,
    told: Vec<(String, AuditHead)>,
) -> Result<Vec<Contradiction>, StoreError> {
    // Most were told the same.
    let mut knowing = BTreeMap::<(u64, Revision, Vec<u8>), Vec<String>>::new();
    for (replica, AuditHead { epoch, revision, hash }) in told {
        knowing.entry((epoch, revision, hash)).or_default().push(replica);
    }
    let mut found = Vec::new();
    for ((epoch, revision, hash), replicas) in knowing {
        let told = AuditHead { epoch, revision, hash };
        found.extend(contradiction(store, named(&replicas), &told).await?);
    }
    Ok(found)
}

fn named(replicas: &[String]) -> String {
    match replicas {
        [first, more @ ..] if !more.is_empty() => format!("{first} (and {} more)", more.len()),
        others => others.concat(),
    }
}

/// What one of them knows otherwise.
///
/// # Errors
/// When the log cannot be read.
pub(crate) async fn contradiction(
    store: &dyn Store,
    replica: String,
    told: &AuditHead,
) -> Result<Option<Contradiction>, StoreError> {
    // Read before the head: a log that grows meanwhile holds more, never less.
    let records = store.audit(told.revision.saturating_sub(1), 1).await?;
    Ok(judge(replica, told, &head(store), records.first()))
}

/// `record`: the first one of the log that is not older than what was told.
fn judge(
    replica: String,
    told: &AuditHead,
    head: &AuditHead,
    record: Option<&Record>,
) -> Option<Contradiction> {
    let place = |epoch: u64, revision: Revision| format!("{epoch}.{revision}");
    let (told_at, end) = (place(told.epoch, told.revision), place(head.epoch, head.revision));
    if told.epoch < head.epoch {
        // A backup was restored since, which the log says itself.
        return None;
    }
    if (told.epoch, told.revision) > (head.epoch, head.revision) {
        return Some(Contradiction::CutOff { replica, told: told_at, end });
    }
    let another = record.is_some_and(|one| one.revision == told.revision && one.hash[..] != told.hash[..]);
    another.then_some(Contradiction::Rewritten { replica, told: told_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, Entry, Memory};

    #[tokio::test]
    async fn what_was_told_stands_in_the_log_or_it_is_another_one() {
        let store = Memory::default();
        for action in ["a", "b", "c"] {
            let entry = Entry { action: action.to_owned(), ..Entry::default() };
            store.commit(Batch { writes: Vec::new(), entry }).await.unwrap();
        }
        let newest = head(&store);
        let first = store.audit(0, 1).await.unwrap().remove(0);
        let at = |epoch, revision, hash: &[u8]| AuditHead { epoch, revision, hash: hash.to_vec() };
        let (epoch, end) = (newest.epoch, newest.revision);
        let replica = || "r".to_owned();
        let cut = |told: &AuditHead| Contradiction::CutOff {
            replica: replica(),
            told: format!("{}.{}", told.epoch, told.revision),
            end: format!("{epoch}.{end}"),
        };
        for told in [newest.clone(), at(epoch, first.revision, &first.hash), at(epoch - 1, 99, &[7; 32])] {
            assert_eq!(contradiction(&store, replica(), &told).await.unwrap(), None, "{told:?}");
        }
        for told in [at(epoch, end + 1, &[7; 32]), at(epoch + 1, 1, &first.hash)] {
            assert_eq!(contradiction(&store, replica(), &told).await.unwrap(), Some(cut(&told)));
        }
        let told = vec![("a".to_owned(), newest), ("b".to_owned(), at(epoch, end, &[7; 32]))];
        let rewritten = Contradiction::Rewritten { replica: "b".to_owned(), told: format!("{epoch}.{end}") };
        assert_eq!(contradictions(&store, told).await.unwrap(), [rewritten]);
    }
}
