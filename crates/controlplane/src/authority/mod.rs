//! Who may connect to the fleet port: the roots of certificates, tokens with which nodes join, certificates for their keys.
//! Roots, nodes and tokens are documents; the keys of roots lie in the vault. `next` decides when a root comes and goes.

mod challenge;
mod csr;
mod enroll;
mod issue;
mod join;
mod keep;
mod next;
mod said;
mod view;

pub(crate) use csr::PublicKey;
pub(crate) use enroll::Turned;
pub(crate) use issue::{SERVER_LIFE, Server};
pub(crate) use join::{MadeJoin, NewJoin};
pub(crate) use keep::run;
pub(crate) use view::{AuthorityView, JoinView, NodeView, RootView};

use crate::{
    Plane,
    plane::unix_millis,
    resource::{AUTHORITY, Author, Body, Kind, Proposal, Refusal, Sealing, root_secret},
    store::StoreError,
};
use challenge::Challenges;
use issue::{NotIssued, Root, certificate, cross};
use next::{Step, next};
use parking_lot::{Mutex, RwLock};
use rustls::pki_types::CertificateDer;
use said::Said;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;
use webpki::EndEntityCert;

/// Seconds that a node's certificate lasts unless something else is said.
const NODE_LIFE: u64 = 86_400;

/// The leader makes the first root so soon.
const FIRST_ROOT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is set at the start.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// How long a node's certificate lasts.
    pub node_life: Duration,
    /// Where nodes reach the fleet port, `HOST:PORT`: what join tokens say.
    pub addresses: Vec<String>,
}

/// The roots in force, and what goes with them.
pub(crate) struct Authority {
    cluster: String,
    certificates: Certificates,
    trust: RwLock<Arc<Trust>>,
    challenges: Challenges,
    /// Nodes of this very process, which no document needs to remember: `keyway up`'s replicas.
    own: Mutex<BTreeMap<String, PublicKey>>,
    /// Counts changes of the roots.
    changed: watch::Sender<u64>,
    /// Of nodes that were turned away.
    said: Mutex<Said>,
}

/// The roots in force.
pub(crate) struct Trust {
    /// Every one that is trusted.
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// Each of them under the one before it, the newest first.
    crosses: Vec<CertificateDer<'static>>,
    issuing: Root,
}

// === impl Certificates ===

impl Certificates {
    /// Those that last a day, from a fleet port at these addresses.
    #[must_use]
    pub fn at(addresses: Vec<String>) -> Self {
        Self { node_life: Duration::from_secs(NODE_LIFE), addresses }
    }
}

// === impl Authority ===

impl Authority {
    /// Opens the roots that there are, and makes the first.
    ///
    /// # Errors
    /// When a key does not open, or the first root cannot be written down. Where another control plane leads, that one
    /// makes it.
    pub(crate) async fn open(plane: &Plane, certificates: Certificates) -> Result<Self, Refusal> {
        let cluster = plane.fleet().cluster().to_owned();
        let mut waited = Duration::ZERO;
        while plane.state().authority().is_none() {
            let author = Author::system("ca.make", AUTHORITY);
            match make(plane, &cluster, &author, certificates.node_life).await {
                Ok(()) => break,
                Err(Refusal::Store(StoreError::NotLeader { .. })) if waited < FIRST_ROOT => {
                    waited += LOOK_EVERY;
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(Self {
            trust: RwLock::new(Arc::new(trust(plane, &cluster)?)),
            cluster,
            certificates,
            challenges: Challenges::of(&plane.vault().peer_token()),
            own: Mutex::default(),
            changed: watch::Sender::new(0),
            said: Mutex::default(),
        })
    }

    /// What is trusted now.
    pub(crate) fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.read())
    }

    /// Wakes when roots have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A certificate for the fleet port.
    ///
    /// # Errors
    /// Without randomness.
    pub(crate) fn server(&self) -> Result<Server, Refusal> {
        let (trust, name) = (self.trust(), self.name("control-plane"));
        Ok(trust.issuing.server(&name, (&trust.crosses, &trust.roots), unix_millis() / 1000)?)
    }

    /// Brings another root into use; the one before stays trusted until no node shows a certificate under it.
    ///
    /// # Errors
    /// When a rotation is under way, or nothing can be written down.
    pub(crate) async fn rotate(&self, plane: &Plane, author: &Author) -> Result<(), Refusal> {
        make(plane, &self.cluster, author, self.certificates.node_life).await?;
        self.refresh(plane)
    }

    /// Does what is due. `true`: there may be more.
    ///
    /// # Errors
    /// When nothing can be written down.
    pub(crate) async fn step(&self, plane: &Plane) -> Result<bool, Refusal> {
        let (state, now) = (plane.state(), unix_millis() / 1000);
        let nodes: Vec<_> = state.nodes().map(|(_, node)| node).collect();
        match next(state.authority(), nodes.into_iter(), now) {
            None => return Ok(false),
            Some(Step::Make) => self.rotate(plane, &Author::system("ca.rotate", AUTHORITY)).await?,
            Some(Step::Drop(generation)) => {
                let author = Author::system("ca.drop", AUTHORITY);
                let drop = |proposal: &mut Proposal<'_>| {
                    let mut there = proposal.state.authority().cloned().unwrap_or_default();
                    there.roots.retain(|root| root.generation != generation);
                    proposal.erase.push(root_secret(generation));
                    proposal.put(Kind::Authority, AUTHORITY, Body::Authority(there))
                };
                plane.change(&author, drop).await?;
                tracing::info!(generation, "a root of certificates is trusted no longer");
                self.refresh(plane)?;
            }
        }
        Ok(true)
    }

