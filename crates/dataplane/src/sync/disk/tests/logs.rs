//! A large state is written once, and then what changes.

use super::*;
use keyway_proto::SCHEMA;
use keyway_snapshot::{Change, signed};

const CLIENTS: usize = 3000;

fn client(number: usize, team: &str) -> Resource {
    let (name, state) = (format!("client-{number}"), wire::ClientState::Enabled as i32);
    let team = format!("{team}-{:0>80}", number);
    resource(
        Kind::Client,
        &name,
        &wire::Client { name: name.clone(), state, team, ..wire::Client::default() },
    )
}

/// Much larger than a change.
fn large() -> Kept {
    let small = kept(1, &[1]).snapshot;
    let change = Change { given: (0..CLIENTS).map(|n| client(n, "a")).collect(), taken: Vec::new() };
    let snapshot = small.changed(small.version, &change).unwrap();
    Kept { snapshot: Arc::new(snapshot), ..kept(1, &[1]) }
}

/// The state after it, with one client in another team.
fn next(before: &Kept, number: usize) -> Kept {
    let version = Version { counter: before.snapshot.version.counter + 1, ..before.snapshot.version };
    let team = format!("v{}", version.counter);
    let change = Change { given: vec![client(number, &team)], taken: Vec::new() };
    let snapshot = Arc::new(before.snapshot.changed(version, &change).unwrap());
    Kept { snapshot, ..before.clone() }
}

fn size(at: &StateDir, name: &str) -> u64 {
    fs::metadata(at.dir.join(name)).map_or(0, |file| file.len())
}

/// A base, and three changes after it.
fn grown() -> (TempDir, StateDir, Kept) {
    let root = TempDir::new().unwrap();
    let at = at(&root);
    let mut disk = Disk::open(&at).unwrap();
    let mut state = large();
    disk.keep(&state).unwrap();
    let whole = size(&at, CURRENT);
    for number in 0..3 {
        state = next(&state, number);
        disk.keep(&state).unwrap();
    }
    assert_eq!(size(&at, CURRENT), whole, "not written again");
    assert!(size(&at, CHANGES) < 4096, "{} bytes for three clients", size(&at, CHANGES));
    drop(disk);
    (root, at, state)
}

#[test]
fn what_changed_is_found_again_and_the_older_file_stands_in() {
    let (_root, at, state) = grown();
    let mut disk = Disk::open(&at).unwrap();
    let (loaded, why) = disk.load(&Trust::default());
    let loaded = loaded.unwrap();
    assert_eq!(
        (loaded.snapshot.hash, loaded.snapshot.parts, why),
        (state.snapshot.hash, state.snapshot.parts, None)
    );
    disk.confirm(1_800_000_777).unwrap();
    drop(disk);
    assert!(size(&at, CHANGES) < 4096, "an hour costs as little");
    fs::write(at.dir.join(CURRENT), b"x").unwrap();
    let mut disk = Disk::open(&at).unwrap();
    let (loaded, _) = disk.load(&Trust::default());
    let loaded = loaded.unwrap();
    assert_eq!((loaded.snapshot.hash, loaded.confirmed_at), (state.snapshot.hash, 1_800_000_777));
    disk.keep(&next(&state, 7)).unwrap();
    drop(disk);
    assert_eq!(start(&at), (5, None));
}

#[test]
fn wherever_a_log_is_cut_or_changed_only_the_newest_two_are_served() {
    let (_root, at, _) = grown();
    let path = at.dir.join(CHANGES);
    let whole = fs::read(&path).unwrap();
    let last = whole.len() - whole.len() / 3;
    for end in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..end]).unwrap();
        let (found, why) = start(&at);
        // The one before the last is allowed, an older one is what somebody put back.
        assert!(found == 0 || found == 3, "cut at {end}: {found} {why:?}");
        assert!(end > last || found == 0 || found == 3);
        let mut flipped = whole.clone();
        flipped[end] ^= 1;
        fs::write(&path, flipped).unwrap();
        let (found, _) = start(&at);
        assert!(found == 0 || found == 3, "flipped at {end}: {found}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(start(&at), (4, None));
}

