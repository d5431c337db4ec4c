//! The control plane itself: one state in force, one change at a time. A change is proposed, compiled, checked as a
//! replica would check it, committed, and only then published. Refused anywhere, nothing has happened.

mod answers;
mod follow;
mod made;

use crate::{
    attest::{self, Attestation},
    compile::{Compiler, DataPlane, SANDBOX},
    fleet::Fleet,
    observe,
    push::Push,
    resource::{
        Apply, Author, Body, Change, Document, Held, Kind, MadePair, Means, Proposal, Refusal, Shown, State,
        Touch, Way, add_to_file, file_proposal,
    },
    source::{Lookup, Sources},
    store::{Batch, Entry, Key, Revision, Store, StoreError, Write},
    vault::{SecretId, Vault},
};
pub(crate) use answers::Known;
use arc_swap::ArcSwap;
use follow::Behind;
use keyway_catalog::Catalog;
use keyway_config::{File, Problem};
use keyway_proto::snapshot::v1::Resource;
use keyway_snapshot::{Change as SnapshotChange, DigestKey, Secret, Snapshot, Version};
use keyway_telemetry::Tracer;
use made::{base, differing, first, lease, moved};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicI64},
    time::{Instant, SystemTime},
};
use tokio::sync::{Mutex, watch};

/// The control plane.
#[derive(Debug)]
pub struct Plane {
    catalog: &'static Catalog,
    store: Arc<dyn Store>,
    vault: Vault,
    digests: DigestKey,
    fleet: Arc<Fleet>,
    state: ArcSwap<State>,
    writing: Mutex<Behind>,
    /// The term of leadership that this plane has begun; 0 = none. Only where others write too.
    led: AtomicI64,
    /// Counts changes of keys: rotation looks again.
    keys: watch::Sender<u64>,
    tracer: Tracer,
    sources: Sources,
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
    /// The key pair that was made; likewise.
    pub pair: Option<MadePair>,
}

/// A proposal that holds: what comes into force if it is committed.
struct Planned {
    state: State,
    /// Absent: replicas are sent nothing new.
    sent: Option<(SnapshotChange, Push)>,
}

// === impl Plane ===

impl Plane {
    /// Opens what the store holds and makes the first state of it.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what this build cannot compile.
    pub async fn open(store: Arc<dyn Store>, vault: Vault) -> Result<Self, Refusal> {
        let (catalog, identity) = (Catalog::embedded(), store.identity());
        let open = |id: &SecretId, origins: &BTreeSet<String>| vault.open(id, origins);
        let secrets = |id: &SecretId, origins: &BTreeSet<String>| -> Option<Secret> {
            let opened = open(id, origins);
            opened.inspect_err(|error| tracing::error!(%id, %error, "a secret is withheld")).ok()
        };
        let compiler = Compiler { catalog, secrets: &secrets };
        let mut state = State::new(identity.epoch);
        let behind = Behind::new(store.watch());
        let listing = store.list("").await?;
        for (key, stored) in listing.entries {
            let document = Document::decode(&stored.value)
                .map_err(|_| Refusal::Internal("the store holds what is no document"))?;
            let resources = compiler.document(key.name(), &document.body)?;
            state.put(key, Held { version: stored.version, document, resources });
        }
        let shared = store.shared().map(|shared| shared.read(&[]));
        if let Some(read) = &shared {
            // Whoever leads made the version; this one follows, or makes its own when it begins to lead.
            state.revision = listing.revision;
            state.published = read.published.as_ref().map_or(0, |(at, _)| *at);
        } else {
            let entry = Author::system("start", "").entry(unix_millis());
            // A new program may compile the same documents to something else: no version ever stands for two states.
            state.revision = match store.commit(Batch { writes: Vec::new(), entry }).await {
                Ok(revision) => revision,
                Err(error) => {
                    tracing::error!(%error, "the store takes no writes; what it holds is served");
                    listing.revision
                }
            };
            state.published = state.revision;
        }
        let digests = DigestKey::new(*vault.digest_key());
        let base = base(catalog, &vault, &identity.cluster, &state)?;
        let first = Arc::new(first(&base, &state, &vault)?);
        let as_published = shared.as_ref().is_none_or(|read| {
            read.published.as_ref().is_some_and(|(_, hash)| *hash == first.hash.to_string())
        });
        let fleet = Arc::new(Fleet::new(identity.cluster, first));
        fleet.set_lease(lease(&state));
        fleet.withhold(!as_published);
        fleet.want(wanted(&state));
        for (name, held) in state.each(Kind::Replica) {
            if let Body::Replica(replica) = &held.document.body {
                fleet.remember(name, replica);
            }
        }
        let plane = Self {
            catalog,
            store,
            vault,
            digests,
            fleet,
            state: ArcSwap::from_pointee(state),
            writing: Mutex::new(behind),
            led: AtomicI64::new(0),
            keys: watch::Sender::new(0),
            tracer: Tracer::default(),
            sources: Sources::default(),
            started: Instant::now(),
        };
        if shared.is_none() {
            plane.sweep();
        }
        Ok(plane)
    }

