//! The wrapping key's own rotation, piece by piece: each piece may be done again, and between any two of them every secret
//! opens with exactly one version that is in the keyring.

use super::{FOLDER, RootKey, SEALED, SecretId, Vault, VaultError, envelope::Envelope, files::Over};
use std::collections::BTreeMap;

impl Vault {
    /// The version that wraps now.
    ///
    /// # Errors
    /// Never for a keyring that was read.
    pub fn wrapping(&self) -> Result<u32, VaultError> {
        Ok(self.keyring.read().active()?.version)
    }

    /// How many secrets are under each version, by what their files say; versions without any are there too.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn wrapped(&self) -> Result<BTreeMap<u32, usize>, VaultError> {
        let mut counts: BTreeMap<u32, usize> =
            self.keyring.read().versions().map(|version| (version, 0)).collect();
        for name in self.sealed()? {
            if let Some(envelope) = self.at(&name)? {
                *counts.entry(envelope.kek).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Makes version `to` and wraps with it from now on, unless that is so already.
    ///
    /// # Errors
    /// When the keyring cannot be written; the one before then stays in force.
    pub fn wrap_with(&self, root: &RootKey, to: u32, now: u64) -> Result<(), VaultError> {
        if self.wrapping()? >= to { Ok(()) } else { self.add_kek(root, now) }
    }

    /// Names of the files of secrets, whole ones only.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn sealed(&self) -> Result<Vec<String>, VaultError> {
        Ok(self.files.list(FOLDER)?.into_iter().filter(|name| name.ends_with(SEALED)).collect())
    }

    /// Writes the secret in that file anew under the version that wraps, by one step, unless it is under it already or gone.
    /// Only while nothing is being changed: what was erased meanwhile would come back.
    ///
    /// # Errors
    /// [`VaultError::Integrity`] if it does not open; it stays as it is then.
    pub(crate) fn rewrap(&self, name: &str) -> Result<(), VaultError> {
        let Some(envelope) = self.at(name)? else { return Ok(()) };
        if envelope.kek == self.wrapping()? || envelope.id.file() != name {
            return Ok(());
        }
        let secret = self.open(&envelope.id, &envelope.origins)?;
        self.put(&envelope.id, &secret, &envelope.origins)
    }

    /// Secrets that are not under version `to`, or do not open.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub(crate) fn not_under(&self, to: u32) -> Result<Vec<SecretId>, VaultError> {
        let mut found = Vec::new();
        for name in self.sealed()? {
            let Some(envelope) = self.at(&name)? else { continue };
            if envelope.kek != to || self.open(&envelope.id, &envelope.origins).is_err() {
                found.push(envelope.id);
            }
        }
        Ok(found)
    }

    /// Takes the versions before `to` out of the keyring.
    ///
    /// # Errors
    /// [`VaultError::StillWraps`] while a secret is under one of them; nothing has changed then.
    pub fn retire_before(&self, root: &RootKey, to: u32) -> Result<(), VaultError> {
        let left: usize = self.wrapped()?.range(..to).map(|(_, count)| count).sum();
        if left > 0 {
            return Err(VaultError::StillWraps { left });
        }
        let mut keyring = self.keyring.write();
        let next = keyring.since_version(to);
        next.write(&self.files, root, Over::Anything)?;
        *keyring = next;
        Ok(())
    }

    /// Seals the keyring under another root key: from now on only that one opens it.
    ///
    /// # Errors
    /// When it cannot be written; the old root key then stays the right one.
    pub fn reroot(&self, root: &RootKey) -> Result<(), VaultError> {
        self.keyring.write().write(&self.files, root, Over::Anything)?;
        self.root.write().file = Some(root.path().to_owned());
        Ok(())
    }

    fn at(&self, name: &str) -> Result<Option<Envelope>, VaultError> {
        Ok(self.files.read(name)?.as_deref().and_then(Envelope::decode))
    }
}