#[test]
fn nothing_is_written_behind_a_torn_piece() {
    let (_root, at, state) = grown();
    let path = at.dir.join(CHANGES);
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(&[0, 0, 1, 0, 9, 9]);
    fs::write(&path, torn).unwrap();
    let mut disk = Disk::open(&at).unwrap();
    assert_eq!(disk.load(&Trust::default()).0.unwrap().snapshot.version.counter, 4);
    let after = next(&state, 1);
    disk.keep(&after).unwrap();
    disk.keep(&next(&after, 2)).unwrap();
    drop(disk);
    assert_eq!(start(&at), (6, None));
    fs::write(at.dir.join(CURRENT), b"x").unwrap();
    assert_eq!(start(&at).0, 0, "what the older file needs was torn: nothing old is served");
}

#[test]
fn when_a_log_is_full_the_older_file_still_leads_to_the_newest_state() {
    let (_root, at, state) = grown();
    let mut disk = Disk::open(&at).unwrap();
    disk.load(&Trust::default());
    disk.on_disk.as_mut().unwrap().log.changes = LOG_CHANGES;
    let whole = next(&state, 5);
    disk.keep(&whole).unwrap();
    assert_eq!(size(&at, CHANGES), 0);
    let after = next(&whole, 6);
    disk.keep(&after).unwrap();
    assert!(size(&at, CHANGES) > 0 && size(&at, CHANGES_BEFORE) > 0);
    drop(disk);
    assert_eq!(start(&at), (6, None));
    fs::write(at.dir.join(CURRENT), b"x").unwrap();
    assert_eq!(start(&at).0, 6);
    fs::remove_file(at.dir.join(CHANGES)).unwrap();
    assert_eq!(start(&at).0, 5, "the one before");
}

#[test]
fn a_log_ends_where_a_secret_goes() {
    let (_root, at, state) = grown();
    let mut disk = Disk::open(&at).unwrap();
    disk.load(&Trust::default());
    let version = Version { epoch: 1, counter: 5 };
    let resources: Vec<_> = state.snapshot.resources().iter().cloned().collect();
    let others = resources.into_iter().filter(|one| one.kind() != Kind::Credential);
    let without: Vec<_> = others.collect();
    let snapshot = Arc::new(Snapshot::build(version, &without).unwrap());
    disk.keep(&Kept { snapshot, ..state.clone() }).unwrap();
    drop(disk);
    assert_eq!((size(&at, CHANGES), size(&at, CHANGES_BEFORE)), (0, 0));
    assert_eq!(size(&at, CURRENT), size(&at, BEFORE));
    assert_eq!(start(&at), (5, None));
}

#[test]
fn after_a_crash_at_any_step_of_a_change_the_old_or_the_new_state_is_whole() {
    let (root, at, state) = grown();
    let steps = {
        let mut disk = Disk::open(&at).unwrap();
        disk.load(&Trust::default());
        disk.steps(&next(&state, 9)).unwrap().0.len()
    };
    for end in 0..=steps {
        for torn in [false, true] {
            let copy = TempDir::new().unwrap();
            let here = super::at(&copy);
            for dir in ["state", "keys"] {
                fs::create_dir_all(copy.path().join(dir)).unwrap();
                for file in fs::read_dir(root.path().join(dir)).unwrap() {
                    let file = file.unwrap();
                    fs::copy(file.path(), copy.path().join(dir).join(file.file_name())).unwrap();
                }
            }
            let mut disk = Disk::open(&here).unwrap();
            disk.load(&Trust::default());
            let (steps, _) = disk.steps(&next(&state, 9)).unwrap();
            let (done, rest) = steps.split_at(end);
            disk.run(done).unwrap();
            if let (true, Some(Step::Append(name, bytes))) = (torn, rest.first()) {
                append(&here.dir.join(name), &bytes[..bytes.len() / 2]).unwrap();
            }
            drop(disk);
            let (found, _) = start(&here);
            assert!(found == 4 || found == 5, "after {end} steps: {found}");
            let mut disk = Disk::open(&here).unwrap();
            disk.load(&Trust::default());
            let after = next(&next(&state, 9), 10);
            disk.keep(&after).unwrap();
            drop(disk);
            assert_eq!(start(&here), (6, None), "and the next state is kept as ever");
        }
    }
}