    /// The node that this certificate names, and its key; `None` if it names none.
    pub(crate) fn node_of(&self, certificate: &CertificateDer<'_>) -> Option<(String, PublicKey)> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let prefix = self.name("node/");
        let name = certificate.valid_uri_names().find_map(|name| name.strip_prefix(&prefix))?;
        Some((name.to_owned(), PublicKey::from_spki(&certificate.subject_public_key_info())?))
    }

    /// Whether a node of that name and key has joined and was not evicted.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn welcome(&self, plane: &Plane, name: &str, key: &PublicKey) -> Result<(), Turned> {
        if self.is_own(name, key) {
            return Ok(());
        }
        let state = plane.state();
        let node = state.node(name).ok_or(Turned::Unknown)?;
        match () {
            () if node.evicted => Err(Turned::Evicted),
            () if enroll::key_of(node) != Some(*key) => Err(Turned::Unknown),
            () => Ok(()),
        }
    }

    /// Says in the log why a node was turned away; of a herd a few times.
    pub(crate) fn tell(&self, node: &str, turned: &Turned) {
        if let Some(unsaid) = self.said.lock().more(std::time::Instant::now()) {
            let node = node.escape_debug().to_string();
            tracing::warn!(node, %turned, unsaid, "no certificate was given, or one was not taken");
        }
    }

    /// Whether that node is of this very process.
    pub(crate) fn is_own(&self, name: &str, key: &PublicKey) -> bool {
        self.own.lock().get(name) == Some(key)
    }

    /// How every control plane of this cluster is named in its certificate.
    pub(crate) fn control_plane_name(&self) -> String {
        self.name("control-plane")
    }

    fn name(&self, of: &str) -> String {
        format!("spiffe://{}/{of}", self.cluster.to_lowercase())
    }

    /// Takes up roots that another control plane brought into use or dropped.
    ///
    /// # Errors
    /// When a key does not open.
    fn follow(&self, plane: &Plane) -> Result<(), Refusal> {
        let state = plane.state();
        let roots = state.authority().map(|all| all.roots.as_slice()).unwrap_or_default();
        let same = roots.iter().filter_map(certificate).eq(self.trust().roots.iter().cloned());
        if same { Ok(()) } else { self.refresh(plane) }
    }

    /// Takes up what the documents say.
    fn refresh(&self, plane: &Plane) -> Result<(), Refusal> {
        *self.trust.write() = Arc::new(trust(plane, &self.cluster)?);
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.cluster)
    }
}

fn trust(plane: &Plane, cluster: &str) -> Result<Trust, Refusal> {
    let state = plane.state();
    let roots = state.authority().map(|all| all.roots.as_slice()).unwrap_or_default();
    let newest = roots.last().ok_or(Refusal::Internal("there is no root of certificates"))?;
    let issuing = open(plane, cluster, newest)?;
    let crosses = roots.iter().rev().filter_map(cross).collect();
    Ok(Trust { roots: roots.iter().filter_map(certificate).collect(), crosses, issuing })
}

fn open(plane: &Plane, cluster: &str, document: &crate::resource::RootDocument) -> Result<Root, Refusal> {
    let key = plane.vault().open(&document.secret_id(), &BTreeSet::new())?;
    Ok(Root::open(cluster, document, &key)?)
}

/// A root that issues from the commit on.
async fn make(plane: &Plane, cluster: &str, author: &Author, node_life: Duration) -> Result<(), Refusal> {
    let now = unix_millis() / 1000;
    let make = |proposal: &mut Proposal<'_>| {
        let mut there = proposal.state.authority().cloned().unwrap_or_default();
        if there.roots.len() > 1 {
            return Err(Refusal::field("ca", UNDER_WAY));
        }
        let before = there.roots.last().map(|document| open(plane, cluster, document)).transpose()?;
        let generation = before.as_ref().map_or(1, |root| root.generation + 1);
        let (document, key) = Root::make(cluster, generation, before.as_ref(), now)?;
        if let Some(old) = there.roots.last_mut() {
            old.drop_at = Some(now + 2 * node_life.as_secs());
        }
        there.roots.push(document);
        proposal.secrets.insert(root_secret(generation), Sealing { secret: key, origins: BTreeSet::new() });
        proposal.put(Kind::Authority, AUTHORITY, Body::Authority(there))
    };
    plane.change(author, make).await?;
    tracing::info!("a new root of certificates issues from now on");
    Ok(())
}

const UNDER_WAY: &str = "the root before is still trusted by some node; `keyway ca show` says until when";

impl From<NotIssued> for Refusal {
    fn from(_: NotIssued) -> Self {
        Self::Internal("a certificate could not be made")
    }
}
