//! A spool against books as the control plane keeps them: whatever comes between, both sides end at the same totals.

use super::*;
use keyway_metering::{Fold, add};
use keyway_proto::{
    fleet::v1::{Count, Spender, UsageSource},
    snapshot::v1::Meter,
};
use proptest::prelude::*;
use std::{collections::HashMap, sync::atomic::Ordering::Relaxed};
use tempfile::TempDir;

const MINUTE: u64 = 29_000_000;

/// What a control plane has booked.
#[derive(Default)]
struct Books {
    marks: HashMap<String, u64>,
    booked: Vec<Frame>,
}

impl Books {
    /// Books a batch; gives the number up to which it did.
    fn book(&mut self, batch: &Batch) -> u64 {
        let mark = self.marks.entry(batch.incarnation.clone()).or_default();
        for frame in &batch.frames {
            let frame = Frame::decode(frame.as_slice()).unwrap();
            if frame.last <= *mark {
                continue;
            }
            assert_eq!(frame.first, *mark + 1, "no frame is lost, none is half booked");
            *mark = frame.last;
            self.booked.push(frame);
        }
        *mark
    }
}

fn record(client: &str, tag: u64, minute: u64) -> Record {
    Record {
        id: vec![7; 16],
        spender: Some(Spender {
            client: client.to_owned(),
            model: "m".to_owned(),
            tags: vec![format!("run={tag}")],
            ..Spender::default()
        }),
        started_unix_millis: minute * 60_000,
        usage_source: UsageSource::Provider.into(),
        nano_dollars: Some(5),
        counts: vec![Count { meter: Meter::Output.into(), count: tag }],
        total_micros: 9,
        asked: "x".repeat(100),
        ..Record::default()
    }
}

fn spool(dir: Option<&Path>, incarnation: &str, limit: u64) -> Spool {
    Spool::open(dir, incarnation, limit, Arc::default())
}

/// Everything, whoever's.
fn total<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Sum {
    let mut sums = Fold::new(0);
    frames.into_iter().for_each(|frame| sums.frame(frame));
    let mut all = Sum::default();
    sums.into_sums().iter().for_each(|sum| add(&mut all, sum));
    all
}

/// Sends everything.
fn settle(spool: &mut Spool, books: &mut Books) {
    while let Some(batch) = spool.batch("r") {
        let last = books.book(&batch);
        spool.accepted(&batch.incarnation, last);
    }
    assert!(!spool.has_unread());
}