    /// Its changes are traced with it from now on.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Keys may have their secrets from variables of the environment.
    #[must_use]
    pub fn with_environment(self, environment: Option<Lookup>) -> Self {
        Self { sources: Sources { environment }, ..self }
    }

    /// What keys' sources are asked with.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Makes spans.
    #[must_use]
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// The replicas.
    #[must_use]
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// Where documents and the audit log are.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Where secrets are.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Providers and models that this build knows.
    #[must_use]
    pub fn catalog(&self) -> &'static Catalog {
        self.catalog
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

    /// The version that replicas are sent.
    #[must_use]
    pub fn version(&self) -> Version {
        self.state.load().version()
    }

    /// What the built-in provider compiles to.
    pub(crate) fn sandbox(&self) -> Option<Resource> {
        let compiler = Compiler { catalog: self.catalog, secrets: &|_, _| None };
        let plane = DataPlane { digest_key: &[0; 32], cluster: "", lease: 0, refuse_when_spool_full: false };
        let base = compiler.base(&plane).ok()?;
        base.into_iter().find(|resource| resource.name == SANDBOX)
    }

    /// Since when it runs.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Wakes when replicas are to be sent another version.
    pub(crate) fn version_changes(&self) -> watch::Receiver<u64> {
        self.fleet.changes()
    }

    /// Wakes when some key changed.
    pub(crate) fn key_changes(&self) -> watch::Receiver<u64> {
        self.keys.subscribe()
    }

    /// A secret in clear, for a replica that tries it.
    pub(crate) fn secret_of(
        &self,
        (provider, key): &(String, String),
        version: u32,
    ) -> Result<Secret, Refusal> {
        let state = self.state.load();
        let keys = state.provider(provider).map(|(_, keys)| keys).unwrap_or_default();
        let found = keys.iter().find(|one| one.name == *key).and_then(|key| key.version(version));
        let found = found.ok_or(Refusal::Internal("a key version that is not there"))?;
        Ok(self.vault.open(&found.secret_id(provider, key), &found.origins)?)
    }

