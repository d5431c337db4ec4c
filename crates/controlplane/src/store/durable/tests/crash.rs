//! Crashes, disks that are full or fail, and journals that are not what they were.

use super::{super::*, *};
use crate::store::{
    disk::faulty::{Call, Strike},
    index,
    journal::records::{Place, Records},
};
use crate::{
    Plane,
    resource::{Apply, Author, Refusal},
    vault::Vault,
};
use rustix::io::Errno;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

/// The length of the first segment without its last record.
fn without_last(journal: &Path) -> u64 {
    let path = segment_path(journal, 1);
    let mut records = Records::open(journal, Place { segment: 1, offset: 0 }, 1).unwrap();
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

/// A client with a secret of its own.
async fn sealed(plane: &Plane, name: &str) -> Result<(), Refusal> {
    let id = format!("KEYPAIROFTHETEST{name}");
    let pair = json!({ "access_key_id": id, "secret_access_key": "the-secret-access-key-of-this-test" });
    let file = keyway_config::read_json(&json!({ "clients": { name: { "sigv4": pair } } })).unwrap();
    let apply = Apply { file, prune: false, origin: String::new() };
    plane.apply(&Author::system("test", ""), apply).await.map(drop)
}

#[tokio::test]
async fn what_a_failed_sync_may_have_kept_keeps_its_secret() {
    for stands in [true, false] {
        let (dir, vault) = (tempfile::tempdir().unwrap(), Vault::ephemeral().unwrap());
        let (store, disk) = faulty(dir.path());
        let plane = Plane::open(Arc::new(store), vault.clone()).await.unwrap();
        sealed(&plane, "0001").await.unwrap();
        let journal = segment_path(&dir.path().join(JOURNAL), 1);
        let before = fs::metadata(&journal).unwrap().len();
        disk.plan(&[(Call::Sync, 0, Strike::Error(Errno::IO))]);
        let failed = sealed(&plane, "0002").await;
        assert!(matches!(failed, Err(Refusal::Store(StoreError::Failed(_)))), "{failed:?}");
        for name in ["0002", "0003"] {
            let later = sealed(&plane, name).await;
            assert!(matches!(later, Err(Refusal::Store(StoreError::ReadOnly(_)))), "{later:?}");
        }
        assert_eq!(vault.ids().unwrap().len(), 2, "it may be needed");
        drop(plane);
        if !stands {
            fs::OpenOptions::new().write(true).open(&journal).unwrap().set_len(before).unwrap();
        }
        let plane = Plane::open(Arc::new(open(dir.path()).unwrap()), vault.clone()).await.unwrap();
        let named: BTreeSet<_> = plane.state().secrets().collect();
        assert_eq!(named.len(), if stands { 2 } else { 1 });
        assert_eq!(vault.ids().unwrap().into_iter().collect::<BTreeSet<_>>(), named);
    }
}

#[test]
#[ignore = "needs TMPDIR on a file system of 24 MB of its own"]
fn a_small_disk_fills_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let (home, ballast) = (dir.path().join("store"), dir.path().join("ballast"));
    let store = open(&home).unwrap();
    let value = "x".repeat(100_000);
    let mut acknowledged = 0;
    for round in 0..3 {
        // Others fill it to the last byte, below what we leave free.
        fs::write(&ballast, vec![0; 1 << 20]).unwrap();
        let full =
            (0..1000).find_map(|_| match store.shared.commit(write("a", acknowledged, Some(&value))) {
                Ok(_) => {
                    acknowledged += 1;
                    None
                }
                Err(error) => Some(error),
            });
        assert_eq!(full, Some(StoreError::Full), "round {round}");
        fs::write(&ballast, vec![0; 64 << 20]).unwrap_err();
        assert_eq!(store.shared.commit(write("b", 0, Some("x"))), Err(StoreError::Full));
        assert_eq!(store.shared.list("").revision, acknowledged);
        fs::remove_file(&ballast).unwrap();
        store.shared.commit(write("a", acknowledged, Some(&value))).unwrap();
        acknowledged += 1;
        println!("{acknowledged} {:?}", store.condition());
    }
    store.shared.verify().unwrap();
    drop(store);
    fs::write(&ballast, vec![0; 64 << 20]).unwrap_err();
    let store = open(&home).unwrap();
    assert_eq!(store.shared.list("").revision, acknowledged);
    println!("full at the start: {:?}", store.condition());
}

