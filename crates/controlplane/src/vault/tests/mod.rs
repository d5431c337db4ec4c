//! The vault on a real disk.

mod keys;
mod rekey;
mod seals;

use super::*;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const PLAIN: &[u8] = b"sk-canary-7f3a9c51e2d84b60-0123456789";

struct Home {
    dir: TempDir,
    root: RootKey,
    vault: Vault,
}

impl Home {
    fn new(cluster: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = RootKey::make(&dir.path().join("root.key")).unwrap();
        let vault = Vault::create(dir.path(), &root, cluster, 0).unwrap();
        Self { dir, root, vault }
    }

    fn file(&self, id: &SecretId) -> PathBuf {
        self.dir.path().join(DIR).join(id.file())
    }

    fn again(&self) -> Vault {
        Vault::unlock(self.dir.path(), &self.root, "c1").unwrap()
    }

    fn start(&self, has_data: bool) -> Opened {
        start(&at(self.dir.path()), has_data, "c1", 0).unwrap()
    }
}

fn at(home: &Path) -> Sources {
    Sources { home: home.to_owned(), ..Sources::default() }
}

fn id(provider: &str, key: &str, version: u32) -> SecretId {
    SecretId { provider: provider.to_owned(), key: key.to_owned(), version, seal: 0 }
}

fn origins(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|origin| (*origin).to_owned()).collect()
}

fn here() -> BTreeSet<String> {
    origins(&["https://api.example.com:443"])
}

fn secret(bytes: &[u8]) -> Secret {
    Secret::new(bytes.to_vec())
}

fn why(outcome: Result<Secret, VaultError>) -> Unfit {
    match outcome {
        Err(VaultError::Integrity { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

fn reason(opened: Opened) -> Sealed {
    match opened {
        Opened::Sealed(VaultError::Sealed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        if path.is_dir() { files(&path) } else { vec![(path.clone(), fs::read(&path).unwrap())] }
    };
    entries.flat_map(read).collect()
}
