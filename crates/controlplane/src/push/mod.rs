//! One version of the whole state as it goes to replicas, and the rules by which a stream sends it. Frames are encoded
//! once, when the first stream asks for them, and shared by all: the whole state, or what changed since a state of
//! the recent past. Pure: the streams themselves are in `fleet`.

mod frames;
mod recent;
mod session;

pub(crate) use frames::frame;
pub use frames::{Frames, TooLarge};
pub use recent::{Base, Recent};
pub(crate) use session::lacks;
pub use session::{ANSWER_DEADLINE, Begun, Heard, Peer, Session};

use frames::Letter;
use keyway_proto::SCHEMA;
use keyway_snapshot::{Resources, Snapshot, StateHash, Version, signed};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};

/// Pasts whose frames are kept: replicas are at one or two versions, and stragglers at few.
const PASTS: usize = 16;

/// A state, ready to be sent. Frames hold secrets and are wiped when the last stream lets go.
pub struct Push {
    /// Which state.
    pub version: Version,
    /// Root over its resources.
    pub hash: StateHash,
    snapshot: Arc<Snapshot>,
    recent: Recent,
    signature: Signature,
    needs: Vec<String>,
    traceparent: String,
    whole: OnceLock<Arc<Frames>>,
    changes: Mutex<Vec<(Base, Option<Arc<Frames>>)>>,
}

/// Of a state, by the cluster's key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// Public half of the key that signed; empty = not signed.
    pub signer: Vec<u8>,
    /// Ed25519.
    pub bytes: Vec<u8>,
}

/// Signs bytes for the cluster.
pub trait Sign {
    /// The signature under these bytes.
    fn sign(&self, bytes: &[u8]) -> Signature;
}

// === impl Push ===

impl Push {
    /// A first state: of what was before, nobody knows.
    ///
    /// # Errors
    /// When a resource or the whole is over its limit.
    pub fn first(snapshot: Snapshot, sign: &dyn Sign) -> Result<Self, TooLarge> {
        frames::check(snapshot.resources().iter(), snapshot.resources())?;
        Ok(Self::of(snapshot, Recent::default(), sign))
    }

    /// A state that follows from this one.
    ///
    /// # Errors
    /// As [`Self::first`].
    pub fn next(&self, snapshot: Snapshot, sign: &dyn Sign) -> Result<Self, TooLarge> {
        let (old, new) = (self.snapshot.resources(), snapshot.resources());
        let names = old.differing(new);
        let changed = names.iter().filter_map(|one| new.get(one.kind, &one.name));
        frames::check(changed, new)?;
        let recent = self.recent.and(Base { version: self.version, hash: self.hash }, names);
        Ok(Self::of(snapshot, recent, sign))
    }

    fn of(snapshot: Snapshot, recent: Recent, sign: &dyn Sign) -> Self {
        let (version, hash) = (snapshot.version, snapshot.hash);
        let signature = sign.sign(&signed(&snapshot.settings.cluster, version, hash, SCHEMA));
        let needs = snapshot.resources().needs().into_iter().map(str::to_owned).collect();
        Self {
            version,
            hash,
            snapshot: Arc::new(snapshot),
            recent,
            signature,
            needs,
            traceparent: String::new(),
            whole: OnceLock::new(),
            changes: Mutex::default(),
        }
    }

    /// Tells replicas of which change it is, as `traceparent`; empty = not traced.
    #[must_use]
    pub fn traced(self, traceparent: String) -> Self {
        Self { traceparent, whole: OnceLock::new(), changes: Mutex::default(), ..self }
    }

    /// The state, typed.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// What a replica must be able to do to read it.
    #[must_use]
    pub fn needs(&self) -> &[String] {
        &self.needs
    }

    /// What a replica is sent that holds `base`: what changed since, or everything where that is not known or not less.
    #[must_use]
    pub fn frames(&self, base: Option<Base>) -> Arc<Frames> {
        base.and_then(|base| self.since(base)).unwrap_or_else(|| self.everything())
    }

    fn everything(&self) -> Arc<Frames> {
        let encode = || Arc::new(self.letter().whole(self.snapshot.resources()));
        Arc::clone(self.whole.get_or_init(encode))
    }

    /// Also that it is no less than everything is found out once.
    fn since(&self, base: Base) -> Option<Arc<Frames>> {
        let mut known = self.changes.lock();
        if let Some((_, frames)) = known.iter().find(|(of, _)| *of == base) {
            return frames.clone();
        }
        let resources = self.snapshot.resources();
        let names = self.recent.since(base, self.hash)?;
        let frames = self.letter().change(base, &resources.change_of(&names));
        let frames = (frames.bytes.saturating_mul(2) <= resources.bytes()).then(|| Arc::new(frames));
        if known.len() < PASTS {
            known.push((base, frames.clone()));
        }
        frames
    }

    fn letter(&self) -> Letter<'_> {
        let Self { snapshot, signature, needs, traceparent, .. } = self;
        Letter { snapshot, signature, needs, traceparent }
    }

    /// What it is made of.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        self.snapshot.resources()
    }
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Push({}, {} bytes)", self.version, self.resources().bytes())
    }
}

#[cfg(test)]
pub(crate) mod tests;
