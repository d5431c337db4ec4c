mod crash;
mod index;

use super::{start::Setup, *};
use crate::store::disk::{Space, faulty::Faulty};
use crate::store::journal::FLOOR_BYTES;
use crate::store::{
    Entry, Write as Change, checkpoint, index as store_index, journal::records::segment_path,
};
use bytes::Bytes;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

pub(super) fn write(name: &str, expected: u64, value: Option<&str>) -> Batch {
    let value = value.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    Batch { writes: vec![Change { key: Key::new("client", name), expected, value }], entry: Entry::default() }
}

/// A store with some history, closed.
fn filled(dir: &Path) -> Listing {
    let store = Durable::open(dir, None).unwrap();
    for (at, name) in NAMES.into_iter().enumerate() {
        store.shared.commit(write(name, 0, Some(&"x".repeat(at * 400)))).unwrap();
        store.shared.commit(write(name, 1, Some(&name.repeat(300)))).unwrap();
    }
    store.shared.commit(write("c", 2, None)).unwrap();
    store.shared.list("")
}

fn open(dir: &Path) -> Result<Durable, StoreError> {
    Durable::open(dir, None)
}

fn assert_damaged(dir: &Path) {
    match open(dir) {
        Err(StoreError::Damaged(why)) => assert!(why.contains("keyway restore"), "{why}"),
        other => panic!("{other:?}"),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = {
            let e = entry.unwrap();
            (e.path(), to.join(e.file_name()))
        };
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(|_| ()).unwrap() }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Documents of a checkpoint that takes a while.
const MANY: usize = 20_000;
/// Changes one after the other: more than slip in between two checkpoints.
const MEANWHILE: u64 = 3;

#[test]
fn changes_go_on_while_a_checkpoint_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let many = (0..MANY).flat_map(|number| write(&format!("{number}"), 0, Some("x")).writes).collect();
    store.shared.commit(Batch { writes: many, entry: Entry::default() }).unwrap();
    let (made, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let until = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                store.shared.checkpoint();
                made.fetch_add(1, Relaxed);
            }
        });
        let mut version = 1;
        let mut during_one = || {
            let before = made.load(Relaxed);
            for _ in 0..MEANWHILE {
                store.shared.commit(write("7", version, Some("y"))).unwrap();
                version += 1;
            }
            made.load(Relaxed) == before
        };
        while !during_one() && Instant::now() < until {}
        is_over.store(true, Relaxed);
    });
    assert!(Instant::now() < until, "every change waited for a checkpoint: {made:?}");
}

#[test]
fn a_start_finds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let listing = filled(dir.path());
    let first = open(dir.path()).unwrap();
    let (identity, audit) = (first.identity(), first.shared.audit(0, 100).unwrap());
    assert_eq!((audit.len(), identity.epoch, identity.cluster.len()), (11, 1, 32));
    drop(first);
    for _ in 0..2 {
        let store = open(dir.path()).unwrap();
        assert_eq!(store.shared.list(""), listing);
        assert_eq!(store.identity(), identity);
        assert_eq!(store.shared.audit(0, 100).unwrap(), audit);
        assert_eq!(store.condition().repairs, Vec::<String>::new());
        assert_eq!(store.shared.verify().unwrap().head, (11, audit[10].hash));
    }
    let store = open(dir.path()).unwrap();
    assert_eq!(store.shared.commit(write("c", 0, Some("again"))), Ok(12));
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::Locked(_))));
    drop(store);
    open(dir.path()).unwrap();
}

#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    filled(&store);
    for needed in
        [store.clone(), store.join(JOURNAL), segment_path(&store.join(JOURNAL), 1), store.join("lock")]
    {
        assert_eq!(fs::metadata(&needed).unwrap().permissions().mode() & 0o077, 0, "{}", needed.display());
    }
}

#[test]
#[ignore = "measures"]
fn commit_latency() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = open(dir.path()).unwrap();
    let value = "x".repeat(500);
    let mut took: Vec<_> = (0..5000)
        .map(|at: u64| {
            let begun = Instant::now();
            store.shared.commit(write(&(at % 500).to_string(), at / 500, Some(&value))).unwrap();
            begun.elapsed()
        })
        .collect();
    took.sort();
    let bytes = crate::store::place::bytes(&dir.path().join(store_index::FOLDER));
    println!("p50 {:?} p99 {:?} max {:?}; index {bytes} bytes", took[2500], took[4950], took[4999]);
    drop(store);
    let begun = Instant::now();
    open(dir.path()).unwrap();
    println!("start with an index {:?}", begun.elapsed());
    fs::remove_dir_all(dir.path().join(store_index::FOLDER)).unwrap();
    let begun = Instant::now();
    open(dir.path()).unwrap();
    println!("start without {:?}", begun.elapsed());
}

#[test]
fn a_change_under_our_feet_is_found_by_verify() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = open(dir.path()).unwrap();
    let path = segment_path(&dir.path().join(JOURNAL), 1);
    let whole = fs::read(&path).unwrap();
    for at in [70, whole.len() / 2, whole.len() - 1] {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(&path, &altered).unwrap();
        assert!(matches!(store.shared.verify(), Err(StoreError::Damaged(_))), "byte {at}");
    }
    fs::write(&path, &whole).unwrap();
    store.shared.verify().unwrap();
}

#[test]
fn checkpoints_are_made_when_due() {
    let dir = tempfile::tempdir().unwrap();
    let every = |checkpoint_every| Setup { checkpoint_every, ..Setup::new(None) };
    let store = Durable::open_with(dir.path(), every(3)).unwrap();
    let claimed: Vec<bool> = (0..7)
        .map(|at| {
            let revision = store.shared.commit(write(&at.to_string(), 0, Some("x"))).unwrap();
            store.shared.claims_checkpoint(revision)
        })
        .collect();
    assert_eq!(claimed, [false, false, true, false, false, true, false]);
    drop(store);
    let checkpoints = dir.path().join(checkpoint::FOLDER);
    assert_eq!(checkpoint::places(&checkpoints).unwrap(), Vec::<u64>::new());
    drop(Durable::open_with(dir.path(), every(3)).unwrap());
    assert_eq!(checkpoint::places(&checkpoints).unwrap(), [7]);
}

#[test]
fn no_checkpoint_takes_what_is_left_free() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let setup = Setup { disk: Arc::<Faulty>::clone(&disk), ..Setup::new(None) };
    let store = Durable::open_with(dir.path(), setup).unwrap();
    store.shared.commit(write("a", 0, Some("x"))).unwrap();
    for (free, made) in [(FLOOR_BYTES * 2, 0), (FLOOR_BYTES * 3, 1)] {
        *disk.space.lock() = Some(Space { free, total: 1 << 40 });
        store.shared.checkpoint();
        assert_eq!(checkpoint::places(&dir.path().join(checkpoint::FOLDER)).unwrap().len(), made);
    }
}
