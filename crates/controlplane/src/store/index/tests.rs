use super::*;
use crate::store::journal::record::Head;
use bytes::Bytes;
use std::time::Duration;

fn write(name: &str, expected: u64, value: &'static [u8]) -> Write {
    Write { key: Key::new("client", name), expected, value: Some(Bytes::from_static(value)) }
}

fn step(documents: &mut Documents, seq: u64, write: &Write) -> Applied {
    documents.write(write.clone());
    Applied::new(Head { seq, epoch: 1, hash: [seq as u8; 32] }, documents)
}

#[test]
fn what_was_applied_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let mut documents = Documents::default();
    let index = Index::open(dir.path()).unwrap();
    assert_eq!(index.load(), Ok(None));
    for (seq, write) in (1..).zip([write("a", 0, b"1"), write("b", 0, b"2"), write("a", 1, b"3")]) {
        let applied = step(&mut documents, seq, &write);
        index.apply(&[write], &applied).unwrap();
    }
    index.close().unwrap();
    let index = Index::open(dir.path()).unwrap();
    let (applied, loaded) = index.load().unwrap().unwrap();
    assert_eq!((applied.seq, loaded), (3, documents));
}

#[test]
fn a_large_record_goes_in_steps_and_counts_with_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut documents = Documents::default();
    let index = Index::open(dir.path()).unwrap();
    let one = write("one", 0, b"1");
    index.apply(std::slice::from_ref(&one), &step(&mut documents, 1, &one)).unwrap();
    let mut all: Vec<Write> = (0..=CHUNK).map(|number| write(&format!("{number}"), 0, b"2")).collect();
    all.push(write("one", 1, b"3"));
    all.iter().for_each(|one| documents.write(one.clone()));
    let applied = Applied::new(Head { seq: 2, epoch: 1, hash: [2; 32] }, &documents);
    index.apply(&all, &applied).unwrap();
    assert_eq!(index.load(), Ok(Some((applied, documents))));

    let mut early = batch(&all[..CHUNK]);
    early.remove(HEAD_KEY);
    index.write(early).unwrap();
    assert_eq!(index.load(), Err(IndexError::NoHead), "it ended after a step");
}

#[test]
fn what_was_not_applied_so_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let mut documents = Documents::default();
    let index = Index::open(dir.path()).unwrap();
    let one = write("a", 0, b"1");
    let applied = step(&mut documents, 1, &one);
    index.fill(&documents, &applied).unwrap();
    let key = encode_key(&one.key);
    let good = index.db.get(&key).unwrap().unwrap();
    let head = index.db.get(HEAD_KEY).unwrap().unwrap();

    index.db.remove(&key).unwrap();
    assert_eq!(index.load(), Err(IndexError::Sum), "a document lost");
    index.db.insert(encode_key(&Key::new("client", "b")), good.clone()).unwrap();
    assert_eq!(index.load(), Err(IndexError::Document), "under another name");
    index.db.remove(encode_key(&Key::new("client", "b"))).unwrap();
    index.db.insert(&key, good.clone()).unwrap();
    index.load().unwrap().unwrap();
    index.db.insert(&key, encode_document(&one.key, &Versioned { version: 2, value: Bytes::new() })).unwrap();
    assert_eq!(index.load(), Err(IndexError::Sum), "an older or newer one");
    index.db.insert(&key, good).unwrap();
    index.db.remove(HEAD_KEY).unwrap();
    assert_eq!(index.load(), Err(IndexError::NoHead), "a fill that ended early");
    index.db.insert(HEAD_KEY, &head[1..]).unwrap();
    assert_eq!(index.load(), Err(IndexError::NoHead));
}

fn check(program: &str, args: &[&str]) -> IndexCheck {
    IndexCheck { program: program.into(), args: args.iter().map(|arg| (*arg).into()).collect() }
}

#[test]
fn a_check_is_judged_by_how_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let within = Duration::from_millis(300);
    let run = |check: IndexCheck| check.run_within(dir.path(), within);
    assert_eq!(run(check("/bin/sh", &["-c", "test -d \"$0\""])), Verdict::Good, "the directory comes last");
    assert!(matches!(run(check("/bin/sh", &["-c", "exit 1"])), Verdict::Bad(_)));
    assert!(matches!(run(check("/bin/sh", &["-c", "kill -ABRT $$"])), Verdict::Bad(_)));
    assert!(matches!(run(check("/bin/sh", &["-c", "exec sleep 60"])), Verdict::Bad(_)));
    assert!(matches!(run(check("/no/such/program", &[])), Verdict::Unknown(_)));
}

#[test]
fn the_check_reads_everything() {
    for honest in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut documents = Documents::default();
        let applied = step(&mut documents, 1, &write("a", 0, b"1"));
        let index = Index::open(&dir.path().join(FOLDER)).unwrap();
        index.fill(&documents, &applied).unwrap();
        if !honest {
            index.apply(&[write("b", 0, b"2")], &applied).unwrap();
        }
        index.close().unwrap();
        assert_eq!(check_index(dir.path()).is_ok(), honest);
    }
}

#[test]
fn sled_is_not_waited_for_for_ever() {
    let long = Duration::from_secs(20);
    let hung = within(Duration::from_millis(50), || {
        std::thread::sleep(Duration::from_secs(5));
        Ok(())
    });
    assert_eq!(hung, Err(IndexError::Hung));
    assert_eq!(within::<()>(long, || panic!("as sled does")), Err(IndexError::Panicked));
    assert_eq!(within(long, || Ok(3)), Ok(3));
}
