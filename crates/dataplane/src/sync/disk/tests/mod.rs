//! D4 and D5: whatever happens to the files, a whole state that may be served is found, or none.

mod logs;

use super::*;
use crate::sync::{sealed::KEY_LEN, trust::Trust};
use bytes::Bytes;
use keyway_proto::snapshot::v1::{self as wire, Kind, Resource};
use keyway_snapshot::state_hash;
use prost::Message;
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    time::Duration,
};
use tempfile::TempDir;

fn at(root: &TempDir) -> StateDir {
    let (dir, key_file) = (root.path().join("state"), root.path().join("keys/one.key"));
    let identity_file = root.path().join("keys/one.identity");
    StateDir { dir, key_file, identity_file, lock_wait: Duration::ZERO, usage_limit: 1 << 20 }
}

fn resource(kind: Kind, name: &str, body: &impl Message) -> Resource {
    let body = Bytes::from(body.encode_to_vec());
    Resource { kind: kind as i32, name: name.to_owned(), body, ..Resource::default() }
}

/// A state with these versions of one key.
fn kept(counter: u64, versions: &[u32]) -> Kept {
    let settings = wire::Settings {
        digest_key: vec![1; 32],
        body_limit: 1,
        bodies_in_flight_limit: 1,
        cluster: "here".to_owned(),
        ..wire::Settings::default()
    };
    let provider = wire::Provider {
        name: "p".to_owned(),
        surfaces: vec![wire::Surface { dialect: 1, ..wire::Surface::default() }],
        auth: Some(wire::Auth { scheme: wire::AuthScheme::None as i32, ..wire::Auth::default() }),
        built_in: true,
        ..wire::Provider::default()
    };
    let mut resources =
        vec![resource(Kind::Settings, "settings", &settings), resource(Kind::Provider, "p", &provider)];
    for version in versions {
        let body = wire::Credential {
            provider: "p".to_owned(),
            key: "main".to_owned(),
            version: *version,
            state: wire::CredentialState::Active as i32,
            weight: 1,
            secret: format!("sk-{version}").into_bytes(),
            ..wire::Credential::default()
        };
        resources.push(resource(Kind::Credential, &format!("p/main/{version}"), &body));
    }
    let snapshot = Snapshot::build(Version { epoch: 1, counter }, &resources).unwrap();
    assert_eq!(snapshot.hash, state_hash(&resources));
    Kept { snapshot: Arc::new(snapshot), signature: Signature::default(), confirmed_at: 1_800_000_000 }
}

/// What a start finds: the version, or 0.
fn start(at: &StateDir) -> (u64, Option<String>) {
    let mut disk = Disk::open(at).unwrap();
    let (loaded, why) = disk.load(&Trust::default());
    assert_eq!(disk.version(), loaded.as_ref().map(|loaded| loaded.snapshot.version));
    (loaded.map_or(0, |loaded| loaded.snapshot.version.counter), why)
}

/// A directory with two generations.
fn two() -> (TempDir, StateDir) {
    let root = TempDir::new().unwrap();
    let at = at(&root);
    let mut disk = Disk::open(&at).unwrap();
    disk.keep(&kept(1, &[1])).unwrap();
    disk.keep(&kept(2, &[1, 2])).unwrap();
    drop(disk);
    (root, at)
}

