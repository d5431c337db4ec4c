//! Copies of the books, and whose books a home goes on with when one comes back.

use super::*;
use std::{
    fs,
    io::{self, Read},
};

fn one(number: u64) -> Batch {
    batch("p", &[frame(number, vec![record(number, NOW - MINUTE, spender("ada", "m"))])])
}

/// What a backup and its unpacking do to a copy.
fn bring(books: &Books, stage: &TempDir) {
    let mut file = fs::File::create_new(stage.path().join(NAME)).unwrap();
    io::copy(&mut books.copy().unwrap(), &mut file).unwrap();
}

fn names(home: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_one_moment_and_leaves_nothing_behind() {
    let (home, books) = books();
    for number in 1..=20 {
        books.book(one(number), NOW).await.unwrap();
    }
    let before = names(&home);
    fs::write(home.path().join("usage.db.copy"), "left by a crash").unwrap();
    let mut copy = books.copy().unwrap();
    assert_eq!(names(&home), before);
    books.book(one(21), NOW).await.unwrap();
    let (stage, mut bytes) = (tempfile::tempdir().unwrap(), Vec::new());
    copy.read_to_end(&mut bytes).unwrap();
    fs::write(stage.path().join(NAME), bytes).unwrap();
    let copied = Books::open(stage.path(), NOW).unwrap();
    assert_eq!((total(&copied).await.requests, total(&books).await.requests), (20, 21));
    let db = Place::new(stage.path()).writer().unwrap();
    let kept: i64 = db.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 2, "pages that become free can be given back still");
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_books_take_what_comes_again_once_and_count_what_does_not() {
    let (_lost, old) = books();
    old.book(one(1), NOW).await.unwrap();
    old.book(one(2), NOW + 7_000).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    bring(&old, &home);
    // After the backup: 3 and 4 were accepted, so their replica has them no more; 5 was not.
    for number in 3..=5 {
        old.book(one(number), NOW + 9_000).await.unwrap();
    }
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(choose(empty.path(), home.path()).unwrap(), Brought::Until { booked: NOW + 7_000 });
    assert_eq!(names(&home), [NAME], "no log of its own is left beside it");
    let books = reopen(&home);
    assert_eq!(books.condition().await.unwrap().left_out, Some(LeftOut { after: NOW + 7_000, frames: 0 }));
    for number in [2, 5, 5, 6] {
        books.book(one(number), NOW + 20_000).await.unwrap();
    }
    assert_eq!(total(&books).await.requests, 4);
    let condition = books.condition().await.unwrap();
    assert_eq!(condition.left_out, Some(LeftOut { after: NOW + 7_000, frames: 2 }));
    assert_eq!((condition.lost, condition.overlapped), (2, 0));
    let found = crate::doctor::usage(&condition, &Retention::default());
    assert_eq!(found.len(), 1, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_hold_all_of_the_backup_are_kept() {
    let (home, books) = books();
    books.book(one(1), NOW).await.unwrap();
    let (same, later) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    bring(&books, &same);
    books.book(one(2), NOW).await.unwrap();
    bring(&books, &later);
    books.close_in_test().await;
    assert_eq!(choose(home.path(), same.path()).unwrap(), Brought::Kept);
    assert_eq!(names(&same), Vec::<String>::new());
    assert_eq!(total(&reopen(&home)).await.requests, 2);

    let other = tempfile::tempdir().unwrap();
    Books::open(other.path(), NOW).unwrap().close_in_test().await;
    assert!(matches!(choose(other.path(), later.path()).unwrap(), Brought::Until { .. }), "begun anew");
    let damaged = tempfile::tempdir().unwrap();
    fs::write(damaged.path().join(NAME), [b'x'; 8192]).unwrap();
    assert!(matches!(choose(damaged.path(), later.path()).unwrap(), Brought::Until { .. }));
    let none = tempfile::tempdir().unwrap();
    assert_eq!(choose(home.path(), none.path()).unwrap(), Brought::Nothing);
    fs::write(none.path().join(NAME), [b'x'; 8192]).unwrap();
    choose(home.path(), none.path()).expect_err("no books at all");
}
