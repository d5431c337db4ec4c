use super::*;
use crate::store::disk::{
    Space,
    faulty::{Call, Faulty, Strike},
};
use rustix::io::Errno;
use std::fs;

/// A journal of `records` records after the first, whose lengths differ.
fn filled(folder: &Path, records: u64, segment_bytes: u64) -> (Journal, Arc<Faulty>) {
    let disk = Arc::new(Faulty::default());
    let mut journal = reopen(folder, &disk, segment_bytes);
    journal.begin("c1", 1).unwrap();
    for at in 1..=records {
        append(&mut journal, at).unwrap();
    }
    (journal, disk)
}

fn reopen(folder: &Path, disk: &Arc<Faulty>, segment_bytes: u64) -> Journal {
    let disk: Arc<dyn Disk> = Arc::<Faulty>::clone(disk);
    Journal::open(folder, scan::scan(folder, None).unwrap(), disk, segment_bytes).unwrap()
}

fn append(journal: &mut Journal, at: u64) -> Result<Head, StoreError> {
    let entry = Entry { at, action: "x".repeat(at as usize % 7), ..Entry::default() };
    journal.append(1, at, &payload::encode(&entry, &[], &[]).unwrap())
}

/// Where each record of the first segment ends.
fn ends(folder: &Path) -> Vec<usize> {
    let mut records = Records::open(folder, Place { segment: 1, offset: 0 }, 1).unwrap();
    let mut ends = Vec::new();
    while let Ok(Some(_)) = records.read() {
        ends.push(records.place().offset as usize);
    }
    ends
}

fn seqs(folder: &Path, after: Option<u64>) -> Vec<u64> {
    let mut found = Vec::new();
    let reach = scan::scan(folder, None).unwrap().reach(folder, after).unwrap();
    reach
        .after(after, |record| {
            found.push(record.link.seq);
            Ok(false)
        })
        .unwrap();
    found
}

fn is_damaged(folder: &Path) -> bool {
    match scan::scan(folder, None) {
        Err(StoreError::Damaged(why)) => {
            assert!(why.contains("keyway restore"), "{why}");
            true
        }
        Ok(_) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (_, disk) = filled(dir.path(), 5, SEGMENT_BYTES);
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    let ends = ends(dir.path());
    let (start, end) = (ends[4], ends[5]);
    assert_eq!(end, whole.len());
    for length in start..end {
        // As it is after a crash: cut short, or with blocks that were never written.
        let zeros = vec![0; end - length];
        for rest in [&[][..], &zeros] {
            fs::write(&path, [&whole[..length], rest].concat()).unwrap();
            let read = scan::scan(dir.path(), None).unwrap();
            assert_eq!((read.head.unwrap().seq, read.end.offset), (4, start as u64));
            assert_eq!(read.torn.is_none(), length == start && rest.is_empty());
            let mut journal = reopen(dir.path(), &disk, SEGMENT_BYTES);
            assert_eq!(append(&mut journal, 5).unwrap().seq, 5);
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }
}

#[test]
fn what_was_read_is_synced_before_it_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let (_, disk) = filled(dir.path(), 5, SEGMENT_BYTES);
    disk.plan(&[(Call::Sync, 0, Strike::Error(Errno::IO))]);
    let read = scan::scan(dir.path(), None).unwrap();
    assert!(read.torn.is_none());
    let opened = Journal::open(dir.path(), read, disk, SEGMENT_BYTES);
    assert!(opened.is_err(), "whoever wrote the last may not have lived to sync it");
}

#[test]
fn the_last_record_is_written_once_more_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (_, disk) = filled(dir.path(), 5, SEGMENT_BYTES);
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    let open = |strike: Strike| {
        disk.plan(&[(Call::Write, 0, strike)]);
        let disk: Arc<dyn Disk> = Arc::<Faulty>::clone(&disk);
        Journal::open(dir.path(), scan::scan(dir.path(), None).unwrap(), disk, SEGMENT_BYTES)
    };
    assert!(open(Strike::Error(Errno::IO)).is_err(), "it is written");
    open(Strike::Short(3)).unwrap();
    open(Strike::Error(Errno::NOSPC)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn an_altered_record_before_the_last_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5, SEGMENT_BYTES);
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    for at in 0..ends(dir.path())[4] {
        let mut altered = whole.clone();
        altered[at] ^= 0x41;
        fs::write(&path, &altered).unwrap();
        assert!(is_damaged(dir.path()), "byte {at}");
        assert_eq!(fs::read(&path).unwrap(), altered, "left as it is");
    }
}

#[test]
fn an_altered_last_but_one_before_a_torn_last_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5, SEGMENT_BYTES);
    let path = segment_path(dir.path(), 1);
    let ends = ends(dir.path());
    for last in ends[4] + 1..ends[5] {
        let mut altered = fs::read(&path).unwrap()[..last].to_vec();
        altered[ends[4] - 1] ^= 1;
        fs::write(&path, &altered).unwrap();
        assert!(is_damaged(dir.path()), "cut at {last}");
        altered[ends[4] - 1] ^= 1;
        altered.resize(ends[5], 0);
        fs::write(&path, &altered).unwrap();
    }
}

#[test]
fn a_record_that_is_whole_but_does_not_follow_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5, SEGMENT_BYTES);
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    let ends = ends(dir.path());
    // Left out, twice, and swapped.
    for bad in [
        [&whole[..ends[3]], &whole[ends[4]..]].concat(),
        [&whole[..], &whole[ends[4]..]].concat(),
        [&whole[..ends[2]], &whole[ends[3]..ends[4]], &whole[ends[2]..ends[3]]].concat(),
        whole[ends[0]..].to_vec(),
    ] {
        fs::write(&path, bad).unwrap();
        assert!(is_damaged(dir.path()));
    }
}

