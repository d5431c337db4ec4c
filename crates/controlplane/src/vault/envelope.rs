//! One secret as it lies on disk: encrypted with a data key of its own, which is wrapped by a key of the keyring.
//! Both are bound to everything that says whose the secret is and where it may be sent; what a file says of itself
//! is believed only as far as the cipher confirms it.

use super::{
    SecretId, Unfit, VaultError,
    fields::{Fields, Reader},
    files::FILE_LIMIT,
    key::{Cipher, Key, Use},
    keyring::{Kek, Keyring},
};
use keyway_snapshot::Secret;
use std::collections::BTreeSet;

/// First field of a file, and of what is authenticated.
const FORMAT: &[u8] = b"keyway secret 1";
/// Addresses that one secret may be sent to.
const ORIGINS_LIMIT: usize = 1024;
/// Whose all secrets are, as long as there is one tenant.
const TENANT: &str = "";

/// Addresses, as `https://host:port`.
pub(super) type Origins = BTreeSet<String>;

/// A file, taken apart.
#[derive(Debug)]
pub(super) struct Envelope {
    /// Whose it says that it is.
    pub(super) id: SecretId,
    /// For which addresses it says that it is.
    pub(super) origins: Origins,
    /// The version that it says it is under.
    pub(super) kek: u32,
    wrapped: Cipher,
    sealed: Cipher,
}

/// What a cipher text is bound to.
#[derive(Debug, Clone, Copy)]
struct Bound<'a> {
    cluster: &'a str,
    id: &'a SecretId,
    origins: &'a Origins,
    kek: u32,
}

// === impl Envelope ===

impl Envelope {
    /// Encrypts a secret with a data key that is used this once.
    pub(super) fn seal(
        cluster: &str,
        kek: &Kek,
        id: &SecretId,
        origins: &Origins,
        secret: &Secret,
    ) -> Result<Self, VaultError> {
        let bound = Bound { cluster, id, origins, kek: kek.version };
        let data_key = Key::random()?;
        let sealed = data_key.seal(Use::Once, &bound.aad("secret"), secret.expose())?;
        let wrapped = kek.key.seal(Use::Often, &bound.aad("data key"), data_key.expose())?;
        kek.count();
        Ok(Self { id: id.clone(), origins: origins.clone(), kek: kek.version, wrapped, sealed })
    }

    /// The secret, if this is the file of that id, for exactly those addresses.
    pub(super) fn open(&self, keyring: &Keyring, id: &SecretId, origins: &Origins) -> Result<Secret, Unfit> {
        if self.id != *id {
            return Err(Unfit::OtherId);
        }
        if self.origins != *origins {
            return Err(Unfit::OtherOrigins);
        }
        let kek = keyring.kek(self.kek).ok_or(Unfit::UnknownKek)?;
        let bound = Bound { cluster: &keyring.cluster, id, origins, kek: self.kek };
        let data_key = kek.key.open(Use::Often, &bound.aad("data key"), &self.wrapped);
        let data_key = data_key.and_then(|key| Key::from_slice(&key)).ok_or(Unfit::Altered)?;
        let secret = data_key.open(Use::Once, &bound.aad("secret"), &self.sealed);
        secret.map(|mut bytes| Secret::new(std::mem::take(&mut *bytes))).ok_or(Unfit::Altered)
    }

    /// As it lies on disk.
    pub(super) fn encode(&self) -> Result<Vec<u8>, VaultError> {
        let mut file = Fields::with_room(0);
        file.put(FORMAT).put(self.id.provider.as_bytes()).put(self.id.key.as_bytes());
        file.number(self.id.version.into()).number(self.id.seal.into()).number(self.kek.into());
        file.all(self.origins.iter().map(String::as_str));
        for part in [&self.wrapped, &self.sealed] {
            file.put(&part.nonce).put(&part.text);
        }
        let fits = file.bytes().len() <= FILE_LIMIT && self.origins.len() <= ORIGINS_LIMIT;
        if fits {
            Ok(file.bytes().to_vec())
        } else {
            Err(VaultError::TooLarge { id: self.id.clone(), limit: FILE_LIMIT })
        }
    }

    /// Takes a file apart; `None` if it is none of ours.
    pub(super) fn decode(file: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(file);
        (reader.take()? == FORMAT).then_some(())?;
        let (provider, key) = (reader.text()?, reader.text()?);
        let id = SecretId { provider, key, version: reader.version()?, seal: reader.version()? };
        let kek = reader.version()?;
        let count = usize::try_from(reader.number()?).ok().filter(|count| *count <= ORIGINS_LIMIT)?;
        let origins = (0..count).map(|_| reader.text()).collect::<Option<_>>()?;
        let wrapped = cipher(&mut reader)?;
        let sealed = cipher(&mut reader)?;
        reader.end()?;
        Some(Self { id, origins, kek, wrapped, sealed })
    }
}

fn cipher(reader: &mut Reader<'_>) -> Option<Cipher> {
    Some(Cipher { nonce: *reader.exact()?, text: reader.take()?.to_vec() })
}

// === impl Bound ===

impl Bound<'_> {
    /// Changing anything in here changes what every file of every vault is bound to: that is a new format.
    fn aad(&self, purpose: &str) -> Vec<u8> {
        let mut aad = Fields::with_room(0);
        aad.put(FORMAT).put(purpose.as_bytes()).put(self.cluster.as_bytes()).put(TENANT.as_bytes());
        aad.put(self.id.provider.as_bytes()).put(self.id.key.as_bytes());
        aad.number(self.id.version.into()).number(self.id.seal.into()).number(self.kek.into());
        aad.all(self.origins.iter().map(String::as_str));
        aad.bytes().to_vec()
    }
}
