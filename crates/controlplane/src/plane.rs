//! The control plane itself: one state in force, one change at a time. A change is proposed, compiled, checked as a
//! replica would check it, committed, and only then published. Refused anywhere, nothing has happened.

use crate::{
    compile::{Compiler, SANDBOX},
    fleet::Fleet,
    push::Push,
    resource::{
        Apply, Author, Change, Held, Kind, Proposal, Refusal, Shown, State, Way, add_to_file, file_proposal,
    },
    store::{Batch, Key, Store, Write},
    token::Token,
    vault::{SecretId, Vault},
};
use arc_swap::ArcSwap;
use keyway_catalog::Catalog;
use keyway_config::{File, Problem};
use keyway_proto::snapshot::v1::Resource;
use keyway_snapshot::{DigestKey, Secret, Snapshot, Version};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};
use tokio::sync::Mutex;

/// Rises when a backup is restored.
const EPOCH: u64 = 1;

/// The control plane.
#[derive(Debug)]
pub struct Plane {
    catalog: &'static Catalog,
    store: Arc<dyn Store>,
    vault: Vault,
    digests: DigestKey,
    fleet: Arc<Fleet>,
    /// Settings and sandbox.
    base: Vec<Resource>,
    state: ArcSwap<State>,
    writing: Mutex<()>,
    started: Instant,
}

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
}

/// A proposal that holds: what comes into force if it is committed.
struct Planned {
    state: State,
    push: Push,
}

// === impl Plane ===

impl Plane {
    /// Opens what the store holds and makes the first state of it.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what this build cannot compile.
    pub async fn open(store: Arc<dyn Store>, fleet_token: Token) -> Result<Self, Refusal> {
        let (mut digest_key, mut fingerprint_key) = ([0; 32], [0; 32]);
        for key in [&mut digest_key, &mut fingerprint_key] {
            getrandom::fill(key).map_err(|_| Refusal::Internal("the system gives no randomness"))?;
        }
        let catalog = Catalog::embedded();
        let vault = Vault::new(fingerprint_key);
        let compiler = Compiler { catalog, secrets: &|id| vault.open(id) };
        let base = compiler.base(&digest_key)?;
        let mut state = State::default();
        for (key, stored) in store.list("").await?.entries {
            let document = crate::resource::Document::decode(&stored.value)
                .map_err(|_| Refusal::Internal("the store holds what is no document"))?;
            let resources = compiler.document(key.name(), &document.body)?;
            state.put(key, Held { version: stored.version, document, resources });
        }
        let entry = Author::system("start", "").entry(unix_millis());
        state.revision = store.commit(Batch { writes: Vec::new(), entry }).await?;
        let first = Arc::new(push(&base, &state)?);
        Ok(Self {
            catalog,
            store,
            vault,
            digests: DigestKey::new(digest_key),
            fleet: Arc::new(Fleet::new(fleet_token, first)),
            base,
            state: ArcSwap::from_pointee(state),
            writing: Mutex::new(()),
            started: Instant::now(),
        })
    }

