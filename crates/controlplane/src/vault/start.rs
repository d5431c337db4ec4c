//! What a start finds, and what it may do about it. A new key is never made over data: where something is missing,
//! the vault stays sealed and says what.

use super::{Place, RootKey, Sealed, Sources, Vault, VaultError, files::Files, keyring};

/// The vault, or why there is none.
#[derive(Debug)]
pub enum Opened {
    /// It was there.
    Ready(Vault),
    /// It was made: there was nothing before.
    Fresh(Vault),
    /// It stays shut until somebody has done what the reason says. Nothing was written.
    Sealed(VaultError),
}

/// What lies there.
#[derive(Debug, Clone, Copy)]
struct There {
    keyring: bool,
    root_key: bool,
    /// In the store, or sealed secrets.
    data: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Open,
    MakeKeyring,
    MakeBoth,
    SealNoRootKey,
    SealNoKeyring,
}

/// Opens the vault in the data directory `sources.home`, or makes it where neither it nor data was ever there.
/// `has_data`: the store holds anything, or ever did. `now`: milliseconds since 1970.
///
/// # Errors
/// Only from making a new one: no space, no rights, no randomness.
pub fn start(sources: &Sources, has_data: bool, cluster: &str, now: u64) -> Result<Opened, VaultError> {
    start_in(Vault::files(&sources.home), sources, has_data, cluster, now)
}

/// The same where sealed files lie with a store that several control planes share. Of two that make the first keyring one
/// does; the other one finds it there.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_shared(
    place: impl Fn() -> Box<dyn Place>,
    sources: &Sources,
    has_data: bool,
    cluster: &str,
    now: u64,
) -> Result<Opened, VaultError> {
    match start_in(Files::Shared(place()), sources, has_data, cluster, now) {
        Err(VaultError::Exists { .. }) => start_in(Files::Shared(place()), sources, has_data, cluster, now),
        other => other,
    }
}

fn start_in(
    files: Files,
    sources: &Sources,
    has_data: bool,
    cluster: &str,
    now: u64,
) -> Result<Opened, VaultError> {
    // What cannot be read is no reason to stop: replicas serve on, and the operator reads why.
    let found = RootKey::find(sources).and_then(|root| Ok((there(&files, root.is_some(), has_data)?, root)));
    let (there, root) = match found {
        Ok(found) => found,
        Err(error) => return Ok(Opened::Sealed(error)),
    };
    let keyring = files.path(keyring::FILE);
    let fresh = |vault: Vault| Opened::Fresh(vault.rooted(sources));
    match (decide(there), root) {
        (Step::Open, Some(root)) => {
            let vault = Vault::unlock_in(files, &root, cluster);
            Ok(vault.map_or_else(Opened::Sealed, |vault| Opened::Ready(vault.rooted(sources))))
        }
        (Step::MakeKeyring, Some(root)) => Vault::create_in(files, &root, cluster, now).map(fresh),
        (Step::MakeBoth, _) => {
            let root = RootKey::make(&sources.to_make())?;
            Vault::create_in(files, &root, cluster, now).map(fresh)
        }
        (Step::SealNoKeyring, _) => Ok(Opened::Sealed(Sealed::NoKeyring { path: keyring }.into())),
        (Step::SealNoRootKey | Step::Open | Step::MakeKeyring, _) => {
            Ok(Opened::Sealed(Sealed::NoRootKey { looked: sources.places() }.into()))
        }
    }
}

fn there(files: &Files, root_key: bool, has_data: bool) -> Result<There, VaultError> {
    let keyring = files.read(keyring::FILE)?.is_some();
    let data = has_data || !files.list(super::FOLDER)?.is_empty();
    Ok(There { keyring, root_key, data })
}

fn decide(there: There) -> Step {
    match there {
        There { keyring: true, root_key: true, .. } => Step::Open,
        There { keyring: true, root_key: false, .. } => Step::SealNoRootKey,
        There { keyring: false, data: true, .. } => Step::SealNoKeyring,
        There { keyring: false, data: false, root_key: true } => Step::MakeKeyring,
        There { keyring: false, data: false, root_key: false } => Step::MakeBoth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S9: of eight cases only two make anything, and neither of them has data.
    #[test]
    fn nothing_is_made_over_data() {
        let table = [
            ((true, true, true), Step::Open),
            ((true, true, false), Step::Open),
            ((true, false, true), Step::SealNoRootKey),
            ((true, false, false), Step::SealNoRootKey),
            ((false, true, true), Step::SealNoKeyring),
            ((false, true, false), Step::MakeKeyring),
            ((false, false, true), Step::SealNoKeyring),
            ((false, false, false), Step::MakeBoth),
        ];
        for ((keyring, root_key, data), step) in table {
            let there = There { keyring, root_key, data };
            assert_eq!(decide(there), step, "{there:?}");
        }
    }
}
