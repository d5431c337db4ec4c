//! What may be done to a key, one step at a time: each is one commit, and after each some version works. A change that
//! is interrupted by another leaves what was to come where it was.

use super::{
    KeyDocument, KeyState, KeyVersion, Leaving, Probing, Proof, Rollout, Step, Trial, Verb, Verdict,
};
use keyway_snapshot::Version;

/// A change that is to begin.
#[derive(Debug, Clone)]
pub struct Begin {
    /// Unique.
    pub id: String,
    /// What is asked for.
    pub verb: Verb,
    /// The version that is to come into use.
    pub to: Option<u32>,
    /// Whether the provider is asked first.
    pub probe: bool,
    /// Ends once it is verified.
    pub hold: bool,
    /// How long the old versions stay as standby, milliseconds.
    pub overlap_ms: u64,
    /// How it is tried on some replicas first; absent = it is not.
    pub trial: Option<Trial>,
    /// After this a replica that has not acknowledged is named silent, milliseconds.
    pub ack_timeout_ms: u64,
    /// Trace of the command; empty = not traced.
    pub trace: String,
    /// Who asks for it.
    pub actor: String,
}

/// Why it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barred {
    /// Another change is under way.
    UnderWay {
        /// What it does.
        verb: Verb,
        /// How far it is.
        step: Step,
        /// Who began it.
        by: String,
    },
    /// There is no such version.
    NoVersion(u32),
    /// Its secret is gone.
    NoSecret(Vec<u32>),
    /// It cannot come into use from that state.
    State(u32, KeyState),
    /// There is nothing to go back to, or nothing to revoke.
    Nothing,
}

impl KeyDocument {
    /// Begins a change. One that has only confirmations outstanding gives way, and a step back or out may interrupt any.
    ///
    /// # Errors
    /// Why it may not begin; nothing is changed then.
    pub fn begin(&mut self, begin: Begin, now: u64) -> Result<(), Barred> {
        let interrupts = matches!(begin.verb, Verb::Promote | Verb::Rollback | Verb::Revoke);
        if let Some(running) = self.under_way()
            && !interrupts
            && running.step != Step::Withdrawn
        {
            return Err(Barred::UnderWay {
                verb: running.verb,
                step: running.step,
                by: running.actor.clone(),
            });
        }
        if let Some(to) = begin.to {
            self.may_come(to)?;
        }
        if begin.verb != Verb::Revoke {
            self.leave_trial(begin.to, now);
        }
        // What an interrupted change left as standby goes with this one.
        let served = self.versions.iter().filter(|one| one.state.is_served());
        let leaving: Vec<u32> = served.map(|one| one.version).filter(|one| Some(*one) != begin.to).collect();
        // With nothing to go back to there is nothing to compare with.
        let trial = begin.trial.filter(|_| !leaving.is_empty());
        let ends_as = if begin.verb == Verb::Rollback { KeyState::RolledBack } else { KeyState::Retired };
        let ready = begin.to.and_then(|to| self.version(to)).is_some_and(|to| {
            matches!(
                to.state,
                KeyState::Active
                    | KeyState::Retiring
                    | KeyState::Retired
                    | KeyState::Withdrawn
                    | KeyState::RolledBack
            )
        });
        let step = if ready || !begin.probe { Step::Verified } else { Step::Staged };
        self.rollout = Some(Rollout {
            id: begin.id,
            verb: begin.verb,
            to: begin.to,
            leaving,
            ends_as,
            probe: begin.probe && !ready,
            hold: begin.hold,
            overlap_ms: begin.overlap_ms,
            ack_timeout_ms: begin.ack_timeout_ms,
            trial,
            step,
            begun: now,
            activated: 0,
            active_in: None,
            trace: begin.trace,
            actor: begin.actor,
            probed: None,
            failure: None,
            figures: None,
        });
        Ok(())
    }

