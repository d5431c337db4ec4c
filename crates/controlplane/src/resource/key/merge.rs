//! What a key named in a file or a call does to the key that is there. Versions only ever get more: a secret that the
//! key ever had changes nothing, one never seen is rolled out without asking the provider.

use super::{Barred, Begin, KeyDocument, KeyState, KeyVersion, Proof, Supply, VERSION_LIMIT, Verb};
use crate::{
    resource::{Kind, Made, Refusal},
    vault::{SecretId, Vault, shown},
};
use keyway_config::Key;
use keyway_snapshot::{Secret, Version};
use std::collections::{BTreeMap, BTreeSet};

/// What merging needs to know beside the key.
pub(in crate::resource) struct Merging<'a> {
    pub(in crate::resource) provider: &'a str,
    /// Where the provider's secrets may go.
    pub(in crate::resource) origins: &'a BTreeSet<String>,
    pub(in crate::resource) vault: &'a Vault,
    pub(in crate::resource) made: &'a Made,
    /// Milliseconds since 1970.
    pub(in crate::resource) now: u64,
    /// The snapshot that this change makes.
    pub(in crate::resource) next: Version,
    /// How a new secret of an old key comes into use.
    pub(in crate::resource) begin: &'a dyn Fn(Verb) -> Begin,
}

/// What came of one key.
#[derive(Debug, Default)]
pub(in crate::resource) struct Merged {
    /// A secret to seal.
    pub(in crate::resource) secret: Option<(SecretId, Secret)>,
    /// Sealed for what does not hold any more.
    pub(in crate::resource) erase: Option<SecretId>,
    /// It is a secret that this key had before.
    pub(in crate::resource) seen_before: bool,
}

/// Why a key cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::resource) enum Unmerged {
    /// It is not there yet and has no secret.
    NoSecret,
    /// It has too many versions.
    Full,
    /// Another change is under way.
    Barred(Barred),
}

/// Puts `offered` into a provider's keys.
pub(in crate::resource) fn merge(
    keys: &mut Vec<KeyDocument>,
    offered: &Key,
    with: &Merging<'_>,
) -> Result<Merged, Unmerged> {
    let secret = offered.secret.as_ref().map(keyway_config::Secret::expose);
    let Some(key) = keys.iter_mut().find(|key| key.name == offered.name) else {
        let mut key = KeyDocument::new(&offered.name, with.made.clone(), offered.weight);
        key.charge(offered);
        let Some(secret) = secret else {
            // Its source gives it the first one.
            key.rotation.as_ref().ok_or(Unmerged::NoSecret)?;
            keys.push(key);
            return Ok(Merged::default());
        };
        let version = stage(&mut key, secret, with)?;
        if let Some(first) = key.version_mut(version) {
            first.set(KeyState::Active, with.now);
        }
        let secret = sealing(&key, version, secret, with);
        keys.push(key);
        return Ok(Merged { secret, ..Merged::default() });
    };
    key.weight = offered.weight;
    key.charge(offered);
    let Some(secret) = secret else { return Ok(Merged::default()) };
    if let Some(known) = known(key, secret, with) {
        return Ok(known);
    }
    let mut next = key.clone();
    let version = stage(&mut next, secret, with)?;
    let begin = Begin { to: Some(version), ..(with.begin)(Verb::Rotate) };
    next.begin(begin, with.now).map_err(Unmerged::Barred)?;
    if next.rollout.as_ref().is_some_and(|rollout| rollout.trial.is_none()) {
        next.activate(with.next, with.now);
    }
    *key = next;
    Ok(Merged { secret: sealing(key, version, secret, with), ..Merged::default() })
}

/// A secret that the key had before. Where it is in use and the provider has moved, entering it again allows the move.
fn known(key: &mut KeyDocument, secret: &str, with: &Merging<'_>) -> Option<Merged> {
    let fingerprint = with.vault.fingerprint(secret.as_bytes());
    let name = key.name.clone();
    let known = key.versions.iter_mut().rev().find(|version| version.fingerprint == fingerprint)?;
    // One that is on its way out does not come back by being named again.
    let seen_before = !known.state.is_served() || known.state == KeyState::Retiring;
    if !known.state.is_served() || known.origins == *with.origins {
        return Some(Merged { seen_before, ..Merged::default() });
    }
    let erase = Some(known.secret_id(with.provider, &name));
    known.seal += 1;
    known.origins.clone_from(with.origins);
    let secret = Some((known.secret_id(with.provider, &name), own(secret)));
    Some(Merged { secret, erase, seen_before })
}

fn sealing(key: &KeyDocument, version: u32, secret: &str, with: &Merging<'_>) -> Option<(SecretId, Secret)> {
    let version = key.version(version)?;
    Some((version.secret_id(with.provider, &key.name), own(secret)))
}

/// Adds a version in the state `staged`.
pub(in crate::resource) fn stage(
    key: &mut KeyDocument,
    secret: &str,
    with: &Merging<'_>,
) -> Result<u32, Unmerged> {
    if key.versions.len() >= VERSION_LIMIT {
        return Err(Unmerged::Full);
    }
    let version = key.versions.last().map_or(1, |last| last.version + 1);
    key.versions.push(KeyVersion {
        version,
        state: KeyState::Staged,
        fingerprint: with.vault.fingerprint(secret.as_bytes()),
        shown: shown(secret),
        at: with.now / 1000,
        since: with.now,
        proof: Proof::None,
        origins: with.origins.clone(),
        seal: 0,
        leaving: None,
    });
    Ok(version)
}

fn own(secret: &str) -> Secret {
    Secret::new(secret.as_bytes().to_vec())
}

impl Unmerged {
    /// As people are told; `place` is the key's place in the file.
    pub(in crate::resource) fn refusal(self, provider: &str, key: &str, place: usize) -> Refusal {
        let field = |field: &str| format!("{}.keys[{place}].{field}", Kind::Provider.path(provider));
        match self {
            Self::NoSecret => {
                Refusal::field(field("secret"), "is missing; a key that is not there yet needs one")
            }
            Self::Full => Refusal::field(field("name"), "has too many versions; give the key another name"),
            Self::Barred(barred) => Refusal::Barred { key: format!("{provider}/{key}"), barred },
        }
    }
}

impl KeyDocument {
    pub(crate) fn new(name: &str, made: Made, weight: Option<u32>) -> Self {
        Self {
            name: name.to_owned(),
            made,
            weight,
            prices: BTreeMap::new(),
            discount: None,
            quota: None,
            versions: Vec::new(),
            rollout: None,
            rotation: None,
            supply: Supply::default(),
        }
    }

    /// What it costs, which limit it shares and where its secrets come from is what was offered, and nothing else.
    fn charge(&mut self, offered: &Key) {
        if self.rotation.as_ref().map(|old| &old.source) != offered.rotation.as_ref().map(|new| &new.source) {
            // What was known is of another source.
            let (minting, made) = (self.supply.minting.take(), self.supply.made.take());
            self.supply = Supply { minting, made, ..Supply::default() };
        }
        self.rotation.clone_from(&offered.rotation);
        self.prices.clone_from(&offered.prices);
        self.discount = offered.discount;
        self.quota.clone_from(&offered.quota);
    }
}