#[test]
fn segments_belong_together() {
    let dir = tempfile::tempdir().unwrap();
    let (_, disk) = filled(dir.path(), 9, 600);
    let there = records::segments(dir.path()).unwrap();
    assert!(there.len() >= 3, "{there:?}");
    assert_eq!(seqs(dir.path(), None), (0..=9).collect::<Vec<_>>());
    assert_eq!(seqs(dir.path(), Some(6)), [7, 8, 9]);
    append(&mut reopen(dir.path(), &disk, 600), 10).unwrap();

    let second = segment_path(dir.path(), 2);
    let whole = fs::read(&second).unwrap();
    fs::write(&second, &whole[..whole.len() - 1]).unwrap();
    assert!(is_damaged(dir.path()), "a torn tail is only in the last");
    fs::write(&second, &whole[..0]).unwrap();
    assert!(is_damaged(dir.path()), "an empty one between others");
    fs::remove_file(&second).unwrap();
    assert!(is_damaged(dir.path()), "a missing one");
    fs::write(&second, &whole).unwrap();
    fs::remove_file(segment_path(dir.path(), 1)).unwrap();
    assert!(is_damaged(dir.path()), "a missing first");
}

#[test]
fn a_segment_that_was_begun_and_not_written_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let (_, disk) = filled(dir.path(), 3, SEGMENT_BYTES);
    fs::write(segment_path(dir.path(), 2), b"").unwrap();
    assert_eq!(append(&mut reopen(dir.path(), &disk, 100), 4).unwrap().seq, 4);
    assert_eq!(seqs(dir.path(), None), [0, 1, 2, 3, 4]);
}

#[test]
fn marks_lead_to_every_record() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = filled(dir.path(), 1100, 20_000);
    for after in [0, 510, 511, 512, 1023, 1024, 1099] {
        let reach = journal.reach(Some(after)).unwrap();
        let mut first = None;
        reach
            .after(Some(after), |record| {
                first = Some(record.link.seq);
                Ok(true)
            })
            .unwrap();
        assert_eq!(first, Some(after + 1));
        assert!(after < 512 || reach.from != Place { segment: 1, offset: 0 });
    }
}

#[test]
fn a_full_disk_changes_nothing_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, disk) = filled(dir.path(), 2, SEGMENT_BYTES);
    let path = segment_path(dir.path(), 1);
    let before = fs::read(&path).unwrap();
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        disk.plan(&[(Call::Write, 0, Strike::Short(30)), (Call::Write, 0, Strike::Error(errno))]);
        assert_eq!(append(&mut journal, 3), Err(StoreError::Full));
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    *disk.space.lock() = Some(Space { free: FLOOR_BYTES, total: 1 << 40 });
    assert_eq!(append(&mut journal, 3), Err(StoreError::Full));
    assert_eq!(fs::read(&path).unwrap(), before);
    *disk.space.lock() = None;
    disk.plan(&[(Call::Write, 0, Strike::Short(1)), (Call::Write, 0, Strike::Error(Errno::INTR))]);
    assert_eq!(append(&mut journal, 3).unwrap().seq, 3);
    assert_eq!(journal.failed(), None);
    assert_eq!(seqs(dir.path(), None), [0, 1, 2, 3]);
}

#[test]
fn a_full_disk_at_a_new_segment_passes_too() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, disk) = filled(dir.path(), 2, 300);
    disk.plan(&[(Call::Open, 0, Strike::Error(Errno::NOSPC))]);
    let refused = (3..9).map(|at| append(&mut journal, at)).filter(|done| *done == Err(StoreError::Full));
    assert_eq!(refused.count(), 1);
    assert_eq!(seqs(dir.path(), None), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_disk_that_fails_is_not_asked_again() {
    let error = |errno| Strike::Error(errno);
    let cases = [
        vec![(Call::Write, 0, error(Errno::IO))],
        vec![(Call::Write, 0, error(Errno::ROFS))],
        vec![(Call::Sync, 0, error(Errno::IO))],
        vec![(Call::Sync, 0, error(Errno::NOSPC))],
        vec![(Call::Write, 0, error(Errno::NOSPC)), (Call::Truncate, 0, error(Errno::IO))],
        vec![(Call::Write, 0, error(Errno::NOSPC)), (Call::Sync, 0, error(Errno::IO))],
        vec![(Call::Open, 0, error(Errno::IO))],
        vec![(Call::SyncFolder, 0, error(Errno::IO))],
    ];
    for plan in cases {
        let dir = tempfile::tempdir().unwrap();
        // Every record begins a segment.
        let (mut journal, disk) = filled(dir.path(), 2, 1);
        disk.plan(&plan);
        let first = append(&mut journal, 3);
        assert!(matches!(first, Err(StoreError::Failed(_))), "{plan:?}: {first:?}");
        let later = append(&mut journal, 4);
        assert!(matches!(later, Err(StoreError::ReadOnly(_))), "{plan:?}: {later:?}");
        assert!(journal.failed().is_some());
        // After a start what was acknowledged is there, and of the other all or nothing.
        let found = seqs(dir.path(), None);
        assert!(found == [0, 1, 2] || found == [0, 1, 2, 3], "{plan:?}: {found:?}");
    }
}