    /// What the provider said. A refused version never comes into use. Where this ends the change, `without` is the first
    /// snapshot that does not hold what an interrupted one left as standby.
    pub fn probed(&mut self, probing: Probing, without: Version, now: u64) {
        let goes_as = self.standby_goes_as();
        let Some(rollout) = &mut self.rollout else { return };
        let verdict = probing.verdict;
        let to = rollout.to;
        rollout.step = match verdict {
            Verdict::Verified | Verdict::Unproven if rollout.hold => Step::Done,
            Verdict::Verified | Verdict::Unproven => Step::Verified,
            Verdict::Rejected | Verdict::Unreachable => Step::Failed,
        };
        rollout.failure = match verdict {
            Verdict::Rejected => Some(format!("the provider refused the key (HTTP {})", probing.status)),
            Verdict::Unreachable => Some(format!("the provider gave no answer: {}", probing.reason)),
            Verdict::Verified | Verdict::Unproven => None,
        };
        rollout.probed = Some(probing);
        if rollout.step.is_end() {
            self.settle_standby(goes_as, without, now);
        }
        let Some(version) = to.and_then(|to| self.version_mut(to)) else { return };
        match verdict {
            Verdict::Verified => version.proof = Proof::Verified,
            Verdict::Unproven => version.proof = Proof::Unproven,
            Verdict::Rejected => return version.set(KeyState::Rejected, now),
            Verdict::Unreachable => return,
        }
        version.set(KeyState::Verified, now);
    }

    /// The new version comes into use and the old ones become standby. `active_in` is the snapshot that says so.
    pub fn activate(&mut self, active_in: Version, now: u64) {
        let goes_as = self.standby_goes_as();
        let Some(rollout) = &mut self.rollout else { return };
        rollout.step = if rollout.hold { Step::Done } else { Step::Active };
        if rollout.hold {
            return self.settle_standby(goes_as, active_in, now);
        }
        (rollout.activated, rollout.active_in) = (now, Some((active_in.epoch, active_in.counter)));
        let (to, leaving) = (rollout.to, rollout.leaving.clone());
        for version in &mut self.versions {
            if Some(version.version) == to {
                version.leaving = None;
                version.set(KeyState::Active, now);
            } else if leaving.contains(&version.version) && version.state == KeyState::Active {
                version.set(KeyState::Retiring, now);
            }
        }
    }

    /// The old versions leave the snapshots; `without` is the first one that does not hold them.
    pub fn withdraw(&mut self, without: Version, now: u64) {
        let Some(rollout) = &mut self.rollout else { return };
        rollout.step = Step::Withdrawn;
        let (leaving, ends_as) = (rollout.leaving.clone(), rollout.ends_as);
        for version in self.versions.iter_mut().filter(|one| leaving.contains(&one.version)) {
            if version.state == KeyState::Retiring {
                version.go(KeyState::Withdrawn, ends_as, (without, false), now);
            }
        }
    }

    /// Versions go out of use at once, with no standby.
    ///
    /// # Errors
    /// When there is no such version, or none of them is in any snapshot.
    pub fn revoke(
        &mut self,
        begin: Begin,
        versions: &[u32],
        (without, cut): (Version, bool),
        now: u64,
    ) -> Result<(), Barred> {
        if let Some(missing) = versions.iter().find(|number| self.version(**number).is_none()) {
            return Err(Barred::NoVersion(*missing));
        }
        let doomed: Vec<u32> = versions
            .iter()
            .copied()
            .filter(|number| self.version(*number).is_some_and(|one| one.state.has_secret()))
            .collect();
        if doomed.is_empty() {
            return Err(Barred::Nothing);
        }
        let stays = |one: &KeyVersion| one.state == KeyState::Active && !doomed.contains(&one.version);
        let tried = self.on_trial().map(|(tried, ..)| tried).filter(|tried| !doomed.contains(tried));
        let others_stay = self.versions.iter().any(|one| stays(one) && Some(one.version) != tried);
        let goes_as = self.standby_goes_as();
        self.begin(begin, now)?;
        for version in self.versions.iter_mut().filter(|one| doomed.contains(&one.version)) {
            version.go(KeyState::Revoked, KeyState::Revoked, (without, cut), now);
        }
        // What is on trial takes over where nothing else is left.
        if let Some(tried) = tried.filter(|_| others_stay)
            && let Some(version) = self.version_mut(tried)
        {
            version.go(KeyState::Withdrawn, KeyState::RolledBack, (without, false), now);
        }
        self.settle_standby(goes_as, without, now);
        if let Some(rollout) = &mut self.rollout {
            (rollout.leaving, rollout.ends_as) = (doomed, KeyState::Revoked);
            (rollout.step, rollout.activated) = (Step::Withdrawn, now);
            rollout.active_in = Some((without.epoch, without.counter));
        }
        Ok(())
    }

