use super::{start::Setup, *};
use crate::store::{
    Entry, Write as Change, checkpoint,
    disk::faulty::{Call, Faulty, Strike},
    index,
    journal::records::segment_path,
};
use bytes::Bytes;
use rustix::io::Errno;
use std::{fs, path::Path};

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
        assert_eq!(store.condition().repairs, Vec::<String>::new());
    }
}

/// The length of the first segment without its last record.
fn without_last(journal: &Path) -> u64 {
    let path = segment_path(journal, 1);
    let mut records = crate::store::journal::records::Records::open(
        journal,
        crate::store::journal::records::Place { segment: 1, offset: 0 },
        1,
    )
    .unwrap();
    let mut start = 0;
    while let Some((place, _)) = records.read().unwrap() {
        start = place.offset;
    }
    assert!(start < fs::metadata(path).unwrap().len());
    start
}

#[test]
fn a_journal_that_lost_its_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    open(dir.path()).unwrap().shared.checkpoint();
    let journal = dir.path().join(JOURNAL);
    let path = segment_path(&journal, 1);
    let whole = fs::read(&path).unwrap();
    let start = without_last(&journal) as usize;
    // Cut off, cut short, altered: to the journal alone the last two look like a crash.
    let mut altered = whole.clone();
    altered[start + 70] ^= 1;
    for bad in [whole[..start].to_vec(), whole[..start + 50].to_vec(), altered, Vec::new()] {
        for index in [true, false] {
            let broken = tempfile::tempdir().unwrap();
            copy(dir.path(), broken.path());
            let path = segment_path(&broken.path().join(JOURNAL), 1);
            fs::write(&path, &bad).unwrap();
            if !index {
                // Then the checkpoint knows.
                fs::remove_dir_all(broken.path().join(index::FOLDER)).unwrap();
            }
            for _ in 0..2 {
                assert_damaged(broken.path());
                assert_eq!(fs::read(&path).unwrap(), bad, "left as it is");
            }
        }
    }
}

#[test]
fn a_journal_with_another_past_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(dir.path());
    copy(dir.path(), other.path());
    open(dir.path()).unwrap().shared.commit(write("a", 2, Some("one"))).unwrap();
    open(other.path()).unwrap().shared.commit(write("a", 2, Some("two"))).unwrap();
    fs::remove_dir_all(dir.path().join(JOURNAL)).unwrap();
    copy(&other.path().join(JOURNAL), &dir.path().join(JOURNAL));
    assert_damaged(dir.path());
}

#[test]
fn a_torn_record_is_noted_and_the_rest_served() {
    let (dir, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let listing = filled(dir.path());
    copy(dir.path(), before.path());
    open(dir.path()).unwrap().shared.commit(write("a", 2, Some("torn"))).unwrap();
    let longer = fs::read(segment_path(&dir.path().join(JOURNAL), 1)).unwrap();
    fs::write(segment_path(&before.path().join(JOURNAL), 1), &longer[..longer.len() - 5]).unwrap();
    let store = open(before.path()).unwrap();
    assert_eq!(store.shared.list(""), listing);
    assert_eq!(store.condition().repairs.len(), 1);
    assert_eq!(store.shared.commit(write("a", 2, Some("torn"))), Ok(12));
    store.shared.verify().unwrap();
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

fn faulty(dir: &Path) -> (Durable, Arc<Faulty>) {
    let disk = Arc::new(Faulty::default());
    let setup = Setup { disk: Arc::<Faulty>::clone(&disk), ..Setup::new(None) };
    (Durable::open_with(dir, setup).unwrap(), disk)
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = faulty(dir.path());
    let mut changes = store.watch();
    disk.plan(&[(Call::Write, 0, Strike::Error(Errno::NOSPC))]);
    assert_eq!(store.shared.commit(write("a", 0, Some("lost"))), Err(StoreError::Full));
    assert_eq!(store.shared.list("").revision, 0);
    assert!(changes.try_recv().is_err());
    assert_eq!(store.condition().read_only, None);
    assert_eq!(store.shared.commit(write("a", 0, Some("kept"))), Ok(1));
    drop(store);
    assert_eq!(open(dir.path()).unwrap().shared.get(&Key::new("client", "a")).unwrap().value, "kept");
}

#[test]
fn a_failed_sync_ends_writing_and_tells_no_lie() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = faulty(dir.path());
    store.shared.commit(write("a", 0, Some("kept"))).unwrap();
    disk.plan(&[(Call::Sync, 0, Strike::Error(Errno::IO))]);
    let failed = store.shared.commit(write("b", 0, Some("unknown")));
    assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
    let later = store.shared.commit(write("c", 0, Some("never")));
    assert!(matches!(later, Err(StoreError::ReadOnly(_))), "{later:?}");
    assert!(store.condition().read_only.is_some());
    assert_eq!(store.shared.list("").entries.len(), 1);
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.shared.get(&Key::new("client", "a")).unwrap().value, "kept");
    assert_eq!(store.shared.get(&Key::new("client", "c")), None);
    assert_eq!(store.condition().read_only, None);
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
