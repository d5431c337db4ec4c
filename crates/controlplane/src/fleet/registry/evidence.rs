//! What rotation needs to know of one replica: what it acknowledged and when, and how it uses each key version.

use super::{OldUses, Row, SILENT_AFTER};
use keyway_proto::fleet::v1::{KeyUse, TokenUse};
use keyway_snapshot::{StateHash, Version};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

/// One replica whose books are open.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    pub(crate) id: String,
    /// It is connected and said something lately.
    pub(crate) answers: bool,
    /// It is not connected, and has not been for so short a time that it may be back at once: after a start of this control
    /// plane all are.
    pub(crate) may_return: bool,
    /// It refused the newest state that it was sent: field and reason.
    pub(crate) refused: Option<(String, String)>,
    /// What it serves.
    pub(crate) serves: Option<Version>,
    /// Hash of that; absent = it has acknowledged nothing on this stream.
    pub(crate) hash: Option<StateHash>,
    /// What it would serve after a restart; absent = nothing.
    pub(crate) kept: Option<Version>,
    /// The state in force when key use was counted.
    pub(crate) used_at: Option<Version>,
    pub(crate) uses: BTreeMap<String, KeyUse>,
    /// How tokens of clients are used that are about to change theirs.
    pub(crate) tokens: Vec<TokenUse>,
    /// When old tokens were used last, on replicas that are gone too.
    pub(crate) old_uses: OldUses,
    /// How long this process of it has been heard, milliseconds.
    pub(crate) known_ms: u64,
    /// The life of the data that is in force. A state of an earlier one proves nothing: what a restore brought back it may
    /// well hold, whatever its counter says.
    epoch: u64,
    past: BTreeMap<String, KeyUse>,
    acks: VecDeque<(Version, Instant)>,
}

// === impl Evidence ===

impl Evidence {
    /// Whether it serves that state or a later one.
    pub(crate) fn acknowledged(&self, version: Version) -> bool {
        self.is_past(self.serves, version)
    }

    fn is_past(&self, at: Option<Version>, version: Version) -> bool {
        at.is_some_and(|at| at >= version && at.epoch >= self.epoch)
    }

    /// When it first acknowledged that state or a later one, in this life of the control plane.
    pub(crate) fn acknowledged_at(&self, version: Version) -> Option<Instant> {
        self.acks.iter().find(|(acked, _)| self.is_past(Some(*acked), version)).map(|(_, at)| *at)
    }

    /// When it acknowledged what it serves, in this life of the control plane.
    pub(crate) fn applied_at(&self) -> Option<Instant> {
        let serves = self.serves?;
        self.acks.iter().rev().find(|(acked, _)| *acked == serves).map(|(_, at)| *at)
    }

    /// How a version is used, or was when it was last counted.
    pub(crate) fn last_use(&self, id: &str) -> Option<&KeyUse> {
        self.uses.get(id).or_else(|| self.past.get(id))
    }

    /// Whether nobody uses these versions there any more and nothing there could bring them back: it serves a state
    /// without them, so does its disk, and counted after that no attempt holds them.
    pub(crate) fn is_rid_of(&self, without: Version, ids: &[String]) -> bool {
        self.acknowledged(without)
            && self.is_past(self.used_at, without)
            && (self.kept.is_none() || self.is_past(self.kept, without))
            && ids.iter().all(|id| self.uses.get(id).is_none_or(|one| one.in_flight == 0))
    }
}

impl Row {
    /// Why it does not serve the newest state, if that is known.
    fn why_not(&self) -> Option<(String, String)> {
        let refused = self.refused.as_ref().map(|(_, one)| (one.field.clone(), one.reason.clone()));
        let lacks = || self.lacks.as_ref().map(|lacks| ("needs".to_owned(), lacks.clone()));
        refused.or_else(lacks)
    }

    pub(super) fn evidence(&self, epoch: u64, old_uses: &OldUses, now: Instant) -> Evidence {
        let is_fresh = now.saturating_duration_since(self.heard) < SILENT_AFTER;
        Evidence {
            epoch,
            id: self.hello.id.clone(),
            answers: self.link.is_some() && is_fresh,
            may_return: self.link.is_none() && is_fresh,
            refused: self.why_not(),
            serves: self.serving(),
            hash: self.served.map(|(_, hash)| hash),
            kept: self.kept,
            used_at: self.used_at,
            uses: self.uses.clone(),
            past: self.past.clone(),
            tokens: self.tokens.clone(),
            old_uses: old_uses.clone(),
            known_ms: u64::try_from(now.saturating_duration_since(self.since).as_millis())
                .unwrap_or(u64::MAX),
            acks: self.acks.clone(),
        }
    }
}

#[cfg(test)]
impl Evidence {
    /// A replica of that name that serves this state.
    pub(crate) fn serving(id: &str, answers: bool, serves: Version) -> Self {
        Self {
            id: id.to_owned(),
            epoch: serves.epoch,
            answers,
            may_return: false,
            refused: None,
            serves: Some(serves),
            hash: None,
            kept: None,
            used_at: Some(serves),
            uses: BTreeMap::new(),
            past: BTreeMap::new(),
            tokens: Vec::new(),
            old_uses: OldUses::default(),
            known_ms: u64::MAX,
            acks: VecDeque::new(),
        }
    }
}
