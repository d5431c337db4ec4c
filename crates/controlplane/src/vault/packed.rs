//! A vault that lies in a backup: whether its secrets can be under keys that its keyring holds. Opens no secret, and needs
//! no root key; with it the answer is exact.

use super::{FOLDER, RootKey, envelope::Envelope, keyring};
use std::collections::BTreeMap;

/// What was seen of its files.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    keyring: Option<Vec<u8>>,
    /// A secret's file by the version that it is under.
    under: BTreeMap<u32, String>,
}

// === impl Packed ===

impl Packed {
    /// A file, by its name in the vault.
    pub(crate) fn take(&mut self, name: &str, bytes: Vec<u8>) {
        if name == keyring::FILE {
            self.keyring = Some(bytes);
        } else if name.starts_with(FOLDER)
            && let Some(envelope) = Envelope::decode(&bytes)
        {
            self.under.entry(envelope.kek).or_insert_with(|| name.to_owned());
        }
    }

    /// A secret that the keyring cannot open, and the version that it is under; `None` = none is known.
    pub(crate) fn orphan(&self, root: Option<&RootKey>) -> Option<(&str, u32)> {
        let newest = || self.under.last_key_value();
        let Some(file) = &self.keyring else { return newest().map(shown) };
        if let Some(known) = root.and_then(|root| keyring::versions(file, root)) {
            return self.under.iter().find(|(version, _)| !known.contains(version)).map(shown);
        }
        // Versions only grow: one that a keyring of so few cannot hold is the newest.
        let too_many = keyring::count(file).is_some_and(|count| self.under.len() > count);
        newest().filter(|_| too_many).map(shown)
    }
}

fn shown<'a>((version, name): (&u32, &'a String)) -> (&'a str, u32) {
    (name, *version)
}
