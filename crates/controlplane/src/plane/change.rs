//! One change: proposed against the state in force, compiled, checked as a replica would check it, committed, and only then
//! published. Refused anywhere, nothing has happened.

use super::{
    Plane, lease,
    made::{self, base, differing, moved},
    unix_millis, wanted,
};
use crate::{
    compile::{Compiler, SANDBOX},
    observe,
    push::Push,
    resource::{
        Apply, Author, Change, Held, Kind, MadePair, Means, Proposal, Refusal, Sealing, Shown, State, Touch,
        Way, add_to_file, file_proposal,
    },
    store::{BATCH_LIMIT, Batch, Key, StoreError, Write},
    vault::SecretId,
};
use keyway_config::{File, Problem};
use keyway_snapshot::{Change as SnapshotChange, Secret, Version};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

/// What a change did, or would do.
#[derive(Debug)]
pub struct Outcome {
    /// The state in force after it.
    pub version: Version,
    /// What it did; empty = everything was so already.
    pub changes: Vec<Change>,
    /// What is accepted without effect.
    pub warnings: Vec<Problem>,
    /// Tokens that were made: the only time that they are seen.
    pub tokens: Vec<Shown>,
    /// The key pair that was made; likewise.
    pub pair: Option<MadePair>,
}

/// A proposal that holds: what comes into force if it is committed.
pub(super) struct Planned {
    pub(super) state: State,
    /// Absent: replicas are sent nothing new.
    pub(super) sent: Option<(SnapshotChange, Push)>,
}

// === impl Plane ===

impl Plane {
    /// Applies a file.
    ///
    /// # Errors
    /// Everything that is wrong with it; nothing has happened then.
    pub async fn apply(&self, author: &Author, apply: Apply) -> Result<Outcome, Refusal> {
        let Apply { file, prune, origin } = apply;
        let warnings = self.check(&file)?;
        let author = Author { by: Way::File, origin, ..author.clone() };
        let mut done = self.change(&author, |proposal| file_proposal(proposal, file, prune)).await?;
        done.warnings.splice(0..0, warnings);
        Ok(done)
    }