fn files(root: &TempDir) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in fs::read_dir(root.path().join(USAGE)).into_iter().flatten() {
        found.extend(fs::read_dir(dir.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
    }
    found.sort();
    found
}

#[test]
fn what_was_accepted_is_gone_and_what_was_not_comes_again() {
    let root = TempDir::new().unwrap();
    let mut spool = spool(Some(root.path()), "a", 32 * 1000);
    let mut books = Books::default();
    for number in 0..20 {
        spool.write(vec![record("c", number, MINUTE)], Vec::new());
    }
    assert!(files(&root).len() > 3, "segments are of a bounded size");
    let lost = spool.batch("r").unwrap();
    let again = spool.batch("r").unwrap();
    assert!(lost.frames == again.frames, "an answer that was lost costs nothing");
    let count = lost.frames.len();
    assert!((2..10).contains(&count), "a batch of a small spool is small: {count}");
    books.book(&lost);
    spool.accepted("a", count as u64 - 1);
    spool.accepted("elsewhere", 20);
    assert!(spool.batch("r").unwrap().frames[0] == lost.frames[count - 1]);
    settle(&mut spool, &mut books);
    assert_eq!(total(&books.booked).requests, 20);
    assert_eq!(files(&root).len(), 1, "the open segment");
    spool.end();
    assert!(fs::read_dir(root.path().join(USAGE)).unwrap().next().is_none());
}

#[test]
fn a_file_is_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let root = TempDir::new().unwrap();
    let mut spool = spool(Some(root.path()), "a", 1 << 20);
    spool.write(vec![record("c", 1, MINUTE)], Vec::new());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = files(&root).remove(0);
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn a_spool_cut_anywhere_loses_only_what_was_cut() {
    let root = TempDir::new().unwrap();
    let mut first = spool(Some(root.path()), "a", 1 << 20);
    (1..=3).for_each(|number| first.write(vec![record("c", number, MINUTE)], Vec::new()));
    first.sync();
    let file = files(&root).remove(0);
    let whole = fs::read(&file).unwrap();
    let each = whole.len() / 3;
    drop(first);
    for cut in 0..=whole.len() {
        fs::write(&file, &whole[..cut]).unwrap();
        let mut spool = spool(Some(root.path()), "b", 1 << 20);
        spool.write(vec![record("c", 1, MINUTE)], Vec::new());
        let mut books = Books::default();
        let first = spool.batch("r").unwrap();
        assert_eq!(first.incarnation == "a", cut >= each, "what was left comes first");
        settle(&mut spool, &mut books);
        assert_eq!(books.booked.len(), cut / each + 1, "cut at {cut}");
        assert!(!file.exists() && !file.with_extension("sent").exists());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        spool.end();
    }
}

#[test]
fn whatever_a_record_holds_it_is_read_back_with_those_behind_it() {
    let (mut spool, mut books) = (spool(None, "a", DISK_LIMIT), Books::default());
    let long = "\u{e9}".repeat(1 << 20);
    let mut large = record("c", 1, MINUTE);
    let spender = Spender {
        client: "c".to_owned(),
        model: long.clone(),
        tags: vec![long.clone(); 3],
        ..Spender::default()
    };
    large.spender = Some(spender.clone());
    (large.asked, large.route) = (long.clone(), vec![long; 3]);
    let sum = Sum { spender: Some(spender), minute: MINUTE, requests: 1, ..Sum::default() };
    spool.write(vec![large], vec![sum]);
    spool.write(vec![record("c", 2, MINUTE)], Vec::new());
    settle(&mut spool, &mut books);
    spool.write(vec![record("c", 3, MINUTE)], Vec::new());
    settle(&mut spool, &mut books);
    assert_eq!(total(&books.booked).requests, 4);
    assert_eq!(spool.counts.damaged.load(Relaxed), 0);
    let cut = books.booked[0].records[0].spender.as_ref().unwrap();
    assert_eq!(
        (cut.client.as_str(), cut.model.len(), cut.tags.as_slice()),
        ("c", 256, &["other".to_owned()][..])
    );
}

#[test]
fn what_comes_after_a_damage_is_read() {
    use std::os::unix::fs::FileExt;
    let root = TempDir::new().unwrap();
    let mut spool = spool(Some(root.path()), "a", 1 << 30);
    let write = |spool: &mut Spool, number| spool.write(vec![record("c", number, MINUTE)], Vec::new());
    write(&mut spool, 1);
    let file = files(&root).remove(0);
    let each = fs::metadata(&file).unwrap().len();
    // More than is read at once lies behind what is damaged.
    let many = 2 * BATCH as u64 / each;
    (2..=many).for_each(|number| write(&mut spool, number));
    fs::OpenOptions::new().write(true).open(&file).unwrap().write_all_at(b"?", each + 50).unwrap();
    let lost = fs::metadata(&file).unwrap().len() - each;
    let mut seen = Vec::new();
    for number in many + 1..many + 4 {
        while let Some(batch) = spool.batch("r") {
            let frames = batch.frames.iter().map(|frame| Frame::decode(frame.as_slice()).unwrap().last);
            seen.extend(frames);
            spool.accepted("a", *seen.last().unwrap());
        }
        write(&mut spool, number);
    }
    assert_eq!(seen, [1, many + 1, many + 2]);
    assert_eq!(spool.counts.damaged.load(Relaxed), lost);
}

#[test]
fn a_full_spool_loses_detail_and_no_count_and_leaves_what_was_offered() {
    let root = TempDir::new().unwrap();
    let mut spool = spool(Some(root.path()), "a", 32 * 1000);
    let mut books = Books::default();
    let write = |spool: &mut Spool, number: u64| {
        spool.write(vec![record("c", number, MINUTE + number / 50)], Vec::new());
        while spool.make_room() {}
    };
    (0..10).for_each(|number| write(&mut spool, number));
    let offered = spool.batch("r").unwrap();
    (10..2_000).for_each(|number| write(&mut spool, number));
    let counts = Arc::clone(&spool.counts);
    assert!(counts.folded.load(Relaxed) > 1_000);
    assert!(spool.bytes(false) <= 33 * 1000, "{}", spool.bytes(false));
    let again = spool.batch("r").unwrap();
    assert!(again.frames == offered.frames, "offered frames keep their numbers");
    books.book(&offered);
    settle(&mut spool, &mut books);
    let all = total(&books.booked);
    assert_eq!((all.requests, all.nano_dollars, all.counts[0].count), (2_000, 10_000, (0..2_000).sum()));
    assert!(books.booked.len() < 300, "{}", books.booked.len());
    assert_eq!(counts.errors.load(Relaxed), 0);
}

#[test]
fn full_begins_before_detail_goes_and_ends_once_it_is_all_in_the_books() {
    for root in [None, Some(TempDir::new().unwrap())] {
        let mut spool = spool(root.as_ref().map(TempDir::path), "a", 32 * 1000);
        let (mut books, counts) = (Books::default(), Arc::clone(&spool.counts));
        let is_full = || counts.is_full.load(Relaxed);
        let write = |spool: &mut Spool, number: u64| {
            spool.write(vec![record("c", number, MINUTE + number)], Vec::new());
            while spool.make_room() {}
        };
        let mut number = 0;
        while !is_full() {
            write(&mut spool, number);
            number += 1;
        }
        let left = spool.disk_limit - spool.bytes(root.is_none());
        assert!(number > 50 && (500..1000).contains(&left), "{number} records, {left} bytes");
        assert_eq!(counts.folded.load(Relaxed), 0);
        settle(&mut spool, &mut books);
        while spool.make_room() {}
        assert!(!is_full());
        assert_eq!(books.booked.iter().map(|frame| frame.records.len() as u64).sum::<u64>(), number);
        // Requests that were under way overflow it: folding makes room, yet detail has gone.
        (0..2 * number).for_each(|number| write(&mut spool, number));
        assert!(is_full() && counts.folded.load(Relaxed) > 0);
        settle(&mut spool, &mut books);
        while spool.make_room() {}
        assert!(!is_full());
    }
}

#[test]
fn without_a_directory_it_is_the_same_in_memory() {
    let mut spool = spool(None, "a", 32 * 1000);
    let mut books = Books::default();
    for number in 0..500 {
        spool.write(vec![record("c", number, MINUTE + number)], Vec::new());
        while spool.make_room() {}
    }
    assert!(spool.bytes(true) <= 33 * 1000 && spool.bytes(false) == 0);
    settle(&mut spool, &mut books);
    assert_eq!(total(&books.booked).requests, 500);
}

#[test]
fn short_of_memory_it_takes_less_and_loses_no_count() {
    let mut spool = spool(None, "a", DISK_LIMIT);
    let mut books = Books::default();
    let most = SCARCE_LIMIT + SCARCE_LIMIT / 4;
    let mut number = 0;
    while spool.bytes(true) < most {
        spool.write((0..100).map(|at| record("c", number + at, MINUTE)).collect(), Vec::new());
        number += 100;
    }
    while spool.make_room() {}
    assert!(spool.bytes(true) >= most, "there is room for it");
    spool.shrink(true);
    while spool.make_room() {}
    assert!(spool.bytes(true) <= SCARCE_LIMIT, "{}", spool.bytes(true));
    spool.shrink(false);
    settle(&mut spool, &mut books);
    assert_eq!(total(&books.booked).requests, number);
}

#[test]
fn a_disk_that_takes_nothing_is_waited_for_in_memory() {
    let root = TempDir::new().unwrap();
    // No directory can be made where a file is.
    fs::write(root.path().join(USAGE), "").unwrap();
    let mut spool = spool(Some(root.path()), "a", 32 * 1000);
    let mut books = Books::default();
    (0..30).for_each(|number| spool.write(vec![record("c", number, MINUTE)], Vec::new()));
    assert!(spool.is_held_up() && spool.counts.errors.load(Relaxed) > 0);
    let offered = spool.batch("r").unwrap();
    books.book(&offered);
    spool.accepted("a", 4);
    spool.try_disk();
    assert!(spool.is_held_up());
    fs::remove_file(root.path().join(USAGE)).unwrap();
    spool.try_disk();
    assert!(!spool.is_held_up());
    (30..40).for_each(|number| spool.write(vec![record("c", number, MINUTE)], Vec::new()));
    assert_eq!(spool.bytes(true), 0);
    drop(spool);
    let mut after = self::spool(Some(root.path()), "b", 32 * 1000);
    settle(&mut after, &mut books);
    assert_eq!(total(&books.booked).requests, 40);
}

#[test]
fn of_a_fold_that_a_crash_came_into_the_result_counts() {
    let root = TempDir::new().unwrap();
    let mut before = spool(Some(root.path()), "a", 1 << 20);
    let mut copies = Vec::new();
    for number in 0..400 {
        before.write(vec![record("c", number, MINUTE)], Vec::new());
    }
    before.disk_limit = 32 * 1000;
    for file in files(&root) {
        copies.push((file.clone(), fs::read(file).unwrap()));
    }
    while before.make_room() {}
    drop(before);
    let folded = files(&root);
    for (file, bytes) in copies.iter().filter(|(file, _)| !folded.contains(file)) {
        fs::write(file, bytes).unwrap();
    }
    let mut after = spool(Some(root.path()), "b", 1 << 20);
    let mut books = Books::default();
    settle(&mut after, &mut books);
    assert_eq!(total(&books.booked).requests, 400);
}

#[derive(Debug, Clone)]
enum Step {
    Write { requests: u64, tag: u64 },
    Offer { is_heard: bool },
    Room,
    Start,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..40_u64, 0..50_u64).prop_map(|(requests, tag)| Step::Write { requests, tag }),
        2 => any::<bool>().prop_map(|is_heard| Step::Offer { is_heard }),
        3 => Just(Step::Room),
        1 => Just(Step::Start),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_between_the_books_end_at_what_was_metered(
        steps in prop::collection::vec(step(), 1..60),
        on_disk in any::<bool>(),
    ) {
        let root = TempDir::new().unwrap();
        let dir = on_disk.then(|| root.path());
        let mut books = Books::default();
        let mut process = 0;
        let mut spool = self::spool(dir, "0", 20_000);
        let (mut written, mut minute) = (0, MINUTE);
        for step in steps {
            match step {
                Step::Write { requests, tag } => {
                    minute += 1;
                    let records = (0..requests).map(|number| record("c", tag + number, minute));
                    spool.write(records.collect(), Vec::new());
                    written += requests;
                }
                Step::Offer { is_heard } => {
                    if let Some(batch) = spool.batch("r") {
                        let last = books.book(&batch);
                        if is_heard {
                            spool.accepted(&batch.incarnation, last);
                        }
                    }
                }
                Step::Room => while spool.make_room() {},
                Step::Start if on_disk => {
                    process += 1;
                    spool = self::spool(dir, &process.to_string(), 20_000);
                }
                Step::Start => {}
            }
        }
        settle(&mut spool, &mut books);
        let all = total(&books.booked);
        prop_assert_eq!((all.requests, all.nano_dollars), (written, 5 * written));
    }
}