    /// The replicas.
    #[must_use]
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// Providers and models that this build knows.
    #[must_use]
    pub fn catalog(&self) -> &'static Catalog {
        self.catalog
    }

    /// Where documents and the audit log lie.
    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// What is kept of a token, hex.
    pub(crate) fn digest(&self, token: &str) -> String {
        crate::resource::digest(&self.digests, token)
    }

    /// What is in force.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// The version in force.
    #[must_use]
    pub fn version(&self) -> Version {
        version(&self.state.load())
    }

    /// What the built-in provider compiles to.
    pub(crate) fn sandbox(&self) -> Option<&Resource> {
        self.base.iter().find(|resource| resource.name == SANDBOX)
    }

    /// Since when it runs.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The typed state in force, as a replica holds it.
    ///
    /// # Errors
    /// Never for a state that was committed.
    pub fn snapshot(&self) -> Result<Snapshot, Refusal> {
        let state = self.state.load();
        Ok(Snapshot::build(version(&state), &resources(&self.base, &state))?)
    }

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
        let mut proposal =
            self.proposal(&state, &Author { by: Way::File, origin, ..Author::system("diff", "") });
        file_proposal(&mut proposal, file, prune)?;
        self.plan(&proposal)?;
        warnings.append(&mut proposal.warnings);
        let changes = proposal.changes();
        // Tokens would be made by `apply`: those of a mere question are thrown away.
        Ok(Outcome { version: version(&state), changes, warnings, tokens: Vec::new() })
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
        let _one_at_a_time = self.writing.lock().await;
        let state = self.state.load_full();
        let mut proposal = self.proposal(&state, author);
        propose(&mut proposal)?;
        let mut outcome = Outcome {
            version: version(&state),
            changes: proposal.changes(),
            warnings: std::mem::take(&mut proposal.warnings),
            tokens: std::mem::take(&mut proposal.tokens),
        };
        if !outcome.changes.is_empty() {
            let planned = self.plan(&proposal)?;
            outcome.version = self.commit(proposal, planned).await?;
            tracing::info!(version = %outcome.version, origin = author.origin, changes = outcome.changes.len(), "changed");
        }
        Ok(outcome)
    }

    fn proposal<'a>(&'a self, state: &'a State, author: &Author) -> Proposal<'a> {
        Proposal::new(state, &self.vault, &self.digests, author, unix_millis())
    }

    /// A file by itself; what it refers to is looked at with the state that it would make.
    pub(crate) fn check(&self, file: &File) -> Result<Vec<Problem>, Refusal> {
        let problems = keyway_config::check(file);
        if problems.is_empty() { Ok(keyway_config::warnings(file)) } else { Err(Refusal::Invalid(problems)) }
    }

    /// The state that a proposal leads to, checked as a replica would.
    fn plan(&self, proposal: &Proposal<'_>) -> Result<Planned, Refusal> {
        let mut next = proposal.state.clone();
        next.revision += 1;
        let secrets = |id: &SecretId| -> Option<Secret> {
            proposal.secrets.get(id).cloned().or_else(|| self.vault.open(id))
        };
        let compiler = Compiler { catalog: self.catalog, secrets: &secrets };
        let mut touched = File::default();
        let mut deletes = false;
        for (key, touch) in &proposal.touches {
            let Some(document) = touch.document.clone() else {
                deletes = true;
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
            next.put(key.clone(), Held { version: touch.expected + 1, document, resources });
        }
        let dangling = if deletes {
            keyway_config::references(&next.export(), &File::default())
        } else {
            keyway_config::references(&touched, &next.nameable())
        };
        if !dangling.is_empty() {
            return Err(Refusal::Invalid(dangling));
        }
        let push = push(&self.base, &next)?;
        Ok(Planned { state: next, push })
    }

    async fn commit(&self, proposal: Proposal<'_>, planned: Planned) -> Result<Version, Refusal> {
        let write = |(key, touch): (Key, crate::resource::Touch)| -> Result<Write, Refusal> {
            let encoded = touch.document.map(|document| document.encode()).transpose();
            let value = encoded.map_err(|_| Refusal::Internal("a document that is no JSON"))?;
            Ok(Write { key, expected: touch.expected, value })
        };
        let entry = proposal.entry();
        let writes = proposal.touches.into_iter().map(write).collect::<Result<_, _>>()?;
        let taken_in: Vec<SecretId> = proposal.secrets.keys().cloned().collect();
        // A document never names a secret that is not there: in before the commit, out after it.
        proposal.secrets.into_iter().for_each(|(id, secret)| self.vault.put(id, secret));
        let revision = match self.store.commit(Batch { writes, entry }).await {
            Ok(revision) => revision,
            Err(error) => {
                taken_in.iter().for_each(|id| self.vault.erase(id));
                return Err(error.into());
            }
        };
        let Planned { mut state, mut push } = planned;
        if revision != state.revision {
            state.revision = revision;
            push = self::push(&self.base, &state)?;
        }
        self.publish(state, push);
        proposal.erase.iter().for_each(|id| self.vault.erase(id));
        Ok(self.version())
    }

    fn publish(&self, state: State, push: Push) {
        self.state.store(Arc::new(state));
        self.fleet.publish(Arc::new(push));
    }
}

fn version(state: &State) -> Version {
    Version { epoch: EPOCH, counter: state.revision }
}

fn resources(base: &[Resource], state: &State) -> Vec<Resource> {
    base.iter().chain(state.resources()).cloned().collect()
}

/// Checks a state as a replica would, and encodes it.
fn push(base: &[Resource], state: &State) -> Result<Push, Refusal> {
    let resources = resources(base, state);
    let snapshot = Snapshot::build(version(state), &resources)?;
    Ok(Push::encode(snapshot.version, snapshot.hash, &resources)?)
}

/// Milliseconds since 1970; 0 on a clock before that.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the control plane reads the clock for people"
)]
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