/// Says to the child where it ends itself: which call of the disk, after how many, with how many bytes of it written.
const OWN_END: &str = "KEYWAY_CRASH";
/// Processes that are killed; the same under `cargo xtask test --long`.
const ROUNDS: (u64, u64) = (50, 1000);

/// Not a test: the process that the next one kills, or that ends itself in the midst of a call, in the directory that it
/// is run in.
#[test]
#[ignore = "runs until it is killed"]
fn writes_until_killed() {
    use std::io::Write as _;
    let (store, disk) = faulty(Path::new("store"));
    if let Some(end) = std::env::var_os(OWN_END) {
        let numbers: Vec<usize> = end.to_str().unwrap().split(',').map(|one| one.parse().unwrap()).collect();
        let call = [Call::Open, Call::Write, Call::Sync, Call::SyncFolder][numbers[0]];
        disk.plan(&[(call, numbers[1], Strike::Kill(numbers[2]))]);
    }
    let mut acknowledged = fs::OpenOptions::new().create(true).append(true).open("acknowledged").unwrap();
    let large = "x".repeat(20_000);
    loop {
        let at = store.shared.list("").revision;
        let value = if at.is_multiple_of(7) { &large } else { "x" };
        let done = store.shared.commit(write(&at.to_string(), 0, Some(value))).unwrap();
        acknowledged.write_all(&done.to_le_bytes()).unwrap();
        if at.is_multiple_of(50) {
            store.shared.checkpoint();
        }
    }
}

/// Numbers that follow from a seed (SplitMix64).
fn dice(seed: &mut u64, end: u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) % end
}

/// Half of the rounds are ended from outside at any moment, half by themselves in the midst of a call.
#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let long = std::env::var_os("KEYWAY_LONG").is_some();
    let mut seed = getrandom::u64().unwrap();
    println!("seed {seed}");
    let (mut before, mut own, mut there) = (0, 0, 0);
    for round in 0..if long { ROUNDS.1 } else { ROUNDS.0 } {
        let by_itself = round.is_multiple_of(2);
        let end = [dice(&mut seed, 4), dice(&mut seed, 40), dice(&mut seed, 25_000)];
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["store::durable::tests::crash::writes_until_killed", "--exact", "--ignored"]);
        child.current_dir(dir.path()).stdout(std::process::Stdio::null());
        if by_itself {
            child.env(OWN_END, end.map(|one| one.to_string()).join(","));
        }
        let mut child = child.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let written = || fs::metadata(dir.path().join("acknowledged")).map_or(0, |found| found.len() / 8);
        let enough = before + 1 + dice(&mut seed, 60);
        while written() < enough && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "round {round}");
            std::thread::sleep(Duration::from_micros(dice(&mut seed, 1500)));
        }
        own += u32::from(child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = fs::read(dir.path().join("acknowledged")).unwrap_or_default();
        let last = acknowledged.as_chunks::<8>().0.last().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let store =
            open(&dir.path().join("store")).unwrap_or_else(|error| panic!("round {round}, {end:?}: {error}"));
        let listing = store.shared.list("");
        // One more than was acknowledged, or than was there when the process began: it may have died before its first word.
        let known = last.max(there);
        assert!(
            listing.revision == known || listing.revision == known + 1,
            "round {round}, {end:?}: {} {known}",
            listing.revision
        );
        there = listing.revision;
        assert_eq!(listing.entries.len() as u64, listing.revision, "round {round}");
        store.shared.verify().unwrap();
        before = written();
    }
    println!("{before} writes were acknowledged; {own} processes ended themselves");
    assert!(own > 0, "no process ended itself");
}