    /// The typed state in force, as a replica holds it.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(self.fleet.newest().snapshot())
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
            let span = self.tracer.child(&author.trace, "compile");
            let mut planned = self.plan(&proposal).inspect_err(|_| span.fail("refused"))?;
            drop(span);
            if let Some(asked) = &author.asked {
                self.remember(&mut proposal, &mut planned, (asked, &outcome))?;
            }
            outcome.version = self.commit(proposal, planned).await?;
            tracing::info!(version = %outcome.version, author.action, author.subject, "changed");
        }
        Ok(outcome)
    }

    /// Writes a line into the audit log that goes with no change.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn note(&self, author: &Author) -> Result<(), Refusal> {
        self.write_down(|| Ok(author.entry(unix_millis()))).await.map(drop)
    }

    /// Signs how far the audit log is, in the log itself; where it says so, and what.
    pub(crate) async fn attest(&self, actor: &str) -> Result<(Revision, Attestation), Refusal> {
        let author = Author { actor: actor.to_owned(), ..Author::system(attest::ACTION, "") };
        let mut said = None;
        let entry = || {
            let whose = (self.fleet.cluster(), self.store.identity().epoch);
            let attestation = Attestation::new(&self.vault, whose, self.store.head())?;
            let detail = serde_json::to_value(&attestation);
            let detail = detail.map_err(|_| Refusal::Internal("a statement that is no JSON"))?;
            said = Some(attestation);
            Ok(Entry { detail, ..author.entry(unix_millis()) })
        };
        let revision = self.write_down(entry).await?;
        let said = said.ok_or(Refusal::Internal("nothing was signed"))?;
        // Whoever keeps what is logged elsewhere can tell later that the end of the log was cut off.
        tracing::info!(
            revision,
            evidence = said.evidence,
            signature = said.signature,
            "the audit log was signed"
        );
        Ok((revision, said))
    }

    async fn write_down(&self, entry: impl FnOnce() -> Result<Entry, Refusal>) -> Result<Revision, Refusal> {
        let mut one_at_a_time = self.writing.lock().await;
        self.may_write()?;
        self.take_over(&mut one_at_a_time).await?;
        let mut state = State::clone(&self.state.load());
        state.revision = self.store.commit(Batch { writes: Vec::new(), entry: entry()? }).await?;
        let revision = state.revision;
        self.state.store(Arc::new(state));
        Ok(revision)
    }

    /// No change is made while this is held.
    pub(crate) async fn still(&self) -> impl Send + use<'_> {
        self.writing.lock().await
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
        let mut next = proposal.state.clone();
        next.revision += 1;
        let secrets = |id: &SecretId, origins: &BTreeSet<String>| -> Option<Secret> {
            let sealing = proposal.secrets.get(id).map(|sealing| sealing.secret.clone());
            sealing.or_else(|| self.vault.open(id, origins).ok())
        };
        let compiler = Compiler { catalog: self.catalog, secrets: &secrets };
        let (mut touched, mut deletes, mut sends) = (File::default(), false, false);
        let (newest, mut change) = (self.fleet.newest(), SnapshotChange::default());
        for (key, touch) in &proposal.touches {
            let before = proposal.state.held(key);
            let old = before.map_or(&[][..], |before| &before.resources);
            let Some(document) = touch.document.clone() else {
                deletes = true;
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
        let dangling = if deletes {
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

    /// A state that was not made here by a change: what it differs in is looked for.
    fn push(&self, state: &State) -> Result<Push, Refusal> {
        let base = base(self.catalog, &self.vault, self.fleet.cluster(), state)?;
        made::after(&self.fleet.newest(), &base, state, &self.vault)
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
        let fresh: Vec<&SecretId> = proposal.secrets.keys().filter(|id| !proposal.state.names(id)).collect();
        // A document never names a secret that is not there: in before the commit, out after it.
        let sealed =
            proposal.secrets.iter().try_for_each(|(id, one)| self.vault.put(id, &one.secret, &one.origins));
        let span = self.tracer.child(&proposal.trace, "journal");
        let committed = match sealed {
            Ok(()) => self.store.commit(Batch { writes, entry }).await.map_err(Refusal::from),
            Err(error) => Err(error.into()),
        };
        let revision = match committed {
            Ok(revision) => revision,
            Err(error) => {
                span.fail("store");
                // What may have been committed may need its secrets; the next to lead sweeps.
                if !matches!(error, Refusal::Store(StoreError::Unavailable(_) | StoreError::NotLeader { .. }))
                {
                    fresh.into_iter().for_each(|id| self.erase(id));
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
        proposal.erase.iter().for_each(|id| self.erase(id));
        self.keys.send_modify(|count| *count += 1);
        Ok(self.version())
    }

    /// An error leaves the file for the next start to sweep.
    fn erase(&self, id: &SecretId) {
        if let Err(error) = self.vault.erase(id) {
            tracing::error!(%id, %error, "a secret could not be erased; the next start tries again");
        }
    }

    /// Erases what an interrupted change left behind.
    fn sweep(&self) {
        let state = self.state.load();
        if let Err(error) = self.vault.sweep(&state.secrets().collect()) {
            tracing::error!(%error, "secrets that no key names could not be erased");
        }
    }
}

/// How many replicas an operator wants on which host.
fn wanted(state: &State) -> BTreeMap<String, u32> {
    let of = |(name, held): (&str, &Arc<Held>)| match &held.document.body {
        Body::Host(host) => Some((name.to_owned(), host.replicas)),
        _ => None,
    };
    state.each(Kind::Host).filter_map(of).collect()
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

/// Milliseconds since 1970; 0 on a clock before that.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the control plane reads the clock for people"
)]
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
