//! The control plane itself: one state in force, one change at a time. What it is made of and what others ask it are here;
//! `change` makes changes, `follow` takes over those that another control plane made.

mod answers;
mod change;
mod follow;
mod log;
mod made;

pub(crate) use answers::Known;
pub use change::Outcome;

use crate::{
    compile::{Compiler, DataPlane, SANDBOX},
    fleet::Fleet,
    push::Push,
    resource::{Author, Body, Document, Held, Kind, Refusal, State},
    source::{Lookup, Sources},
    store::{Batch, Store},
    vault::{SecretId, Vault},
};
use arc_swap::ArcSwap;
use change::Planned;
use follow::Behind;
use keyway_catalog::Catalog;
use keyway_proto::snapshot::v1::Resource;
use keyway_snapshot::{DigestKey, Secret, Snapshot, Version};
use keyway_telemetry::Tracer;
use made::{base, first, lease};
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
        let (listing, shared) = follow::listed(&*store).await?;
        for (key, stored) in listing.entries {
            let document = Document::decode(&stored.value)
                .map_err(|_| Refusal::Internal("the store holds what is no document"))?;
            let resources = compiler.document(key.name(), &document.body)?;
            state.put(key, Held { version: stored.version, document, resources });
        }
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
        fleet.tell_of(Arc::clone(&store));
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

    /// No change is made while this is held.
    pub(crate) async fn still(&self) -> impl Send + use<'_> {
        self.writing.lock().await
    }

    /// A state that was not made here by a change: what it differs in is looked for.
    fn push(&self, state: &State) -> Result<Push, Refusal> {
        let base = base(self.catalog, &self.vault, self.fleet.cluster(), state)?;
        made::after(&self.fleet.newest(), &base, state, &self.vault)
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

/// Milliseconds since 1970; 0 on a clock before that.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the control plane reads the clock for people"
)]
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