    /// What applying a file would do.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn diff(&self, apply: Apply) -> Result<Outcome, Refusal> {
        let Apply { file, prune, origin } = apply;
        let mut warnings = self.check(&file)?;
        let state = self.state.load();
        let author = Author { by: Way::File, origin, ..Author::system("diff", "") };
        let mut proposal = self.proposal(&state, &author);
        file_proposal(&mut proposal, file, prune)?;
        self.plan(&proposal)?;
        warnings.append(&mut proposal.warnings);
        let changes = proposal.changes();
        // Tokens would be made by `apply`: those of a mere question are thrown away.
        Ok(Outcome { version: state.version(), changes, warnings, tokens: Vec::new(), pair: None })
    }

    /// Makes one change, after all changes that were begun before it.
    ///
    /// # Errors
    /// Why it was refused; nothing has happened then.
    pub async fn change(
        &self,
        author: &Author,
        propose: impl FnOnce(&mut Proposal<'_>) -> Result<(), Refusal>,
    ) -> Result<Outcome, Refusal> {
        let mut one_at_a_time = self.writing.lock().await;
        self.may_write()?;
        self.take_over(&mut one_at_a_time).await?;
        let state = self.state.load_full();
        if let Some(before) = self.made_before(&state, author)? {
            return Ok(before);
        }
        let mut proposal = self.proposal(&state, author);
        propose(&mut proposal)?;
        let mut outcome = Outcome {
            version: state.version(),
            changes: proposal.changes(),
            warnings: std::mem::take(&mut proposal.warnings),
            tokens: std::mem::take(&mut proposal.tokens),
            pair: proposal.pair.take(),
        };
        if !outcome.changes.is_empty() || !proposal.secrets.is_empty() {
            let (span, began) = (self.tracer.child(&author.trace, "compile"), Instant::now());
            let mut planned = self.plan(&proposal).inspect_err(|_| span.fail("refused"))?;
            if planned.sent.is_some() {
                self.fleet.built(began.elapsed());
            }
            drop(span);
            if let Some(asked) = &author.asked {
                self.remember(&mut proposal, &mut planned, (asked, &outcome))?;
            }
            outcome.version = self.commit(proposal, planned).await?;
            tracing::info!(version = %outcome.version, author.action, author.subject, "changed");
        }
        Ok(outcome)
    }

    fn proposal<'a>(&'a self, state: &'a State, author: &Author) -> Proposal<'a> {
        let means = Means { catalog: self.catalog, vault: &self.vault, digests: &self.digests };
        Proposal::new(state, means, author, unix_millis())
    }

    /// A file by itself; what it refers to is looked at with the state that it would make.
    pub(crate) fn check(&self, file: &File) -> Result<Vec<Problem>, Refusal> {
        let mut problems = keyway_config::check(file);
        if self.sources.environment.is_none() {
            problems.extend(from_environment(file));
        }
        if problems.is_empty() { Ok(keyway_config::warnings(file)) } else { Err(Refusal::Invalid(problems)) }
    }

    /// The state that a proposal leads to, checked as a replica would.
    fn plan(&self, proposal: &Proposal<'_>) -> Result<Planned, Refusal> {
        fits(proposal)?;
        let mut next = proposal.state.clone();
        next.revision += 1;
        let secrets = |id: &SecretId, origins: &BTreeSet<String>| -> Option<Secret> {
            let sealing = proposal.secrets.get(id).map(|sealing| sealing.secret.clone());
            sealing.or_else(|| self.vault.open(id, origins).ok())
        };
        let compiler = Compiler { catalog: self.catalog, secrets: &secrets };
        let (mut touched, mut unnamed, mut sends) = (File::default(), false, false);
        let (newest, mut change) = (self.fleet.newest(), SnapshotChange::default());
        for (key, touch) in &proposal.touches {
            let before = proposal.state.held(key);
            let old = before.map_or(&[][..], |before| &before.resources);
            let Some(document) = touch.document.clone() else {
                unnamed |= Kind::of(key).is_some_and(|kind| Kind::NAMEABLE.contains(&kind));
                sends |= Kind::of(key).is_some_and(Kind::is_sent);
                differing(&newest, (old, &[]), &mut change);
                next.remove(key);
                continue;
            };
            if key.name() == SANDBOX && Kind::of(key) == Some(Kind::Provider) {
                return Err(Refusal::field(
                    "providers.sandbox",
                    "is built in; give the provider another name",
                ));
            }
            add_to_file(&mut touched, key.name(), &document.body);
            let resources = compiler.document(key.name(), &document.body)?;
            moved(key.name(), before, &document, &resources)?;
            sends |= document.body.is_settings()
                || before.map_or(!resources.is_empty(), |before| before.resources != resources);
            differing(&newest, (old, &resources), &mut change);
            next.put(key.clone(), Held { version: touch.expected + 1, document, resources });
        }
        if proposal.touches.values().any(|touch| touch.expected == 0) {
            let crowded = keyway_config::crowded(Kind::NAMEABLE.map(|kind| next.each(kind).count()));
            if !crowded.is_empty() {
                return Err(Refusal::Invalid(crowded));
            }
        }
        // Only where a name is gone may somebody else be left with it.
        let dangling = if unnamed {
            keyway_config::references(&next.export(), &File::default())
        } else {
            keyway_config::references(&touched, &next.nameable())
        };
        if !dangling.is_empty() {
            return Err(Refusal::Invalid(dangling));
        }
        if !sends {
            return Ok(Planned { state: next, sent: None });
        }
        next.published = next.revision;
        let base = base(self.catalog, &self.vault, self.fleet.cluster(), &next)?;
        differing(&newest, (&[], &base), &mut change);
        let push = made::next(&newest, &change, &next, &self.vault)?;
        Ok(Planned { state: next, sent: Some((change, push)) })
    }

    async fn commit(&self, proposal: Proposal<'_>, planned: Planned) -> Result<Version, Refusal> {
        let write = |(key, touch): (Key, Touch)| -> Result<Write, Refusal> {
            let encoded = touch.document.map(|document| document.encode()).transpose();
            let value = encoded.map_err(|_| Refusal::Internal("a document that is no JSON"))?;
            Ok(Write { key, expected: touch.expected, value })
        };
        let mut entry = proposal.entry();
        if let Some((_, push)) = planned.sent.as_ref().filter(|_| self.store.shared().is_some()) {
            entry.state = push.hash.to_string();
        }
        let writes = proposal.touches.into_iter().map(write).collect::<Result<_, _>>()?;
        let fresh: Vec<SecretId> =
            proposal.secrets.keys().filter(|id| !proposal.state.names(id)).cloned().collect();
        // A document never names a secret that is not there: in before the commit, out after it.
        let sealed = self.seal(proposal.secrets).await;
        let span = self.tracer.child(&proposal.trace, "journal");
        let committed = match sealed {
            Ok(()) => {
                let over = proposal.state.revision;
                self.store.commit_over(Batch { writes, entry }, over).await.map_err(Refusal::from)
            }
            Err(error) => Err(error),
        };
        let revision = match committed {
            Ok(revision) => revision,
            Err(error) => {
                span.fail("store");
                if !may_stand(&error) {
                    self.erase(fresh).await;
                }
                return Err(error);
            }
        };
        drop(span);
        let Planned { mut state, mut sent } = planned;
        if revision != state.revision {
            state.revision = revision;
            if let Some((change, push)) = &mut sent {
                state.published = revision;
                *push = made::next(&self.fleet.newest(), change, &state, &self.vault)?;
            }
        }
        self.fleet.set_lease(lease(&state));
        self.fleet.want(wanted(&state));
        self.state.store(Arc::new(state));
        if let Some((_, push)) = sent {
            observe::publish(&self.tracer, &self.fleet, &proposal.trace, push);
        }
        self.erase(proposal.erase).await;
        self.keys.send_modify(|count| *count += 1);
        Ok(self.version())
    }

    /// Takes secrets in. The disk is waited for on a thread that may: this one carries the fleet.
    async fn seal(&self, secrets: BTreeMap<SecretId, Sealing>) -> Result<(), Refusal> {
        if secrets.is_empty() {
            return Ok(());
        }
        // What a failed disk may have kept names secrets that a second try would write over.
        if let Some(why) = self.store.condition().read_only {
            return Err(StoreError::ReadOnly(why).into());
        }
        let vault = self.vault.clone();
        let all = move || vault.put_all(secrets.iter().map(|(id, one)| (id, &one.secret, &one.origins)));
        let done = tokio::task::spawn_blocking(all).await;
        Ok(done.map_err(|_| Refusal::Internal("a thread of the vault failed"))??)
    }

    /// Forgets secrets, on such a thread too. An error leaves a file for the next start to sweep.
    async fn erase(&self, ids: Vec<SecretId>) {
        if ids.is_empty() {
            return;
        }
        let vault = self.vault.clone();
        let all = move || {
            for id in ids {
                if let Err(error) = vault.erase(&id) {
                    tracing::error!(%id, %error, "a secret could not be erased; the next start tries again");
                }
            }
        };
        if tokio::task::spawn_blocking(all).await.is_err() {
            tracing::error!("a thread of the vault failed; the next start erases what it left");
        }
    }
}

