use super::*;
use crate::store::{Batch, Durable, Entry, Key, Listing, Store, Write as Change};
use crate::usage::Brought;
use crate::vault::{SecretId, Vault};
use bytes::Bytes;
use std::{collections::BTreeSet, os::unix::fs::PermissionsExt};
use tempfile::{TempDir, tempdir};

async fn put(store: &Durable, name: &str, expected: u64) {
    let key = Key::new("client", name);
    let value = Some(Bytes::copy_from_slice(name.as_bytes()));
    let writes = vec![Change { key, expected, value }];
    store.commit(Batch { writes, entry: Entry::default() }).await.unwrap();
}

fn open(home: &Path) -> Durable {
    Durable::open(&home.join("store"), None).unwrap()
}

/// A home with three changes and a vault, its documents, and a backup of it.
async fn home() -> (TempDir, Listing, Vec<u8>) {
    let home = tempdir().unwrap();
    let vault = home.path().join("vault");
    fs::create_dir_all(vault.join("keys")).unwrap();
    fs::write(vault.join("keys/one"), b"sealed").unwrap();
    fs::write(vault.join("root.key"), b"not for a backup").unwrap();
    let store = open(home.path());
    for name in ["a", "b", "c"] {
        put(&store, name, 0).await;
    }
    let mut out = Vec::new();
    let made = write(&store.moment(Some(&vault)).unwrap(), None, &mut out).unwrap();
    assert_eq!((made.files, made.revision, made.epoch), (2, 3, 1));
    assert_eq!(verify_backup(out.as_slice()).unwrap(), made);
    let listing = store.list("").await.unwrap();
    (home, listing, out)
}

fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for name in crate::store::place::names(folder).unwrap() {
        let path = folder.join(&name);
        if path.is_dir() {
            found.extend(tree(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else if name != "lock" {
            found.push((name, fs::read(&path).unwrap()));
        }
    }
    found
}

#[tokio::test]
async fn an_empty_home_gets_the_same_documents() {
    let (_home, listing, backup) = home().await;
    let host = tempdir().unwrap();
    let into = host.path().join("new");
    let restored = restore(backup.as_slice(), &into, None).unwrap();
    assert_eq!((restored.epoch, restored.revision, restored.put_aside), (2, 4, None));
    let store = open(&into);
    assert_eq!(store.list("").await.unwrap(), Listing { revision: 4, ..listing });
    assert_eq!(store.identity().epoch, 2);
    assert_eq!(store.identity().cluster, restored.cluster);
    let last = store.audit(3, 10).await.unwrap();
    assert_eq!((last[0].entry.action.as_str(), last[0].epoch), ("restore", 2));
    store.verify().await.unwrap();
    assert_eq!(tree(&into.join("vault")), [("keys/one".to_owned(), b"sealed".to_vec())]);
    for private in [into.join("vault/keys/one"), into.join("vault"), into.join("store/journal/00000001.log")]
    {
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o077, 0, "{}", private.display());
    }
}

#[tokio::test]
async fn what_was_there_is_put_aside_and_its_epoch_exceeded() {
    let (home, listing, backup) = home().await;
    put(&open(home.path()), "later", 0).await;
    let first = restore(backup.as_slice(), home.path(), None).unwrap();
    let aside = first.put_aside.unwrap();
    assert_eq!(open(home.path()).list("").await.unwrap(), Listing { revision: 4, ..listing });
    assert!(aside.join("vault/root.key").exists());
    assert_eq!(Durable::open(&aside.join("store"), None).unwrap().list("").await.unwrap().entries.len(), 4);
    // The same backup again: above what the home reached meanwhile, not only above the backup.
    assert_eq!(restore(backup.as_slice(), home.path(), None).unwrap().epoch, 3);
    let low = restore(backup.as_slice(), home.path(), Some(3)).unwrap_err();
    assert!(matches!(low, StoreError::BadBackup(_)), "{low}");
    assert_eq!(restore(backup.as_slice(), home.path(), Some(9)).unwrap().epoch, 9);
    assert_eq!(open(home.path()).identity().epoch, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_come_along_and_those_that_were_there_are_put_aside() {
    let (home, ..) = home().await;
    let of = |at: &Path| crate::usage::Books::open(at, 1).unwrap();
    let books = of(home.path());
    let frame = keyway_proto::fleet::v1::Frame { first: 1, last: 1, ..Default::default() };
    let frames = vec![prost::Message::encode_to_vec(&frame)];
    let batch = |process: &str| keyway_proto::fleet::v1::Batch {
        replica: "r".to_owned(),
        incarnation: process.to_owned(),
        frames: frames.clone(),
    };
    books.book(batch("one"), 5_000).await.unwrap();
    let mut out = Vec::new();
    let made =
        write(&open(home.path()).moment(None).unwrap(), Some(books.copy().unwrap()), &mut out).unwrap();
    assert_eq!(verify_backup(out.as_slice()).unwrap(), made);
    drop(books);
    // Here they hold all of it.
    assert_eq!(restore(out.as_slice(), home.path(), None).unwrap().usage, Brought::Kept);
    assert!(home.path().join("usage.db").exists());
    // There they are another's, whose process was killed: the log lies there still.
    let (others, host) = (tempdir().unwrap(), tempdir().unwrap());
    let running = of(others.path());
    running.book(batch("two"), 6_000).await.unwrap();
    for file in ["usage.db", "usage.db-wal"] {
        fs::copy(others.path().join(file), host.path().join(file)).unwrap();
    }
    let restored = restore(out.as_slice(), host.path(), None).unwrap();
    assert_eq!(restored.usage, Brought::Until { booked: 5_000 });
    let aside = restored.put_aside.unwrap();
    assert_eq!(of(host.path()).book(batch("one"), 7_000).await.unwrap(), 1, "known");
    for (place, process) in [(host.path(), "one"), (&aside, "two")] {
        let db = rusqlite::Connection::open(place.join("usage.db")).unwrap();
        let found: String = db.query_row("SELECT incarnation FROM marks", [], |row| row.get(0)).unwrap();
        assert_eq!(found, process, "{}", place.display());
    }
}

#[tokio::test]
async fn a_damaged_store_is_replaced_and_its_epoch_known() {
    let (home, listing, backup) = home().await;
    restore(backup.as_slice(), home.path(), Some(7)).unwrap();
    put(&open(home.path()), "later", 0).await;
    let path = home.path().join("store/journal/00000001.log");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    Durable::open(&home.path().join("store"), None).unwrap_err();
    assert_eq!(restore(backup.as_slice(), home.path(), None).unwrap().epoch, 8);
    assert_eq!(open(home.path()).list("").await.unwrap(), Listing { revision: 4, ..listing });
}

#[tokio::test]
async fn a_store_in_use_is_left_alone() {
    let (home, _, backup) = home().await;
    let _running = open(home.path());
    let before = tree(&home.path().join("vault"));
    assert!(matches!(restore(backup.as_slice(), home.path(), None), Err(StoreError::Locked(_))));
    assert_eq!(tree(&home.path().join("vault")), before);
    assert!(!home.path().join("restoring").exists());
}

#[tokio::test]
async fn a_backup_with_any_byte_changed_is_refused() {
    let (home, _, backup) = home().await;
    let before = tree(home.path());
    for at in 0..backup.len() {
        let mut bad = backup.clone();
        bad[at] ^= 4;
        verify_backup(bad.as_slice()).unwrap_err();
        if at % 16 == 0 {
            verify_backup(&backup[..at]).unwrap_err();
            restore(bad.as_slice(), home.path(), None).unwrap_err();
            restore(&backup[..at], home.path(), None).unwrap_err();
        }
    }
    verify_backup([&backup[..], b"x"].concat().as_slice()).unwrap_err();
    assert_eq!(tree(home.path()), before);
}

#[tokio::test]
async fn a_backup_that_was_sealed_again_is_refused_too() {
    let (home, ..) = home().await;
    let whole = fs::read(home.path().join("store/journal/00000001.log")).unwrap();
    let mut altered = whole.clone();
    altered[70] ^= 1;
    let seal = |files: &[(&str, &[u8])]| {
        let mut out = Vec::new();
        let mut packer = Packer::begin(&mut out).unwrap();
        for (path, bytes) in files {
            packer.add(path, bytes.len() as u64, *bytes).unwrap();
        }
        packer.end().unwrap();
        out
    };
    let good = ("store/journal/00000001.log", whole.as_slice());
    for bad in [
        vec![("store/journal/00000001.log", altered.as_slice())],
        vec![("store/journal/00000001.log", &whole[..whole.len() - 1])],
        vec![("store/journal/00000002.log", &whole)],
        vec![good, good],
        vec![good, ("vault/../../escaped", b"x")],
        vec![good, ("/tmp/escaped", b"x")],
        vec![good, ("vault/root.key", b"x")],
        vec![good, ("client.token", b"x")],
        vec![("vault/one", b"x")],
        vec![],
    ] {
        let target = tempdir().unwrap();
        let names: Vec<&str> = bad.iter().map(|(path, _)| *path).collect();
        verify_backup(seal(&bad).as_slice()).expect_err(&format!("{names:?}"));
        restore(seal(&bad).as_slice(), target.path(), None).expect_err(&format!("{names:?}"));
        assert_eq!(tree(target.path()), [], "{names:?}");
    }
    restore(seal(&[good]).as_slice(), tempdir().unwrap().path(), None).unwrap();
}

#[tokio::test]
async fn an_interrupted_restore_loses_nothing() {
    let (home, _, backup) = home().await;
    let stage = home.path().join("restoring");
    // Between the two steps of a file system that cannot swap: the old store stands in the stage.
    fs::create_dir(&stage).unwrap();
    fs::rename(home.path().join("store"), stage.join("store")).unwrap();
    let refused = Durable::open(&home.path().join("store"), None).unwrap_err();
    assert!(refused.to_string().contains("keyway restore"), "{refused}");
    restore(backup.as_slice(), home.path(), None).unwrap();
    assert!(!stage.exists());
    open(home.path());
    let kept = crate::store::place::names(home.path()).unwrap();
    assert!(kept.iter().any(|name| home.path().join(name).join("store/journal").exists()), "{kept:?}");
}

#[tokio::test]
async fn a_restore_that_ended_between_vault_and_store_is_refused_until_another_ends_it() {
    let (home, listing, backup) = home().await;
    restore(backup.as_slice(), home.path(), Some(7)).unwrap();
    let (stage, live) = (home.path().join("restoring"), home.path().join("store"));
    fs::create_dir_all(stage.join("store/journal")).unwrap();
    fs::rename(&live, stage.join("store.before")).unwrap();
    let refused = || Durable::open(&live, None).unwrap_err().to_string();
    assert!(refused().contains("keyway restore"));
    // One that fails does not take the mark away.
    restore(&backup[..backup.len() / 2], home.path(), None).unwrap_err();
    assert!(refused().contains("keyway restore"));
    assert!(stage.join("store.before/journal").exists());
    assert_eq!(restore(backup.as_slice(), home.path(), None).unwrap().epoch, 8, "above what was put aside");
    assert!(!stage.exists());
    assert_eq!(open(home.path()).list("").await.unwrap(), Listing { revision: 4, ..listing });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_while_changes_go_on_is_one_moment() {
    let (home, ..) = home().await;
    let store = std::sync::Arc::new(open(home.path()));
    let writing = tokio::spawn({
        let store = std::sync::Arc::clone(&store);
        async move {
            for at in 0..40 {
                put(&store, &format!("more{at}"), 0).await;
            }
        }
    });
    for _ in 0..10 {
        let mut out = Vec::new();
        let made = write(&store.moment(None).unwrap(), None, &mut out).unwrap();
        assert_eq!(verify_backup(out.as_slice()).unwrap(), made);
        let target = tempdir().unwrap();
        restore(out.as_slice(), target.path(), None).unwrap();
        assert_eq!(open(target.path()).list("").await.unwrap().entries.len() as u64, made.revision);
    }
    writing.await.unwrap();
}

const SECRETS: u32 = 4;

/// A home with a root key and secrets in its vault.
fn sealed() -> (TempDir, Durable, RootKey, Vault) {
    let home = tempdir().unwrap();
    let store = open(home.path());
    let root = RootKey::make(&home.path().join("root.key")).unwrap();
    let vault = Vault::create(home.path(), &root, &store.identity().cluster, 0).unwrap();
    (1..=SECRETS).for_each(|version| seal(&vault, version));
    (home, store, root, vault)
}

fn id(version: u32) -> SecretId {
    SecretId { provider: "p".to_owned(), key: "k".to_owned(), version, seal: 0 }
}

fn seal(vault: &Vault, version: u32) {
    vault.put(&id(version), &keyway_snapshot::Secret::new(b"secret".to_vec()), &BTreeSet::new()).unwrap();
}

#[tokio::test]
async fn what_changes_before_a_slow_caller_has_read_it_is_not_in_it() {
    let (home, store, root, vault) = sealed();
    let moment = store.moment(Some(&home.path().join("vault"))).unwrap();
    vault.wrap_with(&root, 2, 0).unwrap();
    vault.sealed().unwrap().iter().for_each(|name| vault.rewrap(name).unwrap());
    vault.retire_before(&root, 2).unwrap();
    vault.erase(&id(1)).unwrap();
    seal(&vault, SECRETS + 1);
    put(&store, "later", 0).await;
    let mut out = Vec::new();
    let made = write(&moment, None, &mut out).unwrap();
    assert_eq!((made.revision, verify_backup(out.as_slice()).unwrap()), (0, made));
    let host = tempdir().unwrap();
    restore(out.as_slice(), host.path(), None).unwrap();
    let vault = Vault::unlock(host.path(), &root, &store.identity().cluster).unwrap();
    assert_eq!(vault.not_under(1).unwrap(), [], "each opens");
    let ids: BTreeSet<SecretId> = vault.ids().unwrap().into_iter().collect();
    assert_eq!(ids, (1..=SECRETS).map(id).collect());
}

#[tokio::test]
async fn a_backup_whose_secrets_nothing_opens_is_refused_and_nothing_touched() {
    let (home, store, root, vault) = sealed();
    let folder = home.path().join("vault");
    let keyring = fs::read(folder.join("keyring")).unwrap();
    let taken = || {
        let mut out = Vec::new();
        write(&store.moment(Some(&folder)).unwrap(), None, &mut out).unwrap();
        out
    };
    let refused = |backup: &[u8], into: &Path| {
        let error = restore(backup, into, None).unwrap_err();
        assert!(error.to_string().contains("use another backup"), "{error}");
    };
    vault.wrap_with(&root, 2, 0).unwrap();
    fs::write(folder.join("keyring"), keyring).unwrap();
    let names = vault.sealed().unwrap();
    vault.rewrap(&names[0]).unwrap();
    // More versions than the keyring holds: no root key is needed to see it.
    let (some, host) = (taken(), tempdir().unwrap());
    let error = verify_backup(some.as_slice()).unwrap_err().to_string();
    assert!(error.contains(&names[0]) && error.contains("version 2"), "{error}");
    refused(&some, host.path());
    assert_eq!(tree(host.path()), []);
    names.iter().for_each(|name| vault.rewrap(name).unwrap());
    let all = taken();
    fs::remove_file(folder.join("keyring")).unwrap();
    refused(&taken(), host.path());
    drop(store);
    let before = tree(home.path());
    refused(&all, home.path());
    assert_eq!(tree(home.path()), before);
}
