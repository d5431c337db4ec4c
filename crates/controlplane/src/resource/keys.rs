//! What a key named in a file or a call does to the key that is there. Versions only ever get more; the next issue
//! adds states between them.

use super::{KeyDocument, KeyState, KeyVersion, Made};
use crate::vault::{SecretId, Vault, shown};
use keyway_config::Key;
use keyway_snapshot::Secret;

/// What came of one key.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// A secret to take in.
    pub(super) secret: Option<(SecretId, Secret)>,
    /// A secret that is in no snapshot any more.
    pub(super) erase: Option<SecretId>,
    /// It is a secret that this key had before.
    pub(super) seen_before: bool,
}

/// A key without secret that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoSecret;

/// Puts `offered` into a provider's keys. A secret that the key ever had changes nothing; one never seen becomes the
/// active version.
pub(super) fn merge(
    keys: &mut Vec<KeyDocument>,
    provider: &str,
    offered: &Key,
    vault: &Vault,
    made: &Made,
) -> Result<Merged, NoSecret> {
    let secret = offered.secret.as_ref().map(keyway_config::Secret::expose);
    let Some(key) = keys.iter_mut().find(|key| key.name == offered.name) else {
        let secret = secret.ok_or(NoSecret)?;
        let mut key = KeyDocument {
            name: offered.name.clone(),
            made: made.clone(),
            weight: offered.weight,
            versions: Vec::new(),
        };
        let secret = add_version(&mut key, provider, secret, vault, made.at);
        keys.push(key);
        return Ok(Merged { secret: Some(secret), ..Merged::default() });
    };
    key.weight = offered.weight;
    let Some(secret) = secret else { return Ok(Merged::default()) };
    let fingerprint = vault.fingerprint(secret.as_bytes());
    if let Some(known) = key.versions.iter().find(|version| version.fingerprint == fingerprint) {
        return Ok(Merged { seen_before: known.state != KeyState::Active, ..Merged::default() });
    }
    let old = key.versions.iter_mut().find(|version| version.state == KeyState::Active);
    let erase = old.map(|old| {
        old.state = KeyState::Retired;
        SecretId { provider: provider.to_owned(), key: offered.name.clone(), version: old.version }
    });
    let secret = add_version(key, provider, secret, vault, made.at);
    Ok(Merged { secret: Some(secret), erase, seen_before: false })
}

fn add_version(
    key: &mut KeyDocument,
    provider: &str,
    secret: &str,
    vault: &Vault,
    at: u64,
) -> (SecretId, Secret) {
    let version = key.versions.last().map_or(1, |last| last.version + 1);
    key.versions.push(KeyVersion {
        version,
        state: KeyState::Active,
        fingerprint: vault.fingerprint(secret.as_bytes()),
        shown: shown(secret),
        at,
    });
    let id = SecretId { provider: provider.to_owned(), key: key.name.clone(), version };
    (id, Secret::new(secret.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Way;

    fn offer(secret: Option<&str>) -> Key {
        let secret = secret.map(|text| keyway_config::Secret::new(text.to_owned()));
        Key { name: "main".to_owned(), secret, weight: None }
    }

    fn states(keys: &[KeyDocument]) -> Vec<(u32, KeyState)> {
        keys[0].versions.iter().map(|version| (version.version, version.state)).collect()
    }

    #[test]
    fn a_secret_never_seen_is_the_next_version_and_an_old_one_never_comes_back() {
        let vault = Vault::ephemeral().unwrap();
        let made = Made { by: Way::File, origin: "f".to_owned(), at: 5 };
        let mut keys = Vec::new();
        let mut put =
            |secret| merge(&mut keys, "openai", &offer(secret), &vault, &made).map(|m| (m, keys.clone()));
        assert_eq!(put(None).unwrap_err(), NoSecret);
        let (first, keys) = put(Some("one")).unwrap();
        assert_eq!((first.secret.unwrap().0.version, states(&keys)), (1, vec![(1, KeyState::Active)]));
        for same in [Some("one"), None] {
            let (merged, keys) = put(same).unwrap();
            assert!(merged.secret.is_none() && merged.erase.is_none() && !merged.seen_before);
            assert_eq!(states(&keys), [(1, KeyState::Active)]);
        }
        let (second, keys) = put(Some("two")).unwrap();
        assert_eq!((second.secret.unwrap().0.version, second.erase.unwrap().version), (2, 1));
        assert_eq!(states(&keys), [(1, KeyState::Retired), (2, KeyState::Active)]);
        let (back, keys) = put(Some("one")).unwrap();
        assert!(back.seen_before && back.secret.is_none());
        assert_eq!(states(&keys), [(1, KeyState::Retired), (2, KeyState::Active)]);
    }
}