/// Whether what was not committed may be found committed later, by the next start or whoever leads next, and needs its secrets
/// then. They sweep what is left over.
fn may_stand(error: &Refusal) -> bool {
    use StoreError::{Failed, NotLeader, ReadOnly, Unavailable};
    matches!(error, Refusal::Store(Unavailable(_) | NotLeader { .. } | Failed(_) | ReadOnly(_)))
}

/// A commit takes so many documents and no more.
fn fits(proposal: &Proposal<'_>) -> Result<(), Refusal> {
    let count = proposal.touches.len();
    if count <= BATCH_LIMIT {
        return Ok(());
    }
    let of = |kind: &Kind| proposal.touches.keys().filter(|key| key.kind() == kind.word()).count();
    let most = Kind::OF_FILE.into_iter().max_by_key(of).unwrap_or(Kind::Client);
    let section = format!("{}s", most.word());
    Err(Refusal::field(section, format!("{count} documents change at once; {BATCH_LIMIT} may")))
}

/// Sources that a process without an environment of its owner cannot have.
fn from_environment(file: &File) -> impl Iterator<Item = Problem> {
    let keys = file.providers.iter().flat_map(|(name, provider)| {
        provider.keys.iter().enumerate().map(move |(place, key)| (name, place, key))
    });
    let theirs = keys.filter(|(_, _, key)| key.rotation.as_ref().is_some_and(|one| one.source.env.is_some()));
    theirs.map(|(name, place, _)| {
        let field = format!("{}.keys[{place}].rotation.source.env", Kind::Provider.path(name));
        let reason = "this control plane takes no secrets from its environment; use `file` or `command`";
        Problem::new(field, reason)
    })
}
