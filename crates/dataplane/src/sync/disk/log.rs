//! Changes since a whole state was written, one sealed piece after the other in one file, so that a change of one
//! client costs the disk what it takes and not what there is. Pieces name what they follow from: whatever a crash
//! leaves, only pieces that continue a state are used.

use super::files::Unusable;
use crate::sync::{
    sealed::{Bad, Head, NodeKey},
    session::own,
};
use keyway_proto::{STATE_LIMIT, fleet::v1::Chunk};
use keyway_snapshot::{Change, ResourceName, Resources, StateHash, Version};

/// Bytes of one log; a state beyond it is written whole.
pub(super) const LOG_LIMIT: u64 = 4 << 20;
/// Changes in one log: a start plays them all.
pub(super) const LOG_CHANGES: usize = 1024;
const LENGTH: usize = size_of::<u32>();

/// What a log holds.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) pieces: Vec<(Head, Change)>,
    pub(super) bytes: u64,
    /// Bytes at its end that are no whole piece of ours: nothing may be written behind them.
    pub(super) torn: u64,
}

/// A state as it was written, with what changed after it.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) head: Head,
    pub(super) resources: Resources,
}

/// One piece as it is appended.
pub(super) fn framed(sealed: &[u8]) -> Result<Vec<u8>, Bad> {
    let length = u32::try_from(sealed.len()).ok().filter(|length| u64::from(*length) <= STATE_LIMIT);
    let mut framed = length.ok_or(Bad::Large)?.to_be_bytes().to_vec();
    framed.extend_from_slice(sealed);
    Ok(framed)
}

// === impl Log ===

impl Log {
    /// As far as it can be read.
    pub(super) fn read(key: &NodeKey, file: &[u8]) -> Self {
        let mut log = Self { bytes: file.len() as u64, ..Self::default() };
        let mut rest = file;
        while let Some((length, behind)) = rest.split_first_chunk::<LENGTH>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let Some((piece, behind)) = behind.split_at_checked(length) else { break };
            let Ok((head, chunk)) = Head::open(key, piece) else { break };
            log.pieces.push((head, change(chunk)));
            rest = behind;
        }
        log.torn = rest.len() as u64;
        log
    }

    /// The state that it leads to from that one, by what its pieces say of themselves.
    pub(super) fn leads(&self, from: (Version, StateHash)) -> (Version, StateHash) {
        self.pieces.iter().fold(from, |at, (head, _)| match head.base == Some(at) {
            true => (head.version, head.hash),
            false => at,
        })
    }
}

// === impl Played ===

impl Played {
    /// The whole state of a file.
    pub(super) fn begin(key: &NodeKey, file: &[u8]) -> Result<Self, Unusable> {
        let (head, chunk) = Head::open(key, file)?;
        if head.base.is_some() {
            return Err(Bad::Magic.into());
        }
        let resources = Resources::whole(&change(chunk).given)?;
        Self { head, resources }.proven()
    }

    /// What changed after it, as far as it goes on.
    pub(super) fn play(mut self, log: &Log) -> Result<Self, Unusable> {
        for (head, change) in &log.pieces {
            if head.base == Some((self.head.version, self.head.hash)) {
                self = Self { head: head.clone(), resources: self.resources.changed(change) }.proven()?;
            }
        }
        Ok(self)
    }

    fn proven(self) -> Result<Self, Unusable> {
        if self.resources.roots().all == self.head.hash { Ok(self) } else { Err(Unusable::Hash) }
    }
}

fn change(chunk: Chunk) -> Change {
    let taken = chunk.removals.into_iter().map(|one| ResourceName { kind: one.kind, name: one.name });
    Change { given: chunk.resources.into_iter().map(own).collect(), taken: taken.collect() }
}