#[test]
fn what_is_kept_is_found_and_nothing_on_disk_is_plain() {
    let root = TempDir::new().unwrap();
    let at = at(&root);
    assert_eq!(start(&at), (0, None), "nothing yet is no fault");
    let mut disk = Disk::open(&at).unwrap();
    disk.keep(&kept(7, &[1])).unwrap();
    disk.confirm(1_800_003_600).unwrap();
    drop(disk);
    let mut disk = Disk::open(&at).unwrap();
    let (loaded, why) = disk.load(&Trust::default());
    let loaded = loaded.unwrap();
    assert_eq!((loaded.snapshot.version.counter, loaded.confirmed_at, why), (7, 1_800_003_600, None));
    for file in fs::read_dir(&at.dir).unwrap() {
        let (path, bytes) = (file.as_ref().unwrap().path(), fs::read(file.unwrap().path()).unwrap());
        assert!(!bytes.windows(4).any(|window| window == b"sk-1"), "{}", path.display());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn one_replica_a_directory() {
    let root = TempDir::new().unwrap();
    let at = at(&root);
    let held = Disk::open(&at).unwrap();
    assert!(matches!(Disk::open(&at), Err(StateDirError::InUse(_))));
    drop(held);
    assert!(Disk::open(&at).is_ok());
}

#[test]
fn a_damaged_file_gives_way_to_the_one_before() {
    let (_root, at) = two();
    let path = at.dir.join(CURRENT);
    let whole = fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..whole.len()).step_by(13).chain([whole.len() - 1]).collect();
    for end in ends {
        fs::write(&path, &whole[..end]).unwrap();
        assert_eq!(start(&at).0, 1, "cut at {end}");
        let mut flipped = whole.clone();
        flipped[end] ^= 1;
        fs::write(&path, flipped).unwrap();
        let (version, why) = start(&at);
        assert_eq!(version, 1, "flipped at {end}");
        assert!(why.unwrap().starts_with("last-good: "));
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(start(&at).0, 1);
    fs::write(at.dir.join(BEFORE), b"").unwrap();
    let (version, why) = start(&at);
    assert_eq!(version, 0);
    assert!(why.unwrap().contains("last-good.1: "), "both are named");
}

#[test]
fn after_a_damaged_file_the_next_state_is_kept_without_losing_the_good_one() {
    let (_root, at) = two();
    fs::write(at.dir.join(CURRENT), b"x").unwrap();
    let mut disk = Disk::open(&at).unwrap();
    disk.load(&Trust::default());
    let steps = disk.steps(&kept(3, &[1, 2])).unwrap().0;
    drop(disk);
    survives(&steps, |at| fs::write(at.dir.join(CURRENT), b"x").unwrap(), (1, 3));
}

#[test]
fn files_that_others_could_have_changed_are_not_used() {
    let (_root, at) = two();
    for (file, found) in [(CURRENT, 1), (NEWEST, 0)] {
        let path = at.dir.join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(start(&at).0, found, "{file}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(start(&at).0, 2);
    fs::set_permissions(&at.key_file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Disk::open(&at), Err(StateDirError::Exposed(_))));
    fs::set_permissions(&at.key_file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&at.key_file, [9; KEY_LEN]).unwrap();
    assert_eq!(start(&at).0, 0, "another node's key");
    let old = fs::read(at.dir.join(BEFORE)).unwrap();
    Disk::open(&at).unwrap().keep(&kept(3, &[3])).unwrap();
    assert_ne!(fs::read(at.dir.join(BEFORE)).unwrap(), old, "what cannot be read is not left behind");
    assert_eq!(start(&at), (3, None));
    fs::write(&at.key_file, [9; KEY_LEN - 1]).unwrap();
    assert!(matches!(Disk::open(&at), Err(StateDirError::NotAKey(_))));
}

#[test]
fn an_older_file_that_somebody_puts_back_is_refused() {
    let (_root, at) = two();
    let old = fs::read(at.dir.join(BEFORE)).unwrap();
    let mut disk = Disk::open(&at).unwrap();
    disk.load(&Trust::default());
    disk.keep(&kept(3, &[1, 2])).unwrap();
    drop(disk);
    fs::write(at.dir.join(CURRENT), &old).unwrap();
    let (version, why) = start(&at);
    assert_eq!(version, 2, "the one before is newer");
    assert!(why.unwrap().contains("older"));
    fs::write(at.dir.join(BEFORE), &old).unwrap();
    assert_eq!(start(&at).0, 0);
}

#[test]
fn a_secret_that_is_withdrawn_stays_in_neither_file() {
    let (_root, at) = two();
    let mut disk = Disk::open(&at).unwrap();
    disk.load(&Trust::default());
    let old = fs::read(at.dir.join(CURRENT)).unwrap();
    disk.keep(&kept(3, &[2])).unwrap();
    for file in [CURRENT, BEFORE] {
        let (head, _) = Head::open(&disk.key, &fs::read(at.dir.join(file)).unwrap()).unwrap();
        assert_eq!(head.version.counter, 3, "{file}");
    }
    drop(disk);
    fs::write(at.dir.join(CURRENT), old).unwrap();
    assert_eq!(start(&at).0, 3, "and a copy that holds it is not accepted any more");
}

/// Plays every prefix of the steps, and the last write of it in part, on fresh copies of two generations.
fn survives(steps: &[Step], prepare: impl Fn(&StateDir), (old, new): (u64, u64)) {
    let mut seen_new = false;
    for end in 0..=steps.len() {
        for torn in [false, true] {
            let (_root, at) = two();
            prepare(&at);
            // Sealed anew under the key of this copy: the steps are made by the same code.
            let mut disk = Disk::open(&at).unwrap();
            disk.load(&Trust::default());
            let secrets = if new == 4 { &[2][..] } else { &[1, 2] };
            let steps = disk.steps(&kept(new, secrets)).unwrap().0;
            let (done, rest) = steps.split_at(end);
            disk.run(done).unwrap();
            if let (true, Some(Step::Write(bytes))) = (torn, rest.first()) {
                write(&at.dir.join(COMING), &bytes[..bytes.len() / 2]).unwrap();
            }
            drop(disk);
            let (found, _) = start(&at);
            assert!(found == old || found == new, "after {end} steps: {found}");
            assert!(found == new || !seen_new, "never back to the old one");
            seen_new |= found == new;
            let mut disk = Disk::open(&at).unwrap();
            disk.load(&Trust::default());
            disk.keep(&kept(9, &[2])).unwrap();
            drop(disk);
            assert_eq!(start(&at), (9, None), "and the next state is kept as ever");
        }
    }
    assert!(seen_new);
}

#[test]
fn after_a_crash_at_any_step_the_old_or_the_new_state_is_whole() {
    let (_root, at) = two();
    let mut disk = Disk::open(&at).unwrap();
    disk.load(&Trust::default());
    survives(&disk.steps(&kept(3, &[1, 2])).unwrap().0, |_| {}, (2, 3));
    survives(&disk.steps(&kept(4, &[2])).unwrap().0, |_| {}, (2, 4));
}

#[test]
fn what_is_wiped_is_gone_with_its_key_and_what_comes_after_it_is_kept() {
    let (_root, at) = two();
    let (mut disk, old) = (Disk::open(&at).unwrap(), fs::read(&at.key_file).unwrap());
    let copy = fs::read(at.dir.join(CURRENT)).unwrap();
    disk.load(&Trust::default());
    disk.wipe().unwrap();
    assert_eq!(disk.version(), None);
    drop(disk);
    assert_eq!(start(&at), (0, None));
    assert_ne!(fs::read(&at.key_file).unwrap(), old);
    let names: Vec<_> = fs::read_dir(&at.dir).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(names, [LOCK], "nothing else is left");
    // A copy that was made before opens nothing.
    write(&at.dir.join(CURRENT), &copy).unwrap();
    assert_eq!(start(&at).0, 0);
    let mut disk = Disk::open(&at).unwrap();
    disk.wipe().unwrap();
    disk.keep(&kept(3, &[1])).unwrap();
    drop(disk);
    assert_eq!(start(&at).0, 3);
}

/// Of the key's versions those whose secret lies in one of the files.
fn lying(at: &StateDir) -> Vec<String> {
    let key = Disk::open(at).unwrap().key;
    let read = |file| fs::read(at.dir.join(file)).ok().and_then(|file| Head::open(&key, &file).ok());
    let all = [CURRENT, BEFORE].into_iter().filter_map(read).flat_map(|(_, chunk)| chunk.resources);
    let mut names: Vec<_> = all.filter(|one| one.kind() == Kind::Credential).map(|one| one.name).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn a_crash_in_a_withdrawal_leaves_no_secret_beside_a_state_that_is_told_to_be_kept() {
    let mut ends = 0..;
    let mut is_over = false;
    while !is_over {
        let root = TempDir::new().unwrap();
        let at = at(&root);
        let mut disk = Disk::open(&at).unwrap();
        disk.keep(&kept(1, &[1, 2])).unwrap();
        // A withdrawal too, so that both files are of the version that the next one follows.
        disk.keep(&kept(2, &[2])).unwrap();
        let steps = disk.steps(&kept(3, &[3])).unwrap().0;
        let end = ends.next().unwrap();
        disk.run(&steps[..end]).unwrap();
        is_over = end == steps.len();
        drop(disk);
        let (found, _) = start(&at);
        if found == 3 {
            assert_eq!(lying(&at), ["p/main/3"], "after {end} steps");
        }
    }
}

#[test]
fn an_older_file_with_secrets_that_are_still_there_stays() {
    let (_root, at) = two();
    assert_eq!(start(&at), (2, None));
    fs::remove_file(at.dir.join(CURRENT)).unwrap();
    assert_eq!(start(&at).0, 1, "a secret came since: that is no reason to remove it");
}
