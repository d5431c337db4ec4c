//! What goes when, what stays exact after it, and what becomes of a file that cannot be used.

use super::*;

async fn tidy(books: &Books, retention: Retention, now: u64) {
    for _ in 0..10_000 {
        if !books.tidy(retention, now).await.unwrap() {
            return;
        }
    }
    panic!("never done");
}

async fn aged() -> (TempDir, Books) {
    let (home, books) = books();
    let of = |number: u64| record(number, NOW - number * 3 * HOUR, spender("a", "m"));
    let records: Vec<Record> = (0..1_200).map(of).collect();
    books.book(batch("p", &[frame(1, records)]), NOW).await.unwrap();
    (home, books)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_grain_goes_in_its_time_and_sums_stay_exact() {
    let (_home, books) = aged().await;
    let before = total(&books).await;
    tidy(&books, Retention::default(), NOW).await;
    assert_eq!(total(&books).await, before, "days are kept");
    let search = Search { since: 0, until: NOW + 1, limit: 10_000, ..Search::default() };
    assert_eq!(books.search(search).await.unwrap().entries.len(), 30 * 8 + 1);
    let within = |since, by: &[By]| Question { since, limit: 10_000, ..question(by) };
    let hours = ask(&books, within(NOW - 80 * DAY, &[By::Time(Level::Hour)])).await;
    assert_eq!((hours.rows.len(), hours.since), (80 * 8 + 1, NOW - 80 * DAY - 30 * MINUTE));
    // So fine it is no longer known, and that is said.
    let refused = books.report(within(NOW - 100 * DAY, &[By::Time(Level::Hour)])).await.unwrap();
    assert_eq!(refused.unwrap_err().level, Level::Hour);
    let refused = books.report(within(NOW - 8 * DAY, &[By::Time(Level::Minute)])).await.unwrap();
    assert!(refused.unwrap_err().from <= NOW - 6 * DAY);
    // Long ago whole days are given, and the answer says which.
    let old = ask(&books, Question { until: NOW - 99 * DAY, ..within(NOW - 100 * DAY, &[]) }).await;
    assert_eq!((old.since % DAY, old.until % DAY, old.total.requests), (0, 0, 16));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_in_the_days_and_goes_again_from_the_minutes() {
    let (_home, books) = aged().await;
    tidy(&books, Retention::default(), NOW).await;
    let late = record(9_999, NOW - 50 * DAY, spender("a", "m"));
    books.book(batch("old", &[frame(1, vec![late])]), NOW).await.unwrap();
    assert_eq!(total(&books).await.requests, 1_201);
    tidy(&books, Retention::default(), NOW).await;
    assert_eq!(total(&books).await.requests, 1_201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_gives_up_records_before_sums_and_gets_smaller() {
    let (home, books) = books();
    for number in 1..=100_u64 {
        let of = |one: u64| {
            let reason = "x".repeat(400);
            Record { reason, ..record(one, NOW - one * MINUTE, spender("a", "m")) }
        };
        let records = (number * 500..number * 500 + 500).map(of).collect();
        books.book(batch("p", &[frame(number, records)]), NOW).await.unwrap();
    }
    let size = || std::fs::metadata(home.path().join("usage.db")).unwrap().len();
    let (before, all) = (size(), total(&books).await);
    let retention =
        Retention { max_size: 16 << 20, records: 90 * DAY, minutes: 90 * DAY, ..Retention::default() };
    assert!(before > 24 << 20, "{before}");
    tidy(&books, retention, NOW).await;
    let bytes = books.condition().await.unwrap().bytes;
    assert!(bytes <= 16 << 20 && bytes > 12 << 20, "{bytes}");
    assert_eq!(total(&books).await, all);
    let newest = Search { since: 0, until: NOW + 1, limit: 1, ..Search::default() };
    let newest = books.search(newest).await.unwrap().entries;
    assert_eq!(newest[0].record.started_unix_millis, NOW - 500 * MINUTE, "the oldest went first");
    let minutes =
        ask(&books, Question { since: NOW - 30 * DAY, ..question(&[By::Time(Level::Minute)]) }).await;
    assert_eq!(minutes.total.requests, 30 * 24 * 60 - 499);
    books.close_in_test().await;
    assert!(size() < before, "{}", size());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_put_aside_shown_and_does_not_keep_anything_from_starting() {
    let (home, books) = aged().await;
    books.close_in_test().await;
    drop(books);
    let path = home.path().join("usage.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..100].fill(0xee);
    std::fs::write(&path, bytes).unwrap();
    let books = reopen(&home);
    assert_eq!(total(&books).await, Sum::default());
    assert_eq!(books.condition().await.unwrap().aside.len(), 1);
    let one = record(1, NOW, spender("a", "m"));
    books.book(batch("p", &[frame(2, vec![one])]), NOW).await.unwrap();
    assert_eq!(books.condition().await.unwrap().lost, 1, "what the old file held is not in these books");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_shows_while_it_is_used_begins_new_books_too() {
    let (home, books) = aged().await;
    books.close_in_test().await;
    drop(books);
    let path = home.path().join("usage.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let books = reopen(&home);
    // All but the schema, which was read already.
    bytes[4096 * 4..].fill(0xee);
    std::fs::write(&path, bytes).unwrap();
    let mut outcomes = Vec::new();
    for number in 2..40 {
        let records = (0..200).map(|one| record(one, NOW - one * HOUR * 11, spender("a", "m"))).collect();
        let booked = books.book(batch("p", &[frame(number, records)]), NOW).await;
        outcomes.push(booked.is_ok());
    }
    let condition = books.condition().await.unwrap();
    assert_eq!((condition.renewed, condition.aside.len()), (1, 1), "{outcomes:?}");
    assert_eq!(condition.failing, None);
    assert!(total(&books).await.requests >= 200);
}

/// A disk that takes nothing: a directory in the file's place, then another writer that never ends.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_not_accepted_and_is_booked_when_it_can() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("usage.db");
    std::fs::create_dir(&path).unwrap();
    let books = Books::open(home.path(), NOW).unwrap();
    let one = |number| batch("p", &[frame(number, vec![record(number, NOW, spender("a", "m"))])]);
    books.book(one(1), NOW).await.unwrap_err();
    books.tidy(Retention::default(), NOW).await.unwrap_err();
    books.condition().await.unwrap_err();
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(books.book(one(1), NOW).await.unwrap(), 1);
    assert_eq!(books.condition().await.unwrap().failing, None);

    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = books.book(one(2), NOW).await.unwrap_err();
    assert!(refused.to_string().contains("locked"), "{refused}");
    assert_eq!(total(&books).await.requests, 1);
    assert!(books.condition().await.unwrap().failing.unwrap().contains("locked"));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(books.book(one(2), NOW).await.unwrap(), 2);
    assert_eq!(books.condition().await.unwrap().failing, None);
    assert_eq!(total(&books).await.requests, 2);
    let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
    let full = UsageError::from(rusqlite::Error::SqliteFailure(full, None));
    assert!(matches!(full, UsageError::Full));
}

#[test]
fn tags_that_differ_each_time_become_one_and_records_keep_theirs() {
    let home = tempfile::tempdir().unwrap();
    let db = Place::new(home.path()).open(NOW).unwrap();
    let mut numbers = spenders::Numbers::new(10);
    let tagged = |number: u64| {
        let spender = Spender { tags: vec![format!("run={number}")], ..spender("a", "m") };
        record(number, NOW, spender)
    };
    let all: Vec<Record> = (0..30).map(tagged).collect();
    for (number, records) in all.chunks(4).enumerate() {
        let mut booking = booking::Booking::default();
        let batch = booking::Read::new(&batch("p", &[frame(number as u64 + 1, records.to_vec())])).unwrap();
        booking.batch(&db, &mut numbers, batch, (NOW, false)).unwrap();
        booking.finish(&db).unwrap();
        // As after a commit that failed, or a restart.
        numbers.forget();
    }
    let later = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let report = report::report(&db, &question(&[By::Tags]), later).unwrap().unwrap();
    let other = report.rows.iter().find(|row| row.names == [keyway_metering::OTHER]).unwrap();
    assert_eq!((report.rows.len(), report.total.requests, other.sum.requests), (11, 30, 20));
    for one in &all {
        let found = records::one(&db, one.id.clone().try_into().unwrap()).unwrap().unwrap();
        assert_eq!(found.record, *one);
    }
}
