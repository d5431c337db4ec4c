//! An index that is broken, behind, gone, or fails while it is used.

use super::{super::*, *};
use crate::store::index;

#[test]
fn a_broken_index_is_made_anew() {
    let origin = tempfile::tempdir().unwrap();
    let listing = filled(origin.path());
    let index = origin.path().join(index::FOLDER);
    let mut rebuilt = 0;
    for file in files(&index) {
        let name = file.strip_prefix(origin.path()).unwrap().to_owned();
        let whole = fs::read(&file).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        let flip = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            Some(bytes)
        };
        let mut zeroed = whole.clone();
        zeroed[..used.min(4096)].fill(0);
        let mut broken = vec![None, Some(Vec::new()), Some(whole[..used / 2].to_vec()), Some(zeroed)];
        broken.extend((0..used).step_by((used / 12).max(1)).map(flip));
        for (case, bytes) in broken.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            copy(origin.path(), dir.path());
            match bytes {
                Some(bytes) => fs::write(dir.path().join(&name), bytes).unwrap(),
                None => fs::remove_file(dir.path().join(&name)).unwrap(),
            }
            let store = open(dir.path()).unwrap();
            let case = format!("{} {case}", name.display());
            assert_eq!(store.shared.list(""), listing, "{case}");
            assert_eq!(store.shared.commit(write("f", 0, Some("new"))), Ok(12), "{case}");
            rebuilt += usize::from(!store.condition().repairs.is_empty());
            drop(store);
            assert_eq!(open(dir.path()).unwrap().shared.list("").revision, 12, "{case}");
        }
    }
    assert!(rebuilt >= 8, "{rebuilt} of the changes were seen");
}

#[test]
fn an_index_that_fails_while_it_is_used_is_made_anew() {
    let large = "x".repeat(1 << 20);
    // sled puts what is large into files of their own. Without their folder it fails, and would hang if it were closed.
    for gone in ["index/blobs", "index"] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let store = open(dir.path()).unwrap();
        fs::remove_dir_all(dir.path().join(gone)).unwrap();
        assert_eq!(store.shared.commit(write("large", 0, Some(&large))), Ok(12));
        assert_eq!(store.shared.commit(write("large", 1, Some("small"))), Ok(13));
        let (listing, repairs) = (store.shared.list(""), store.condition().repairs);
        assert!(repairs.len() == 1 && repairs[0].contains("made anew"), "{repairs:?}");
        drop(store);
        let store = open(dir.path()).unwrap();
        assert_eq!(store.shared.list(""), listing);
        assert_eq!(store.condition().repairs, Vec::<String>::new());
    }
}

#[test]
fn an_index_that_its_check_refuses_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let listing = filled(dir.path());
    for (script, anew) in [("test -d \"$0/index\"", false), ("exit 3", true)] {
        let args = vec!["-c".into(), script.into()];
        let check = IndexCheck { program: "/bin/sh".into(), args };
        let store = Durable::open(dir.path(), Some(check)).unwrap();
        assert_eq!(store.shared.list(""), listing);
        assert_eq!(!store.condition().repairs.is_empty(), anew);
        assert_eq!(dir.path().join("quarantine").exists(), anew);
    }
}

#[test]
fn little_is_kept_of_what_was_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let check = IndexCheck { program: "/bin/false".into(), args: vec![] };
    for _ in 0..6 {
        Durable::open(dir.path(), Some(check.clone())).unwrap();
    }
    assert_eq!(fs::read_dir(dir.path().join("quarantine")).unwrap().count(), 4);
}

#[test]
fn a_missing_index_is_made_from_checkpoint_and_journal() {
    let dir = tempfile::tempdir().unwrap();
    let listing = filled(dir.path());
    let store = open(dir.path()).unwrap();
    store.shared.checkpoint();
    store.shared.commit(write("a", 2, Some("after"))).unwrap();
    let listing = Listing {
        revision: 12,
        entries: {
            drop(listing);
            store.shared.list("").entries
        },
    };
    drop(store);
    let checkpoints = dir.path().join(checkpoint::FOLDER);
    for bad_checkpoint in [false, true] {
        fs::remove_dir_all(dir.path().join(index::FOLDER)).unwrap();
        if bad_checkpoint {
            fs::write(files(&checkpoints).remove(0), b"not one").unwrap();
        }
        assert_eq!(open(dir.path()).unwrap().shared.list(""), listing);
    }
}

#[test]
fn an_index_behind_is_caught_up() {
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(dir.path());
    copy(&dir.path().join(index::FOLDER), old.path());
    let store = open(dir.path()).unwrap();
    store.shared.commit(write("a", 2, Some("after"))).unwrap();
    store.shared.commit(write("b", 2, None)).unwrap();
    let listing = store.shared.list("");
    drop(store);
    for _ in 0..2 {
        fs::remove_dir_all(dir.path().join(index::FOLDER)).unwrap();
        copy(old.path(), &dir.path().join(index::FOLDER));
        let store = open(dir.path()).unwrap();
        assert_eq!(store.shared.list(""), listing);
        let said = store.condition().repairs.join("\n");
        assert_eq!(said, "the index had lost 2 records, taken from the journal");
    }
}

#[test]
fn an_index_that_a_crash_left_one_record_behind_is_nothing_to_tell() {
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(dir.path());
    copy(&dir.path().join(index::FOLDER), old.path());
    let store = open(dir.path()).unwrap();
    store.shared.commit(write("a", 2, Some("after"))).unwrap();
    let listing = store.shared.list("");
    drop(store);
    fs::remove_dir_all(dir.path().join(index::FOLDER)).unwrap();
    copy(old.path(), &dir.path().join(index::FOLDER));
    let store = open(dir.path()).unwrap();
    assert_eq!(store.shared.list(""), listing);
    assert_eq!(store.condition().repairs, Vec::<String>::new());
    drop(store);
    fs::remove_dir_all(dir.path().join(index::FOLDER)).unwrap();
    fs::create_dir(dir.path().join(index::FOLDER)).unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(store.shared.list(""), listing);
    assert_eq!(store.condition().repairs, ["the index held nothing and was filled from the journal"]);
}
