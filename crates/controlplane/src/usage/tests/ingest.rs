//! Frames in any order of batches, sent again, with gaps and overlaps, across restarts.

use super::*;
use proptest::prelude::*;

fn frames(count: u64) -> Vec<Frame> {
    let clients = ["a1", "a2", "b1"];
    let of = |number: u64| {
        let client = clients[(number % 3) as usize];
        let one = record(number, NOW - number * 7 * MINUTE, spender(client, "gpt-4o"));
        let sum = keyway_metering::of_record(&record(number, NOW - number * HOUR, spender("b2", "o3")));
        Frame { sums: vec![sum], ..frame(number, vec![one]) }
    };
    (1..=count).map(of).collect()
}

#[tokio::test]
async fn what_is_sent_again_is_booked_once_also_after_a_crash() {
    let (home, books) = books();
    let all = frames(30);
    assert_eq!(books.book(batch("p1", &all[..10]), NOW).await.unwrap(), 10);
    // The answer was lost with the process: the replica sends the same again, and more.
    let books = reopen(&home);
    assert_eq!(books.book(batch("p1", &all[..20]), NOW).await.unwrap(), 20);
    assert_eq!(books.book(batch("p1", &all[5..15]), NOW).await.unwrap(), 20);
    assert_eq!(books.book(batch("p1", &all[20..]), NOW).await.unwrap(), 30);
    assert_eq!(sorted(total(&books).await), expected(&all));
    // Another process counts from 1 again.
    assert_eq!(books.book(batch("p2", &all[..1]), NOW).await.unwrap(), 1);
    assert_eq!(total(&books).await.requests, 62);
    let condition = books.condition().await.unwrap();
    assert_eq!((condition.lost, condition.overlapped, condition.malformed), (0, 0, 0));
}

#[tokio::test]
async fn gaps_are_counted_and_overlaps_are_never_counted_twice() {
    let (_home, books) = books();
    let all = frames(10);
    books.book(batch("p", &[all[0].clone(), all[4].clone()]), NOW).await.unwrap();
    assert_eq!(total(&books).await.requests, 4);
    let overlapping = Frame { first: 4, last: 7, ..all[6].clone() };
    assert_eq!(books.book(batch("p", &[overlapping]), NOW).await.unwrap(), 7);
    assert_eq!(books.book(batch("p", &[all[6].clone(), all[7].clone()]), NOW).await.unwrap(), 8);
    assert_eq!(total(&books).await.requests, 6);
    let condition = books.condition().await.unwrap();
    assert_eq!((condition.lost, condition.overlapped), (3, 1));
}

#[tokio::test]
async fn what_is_no_batch_is_refused_whole() {
    let (_home, books) = books();
    let good = frames(1);
    let mut bad = [
        batch("p", &[Frame { first: 0, last: 0, ..Frame::default() }]),
        batch("p", &[Frame { first: 2, last: 1, ..Frame::default() }]),
        batch("p", &[frame(1, vec![Record { id: vec![1; 15], ..Record::default() }])]),
        batch("", &good),
        batch("p", &good),
        Batch { replica: String::new(), ..batch("p", &good) },
    ];
    bad[4].frames.push(vec![0xff; 7]);
    for batch in bad.clone() {
        let refused = books.book(batch, NOW).await.unwrap_err();
        assert!(matches!(refused, UsageError::Malformed(_)), "{refused}");
    }
    assert_eq!(total(&books).await, Sum::default());
    assert_eq!(books.condition().await.unwrap().malformed, bad.len() as u64);
    assert_eq!(books.book(batch("p", &good), NOW).await.unwrap(), 1);
}

#[tokio::test]
async fn a_sum_of_a_meter_that_is_not_known_yet_is_kept() {
    let (_home, books) = books();
    let counts = vec![Count { meter: 99, count: 7 }];
    let one = Record { counts, ..record(1, NOW, spender("a", "m")) };
    books.book(batch("p", &[frame(1, vec![one.clone()]), frame(2, vec![one])]), NOW).await.unwrap();
    assert_eq!(total(&books).await.counts, [Count { meter: 99, count: 14 }]);
}

#[tokio::test]
async fn many_at_once_share_commits_and_lose_nothing() {
    let (_home, books) = books();
    let books = Arc::new(books);
    let all = frames(8);
    let mut tasks = Vec::new();
    for process in 0..40 {
        let (books, all) = (Arc::clone(&books), all.clone());
        tasks.push(tokio::spawn(async move {
            for frame in all {
                books.book(batch(&format!("p{process}"), &[frame]), NOW).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(total(&books).await.requests, 40 * 16);
    let ended = Arc::clone(&books);
    tokio::task::spawn_blocking(move || ended.close()).await.unwrap();
    let refused = books.book(batch("late", &all), NOW).await.unwrap_err();
    assert!(matches!(refused, UsageError::Ended), "{refused}");
}

#[tokio::test]
async fn followers_hear_of_what_is_booked_and_of_what_they_missed() {
    let (_home, books) = books();
    let mut tail = books.follow().unwrap();
    let all = frames(3);
    books.book(batch("p", &all), NOW).await.unwrap();
    books.book(batch("p", &all), NOW).await.unwrap();
    for frame in &all {
        let entry = tail.recv().await.unwrap();
        assert_eq!((&entry.record, &*entry.replica), (&frame.records[0], "r1"));
    }
    assert!(tail.try_recv().is_err());
    let many = (0..1_100).map(|number| record(number, NOW, spender("a", "m"))).collect();
    books.book(batch("p", &[frame(4, many)]), NOW).await.unwrap();
    assert_eq!(tail.try_recv().unwrap_err(), broadcast::error::TryRecvError::Lagged(76));
    books.end_tail();
    assert!(books.follow().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn however_frames_are_split_sent_again_and_interrupted_the_books_are_the_same(
        steps in prop::collection::vec((0_usize..30, 1_usize..12, any::<bool>()), 1..25),
    ) {
        let all = frames(40);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let (home, mut books) = books();
            let mut booked = 0_usize;
            for (back, length, restart) in steps {
                if restart {
                    books = reopen(&home);
                }
                // A replica goes back to what was not acknowledged, and never leaves anything out.
                let from = booked.saturating_sub(back);
                let to = (from + length).min(all.len());
                let last = books.book(batch("p", &all[from..to]), NOW).await.unwrap();
                booked = booked.max(to);
                assert_eq!(last, booked as u64);
                assert_eq!(sorted(total(&books).await), expected(&all[..booked]));
            }
        });
    }
}
