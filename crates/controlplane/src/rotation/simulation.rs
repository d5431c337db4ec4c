//! A key whose versions are moved on as the rotation does it, for simulations: without store, replicas and clock. No program
//! uses it.

use super::{
    next::{Next, next, rid_of},
    stages::Watched,
};
use crate::{
    fleet::Books,
    resource::{Barred, Begin, KeyDocument, KeyState, KeyVersion, Made, Proof, Step, Supply, Verb, Way},
};
use keyway_snapshot::{CredentialState, Version};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// The acknowledgement deadline of its rotations, milliseconds.
const ACK_TIMEOUT_MS: u64 = 2000;

/// A key of a provider.
#[derive(Debug, Clone)]
pub struct Key {
    name: (String, String),
    document: KeyDocument,
    rollouts: u64,
}

/// What one look at a key came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// These versions are out of use everywhere.
    Confirmed(Vec<u32>),
    /// Versions came or went: replicas are to be sent a new state.
    Sends,
    /// The rollout has ended.
    Ended,
    /// Nothing is due.
    Nothing,
}

// === impl Key ===

impl Key {
    /// A key with one version, which is in use.
    #[must_use]
    pub fn new(provider: &str, key: &str) -> Self {
        let made = Made { by: Way::Hand, origin: String::new(), at: 0 };
        let document = KeyDocument {
            name: key.to_owned(),
            made,
            weight: None,
            prices: BTreeMap::new(),
            discount: None,
            quota: None,
            versions: vec![version(1, KeyState::Active)],
            rollout: None,
            rotation: None,
            supply: Supply::default(),
        };
        Self { name: (provider.to_owned(), key.to_owned()), document, rollouts: 0 }
    }

    /// A new version comes into use, and the old ones go after `overlap_ms`.
    ///
    /// # Errors
    /// Why not now.
    pub fn rotate(&mut self, overlap_ms: u64, now: u64) -> Result<u32, Barred> {
        let number = u32::try_from(self.document.versions.len()).unwrap_or(u32::MAX).saturating_add(1);
        let mut next = self.document.clone();
        next.versions.push(version(number, KeyState::Staged));
        next.begin(self.begins(Verb::Rotate, Some(number), overlap_ms), now)?;
        self.begun(next);
        Ok(number)
    }

    /// A version that was in use comes back.
    ///
    /// # Errors
    /// Why not.
    pub fn roll_back(&mut self, now: u64) -> Result<u32, Barred> {
        let mut next = self.document.clone();
        let to = next.before()?;
        next.begin(self.begins(Verb::Rollback, Some(to), 0), now)?;
        self.begun(next);
        Ok(to)
    }

    /// A version goes out of use at once; `next_state` is the first one that says so.
    ///
    /// # Errors
    /// Why not.
    pub fn revoke(&mut self, number: u32, next_state: Version, now: u64) -> Result<(), Barred> {
        let mut next = self.document.clone();
        next.revoke(self.begins(Verb::Revoke, None, 0), &[number], (next_state, true), now)?;
        self.begun(next);
        Ok(())
    }

    /// Does what is due, at most one step; `next_state` is the state that would say so.
    pub fn move_on(
        &mut self,
        books: &Books,
        (now, unix_millis): (Instant, u64),
        next_state: Version,
    ) -> Moved {
        let fleet = books.evidence(next_state.epoch, now);
        let gone = rid_of(&self.name, &self.document, &fleet);
        if !gone.is_empty() {
            gone.iter().for_each(|number| self.document.confirmed(*number, unix_millis));
            return Moved::Confirmed(gone);
        }
        match next(&self.name, &self.document, &fleet, unix_millis, &Watched::default()) {
            Next::Activate(_) => self.document.activate(next_state, unix_millis),
            Next::Withdraw => self.document.withdraw(next_state, unix_millis),
            Next::End => {
                self.document.end(Step::Done, None);
                return Moved::Ended;
            }
            _ => return Moved::Nothing,
        }
        Moved::Sends
    }

    /// Versions that replicas are sent, revoked ones without their secrets.
    #[must_use]
    pub fn sent(&self) -> Vec<(u32, CredentialState)> {
        let sent = |one: &KeyVersion| match one.state {
            KeyState::Active => Some(CredentialState::Active),
            KeyState::Retiring => Some(CredentialState::Retiring),
            KeyState::Revoked if one.leaving.as_ref().is_some_and(|leaving| leaving.cut) => {
                Some(CredentialState::Revoked)
            }
            _ => None,
        };
        self.document.versions.iter().filter_map(|one| Some((one.version, sent(one)?))).collect()
    }

    /// The version that new requests take.
    #[must_use]
    pub fn active(&self) -> Option<u32> {
        self.document.active().map(|one| one.version)
    }

    /// Versions that are in no state and not proven out of use.
    #[must_use]
    pub fn going(&self) -> Vec<u32> {
        self.document.versions.iter().filter(|one| one.leaving.is_some()).map(|one| one.version).collect()
    }

    /// Whether a rollout has something to be done.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.document.under_way().is_some()
    }

    fn begins(&self, verb: Verb, to: Option<u32>, overlap_ms: u64) -> Begin {
        Begin {
            id: format!("rollout-{}", self.rollouts),
            verb,
            to,
            probe: false,
            hold: false,
            overlap_ms,
            trial: None,
            ack_timeout_ms: ACK_TIMEOUT_MS,
            trace: String::new(),
            actor: "simulation".to_owned(),
        }
    }

    fn begun(&mut self, next: KeyDocument) {
        self.document = next;
        self.rollouts += 1;
    }
}

fn version(number: u32, state: KeyState) -> KeyVersion {
    KeyVersion {
        version: number,
        state,
        fingerprint: String::new(),
        shown: String::new(),
        at: 0,
        since: 0,
        proof: Proof::None,
        origins: BTreeSet::new(),
        seal: 0,
        leaving: None,
    }
}