#[test]
fn a_state_whose_signature_was_changed_or_is_of_nobody_known_is_not_served() {
    use crate::sync::trust::tests::sign;
    let root = TempDir::new().unwrap();
    let at = at(&root);
    let state = kept(1, &[1]);
    let bytes = signed("here", state.snapshot.version, state.snapshot.hash, SCHEMA);
    let mut disk = Disk::open(&at).unwrap();
    disk.keep(&Kept { signature: sign(1, &bytes), ..state.clone() }).unwrap();
    drop(disk);
    let found = |trust: &Trust| {
        let (loaded, why) = Disk::open(&at).unwrap().load(trust);
        (loaded.map(|loaded| loaded.signature.signer), why.unwrap_or_default())
    };
    let signer = sign(1, &bytes).signer;
    assert_eq!(
        found(&Trust::default()).0,
        Some(signer.clone()),
        "kept with the state, and counts from then on"
    );
    assert_eq!(found(&Trust::in_keys(vec![signer])).0, Some(sign(1, &bytes).signer));
    let other = found(&Trust::in_keys(vec![sign(2, &bytes).signer]));
    assert!(other.0.is_none() && other.1.contains("is of a key that is not known here"), "{}", other.1);
    let mut disk = Disk::open(&at).unwrap();
    disk.keep(&Kept { signature: sign(1, b"another state"), ..state }).unwrap();
    drop(disk);
    assert!(found(&Trust::default()).1.contains("is not of this state"));
}

/// Plays the steps of a state as far as they go, and then the disk refuses: the file that this one appends to gets half.
fn fails(disk: &mut Disk, kept: &Kept, is_last: impl Fn(&Step) -> bool) {
    let steps = disk.steps(kept).unwrap().0;
    let end = steps.iter().rposition(is_last).unwrap();
    disk.run(&steps[..end]).unwrap();
    if let Step::Append(name, bytes) = &steps[end] {
        append(&disk.dir.join(name), &bytes[..bytes.len() / 2]).unwrap();
    }
    disk.spoil();
}

#[test]
fn nothing_is_written_behind_a_first_piece_that_the_disk_took_in_part() {
    let root = TempDir::new().unwrap();
    let at = at(&root);
    let mut disk = Disk::open(&at).unwrap();
    let mut state = large();
    disk.keep(&state).unwrap();
    state = next(&state, 0);
    fails(&mut disk, &state, |step| matches!(step, Step::Append(..)));
    disk.keep(&state).unwrap();
    assert_eq!(size(&at, CHANGES), 0, "what was torn is gone");
    for number in 1..3 {
        state = next(&state, number);
        disk.keep(&state).unwrap();
    }
    drop(disk);
    assert_eq!(start(&at), (4, None));
}

#[test]
fn a_state_is_kept_again_after_the_disk_failed_behind_any_renaming() {
    for is_last in [
        (|step| matches!(step, Step::Sync)) as fn(&Step) -> bool,
        |step| matches!(step, Step::Place(CURRENT)),
        |step| matches!(step, Step::Rename(CURRENT, _)),
    ] {
        let (_root, at, state) = grown();
        let mut disk = Disk::open(&at).unwrap();
        disk.load(&Trust::default());
        disk.spoil();
        let state = next(&state, 9);
        fails(&mut disk, &state, is_last);
        disk.keep(&state).unwrap();
        disk.keep(&next(&state, 10)).unwrap();
        drop(disk);
        assert_eq!(start(&at), (6, None));
    }
}