    /// What standby becomes whose rollout is interrupted for good.
    fn standby_goes_as(&self) -> KeyState {
        let back = self.under_way().is_some_and(|running| running.verb == Verb::Rollback);
        if back { KeyState::RolledBack } else { KeyState::Retired }
    }

    /// No rollout is left that would end a standby: the newest takes over where no version is in use, the others go.
    fn settle_standby(&mut self, goes_as: KeyState, without: Version, now: u64) {
        let newest = self.in_state(KeyState::Retiring).max().filter(|_| self.active().is_none());
        for version in self.versions.iter_mut().filter(|one| one.state == KeyState::Retiring) {
            if Some(version.version) == newest {
                version.set(KeyState::Active, now);
            } else {
                version.go(KeyState::Withdrawn, goes_as, (without, false), now);
            }
        }
    }

    /// Every replica has confirmed that nobody uses this version.
    pub fn confirmed(&mut self, number: u32, now: u64) {
        if let Some(version) = self.version_mut(number)
            && let Some(leaving) = version.leaving.take()
        {
            version.set(leaving.ends_as, now);
        }
    }

    /// A version in use that its provider refuses goes out of use; its secret is kept.
    pub fn refuse(&mut self, number: u32, without: Version, now: u64) {
        if let Some(version) = self.version_mut(number).filter(|version| version.state == KeyState::Active) {
            version.go(KeyState::Withdrawn, KeyState::Rejected, (without, false), now);
        }
    }

    /// The rollout has ended.
    pub fn end(&mut self, step: Step, failure: Option<String>) {
        if let Some(rollout) = &mut self.rollout {
            rollout.step = step;
            rollout.failure = failure.or(rollout.failure.take());
        }
    }

    /// A version that is not in use is erased for good.
    ///
    /// # Errors
    /// When there is no such version, or it is in use.
    pub fn destroy(&mut self, number: u32, now: u64) -> Result<(), Barred> {
        let version = self.version_mut(number).ok_or(Barred::NoVersion(number))?;
        match version.state {
            KeyState::Staged
            | KeyState::Verified
            | KeyState::Retired
            | KeyState::Rejected
            | KeyState::RolledBack => {
                version.set(KeyState::Destroyed, now);
                Ok(())
            }
            state => Err(Barred::State(number, state)),
        }
    }

    /// The version to go back to: the newest other one that was in use.
    ///
    /// # Errors
    /// When there is none, or only ones whose secrets are gone.
    pub fn before(&self) -> Result<u32, Barred> {
        if let Some(old) = self.on_trial().and_then(|(_, rollout, _)| rollout.leaving.iter().max()) {
            return Ok(*old);
        }
        let now_active = self.active().map(|active| active.version);
        let was_used = |one: &&KeyVersion| {
            Some(one.version) != now_active
                && matches!(one.state, KeyState::Retiring | KeyState::Withdrawn | KeyState::Retired)
        };
        let found = self.versions.iter().rev().find(was_used).map(|one| one.version);
        let gone = || -> Vec<u32> {
            let gone = self.versions.iter().filter(|one| one.state == KeyState::Destroyed);
            gone.map(|one| one.version).collect()
        };
        found.ok_or_else(|| match gone() {
            gone if gone.is_empty() => Barred::Nothing,
            gone => Barred::NoSecret(gone),
        })
    }

    fn may_come(&self, to: u32) -> Result<(), Barred> {
        let version = self.version(to).ok_or(Barred::NoVersion(to))?;
        match version.state {
            KeyState::Destroyed => Err(Barred::NoSecret(vec![to])),
            // On trial both sides are active, and either may be the one that is wanted.
            KeyState::Active if self.on_trial().is_some() => Ok(()),
            state @ (KeyState::Active | KeyState::Revoked) => Err(Barred::State(to, state)),
            KeyState::Staged
            | KeyState::Verified
            | KeyState::Retiring
            | KeyState::Withdrawn
            | KeyState::Retired
            | KeyState::Rejected
            | KeyState::RolledBack => Ok(()),
        }
    }
}

impl KeyVersion {
    pub(super) fn go(
        &mut self,
        state: KeyState,
        ends_as: KeyState,
        (without, cut): (Version, bool),
        now: u64,
    ) {
        self.leaving = Some(Leaving { ends_as, without: (without.epoch, without.counter), cut });
        self.set(state, now);
    }
}
