//! Reports and searches: exact at every level, complete over every page, and never of another team.

use super::*;
use std::collections::BTreeSet;

/// Four weeks of requests of four clients on three models, some refused, some unpriced.
async fn filled() -> (TempDir, Books, Vec<Record>) {
    let (home, books) = books();
    let mut all = Vec::new();
    for number in 0..3_000_u64 {
        let client = ["a1", "a2", "b1", "b2"][(number % 4) as usize];
        let model = ["gpt-4o", "o3", "gpt-4o-mini"][(number % 3) as usize];
        let mut spender = spender(client, model);
        spender.tags = vec![format!("env={}", ["prod", "test"][(number % 2) as usize])];
        spender.alias = if number % 5 == 0 { "fast".to_owned() } else { String::new() };
        spender.key = format!("openai/main/{}", number % 7 / 4 + 1);
        let mut one = record(number, NOW - number * 13 * MINUTE - 17, spender);
        if number % 10 == 3 {
            (one.status, one.outcome) = ([429, 500][(number % 20 / 10) as usize], Outcome::Refused.into());
        }
        if number % 25 == 7 {
            one.nano_dollars = None;
        }
        all.push(one);
    }
    for (number, records) in all.chunks(100).enumerate() {
        books.book(batch("p", &[frame(number as u64 + 1, records.to_vec())]), NOW).await.unwrap();
    }
    (home, books, all)
}

/// The sum of all that fit, reckoned from the records themselves.
fn sum_of<'r>(records: impl Iterator<Item = &'r Record>) -> Sum {
    let mut all = Sum::default();
    records.for_each(|one| keyway_metering::add(&mut all, &keyway_metering::of_record(one)));
    sorted(all)
}

fn whose(record: &Record) -> &Spender {
    record.spender.as_ref().unwrap()
}

#[tokio::test]
async fn every_stretch_and_mix_of_dimensions_is_exact() {
    let (_home, books, all) = filled().await;
    let stretches = [
        (0, NOW + HOUR),
        (NOW - 20 * DAY - 12_345, NOW - 3 * DAY - 999),
        (NOW - 90 * MINUTE, NOW),
        (NOW - 5 * DAY, NOW - 5 * DAY + 1),
    ];
    let mixes: [&[By]; 7] = [
        &[],
        &[By::Client, By::Model],
        &[By::Team],
        &[By::Key, By::Tag("env".to_owned())],
        &[By::KeyVersion, By::Alias, By::Tags],
        &[By::Time(Level::Day), By::Client],
        &[By::Time(Level::Hour)],
    ];
    let o3 = Filter { model: Some("o3".to_owned()), ..Filter::default() };
    for ((since, until), by) in stretches.into_iter().flat_map(|one| mixes.map(|by| (one, by))) {
        for only in [Filter::default(), o3.clone()] {
            let asked = Question { since, until, filter: only.clone(), limit: 10_000, ..question(by) };
            let report = ask(&books, asked).await;
            let within = |one: &&Record| (report.since..report.until).contains(&one.started_unix_millis);
            let expected = sum_of(all.iter().filter(within).filter(|one| only.fits(whose(one))));
            assert_eq!(sorted(report.total.clone()), expected, "{by:?} {since}..{until}");
            let mut rows = Sum::default();
            report.rows.iter().for_each(|row| keyway_metering::add(&mut rows, &row.sum));
            assert_eq!(sorted(rows), expected, "{by:?}");
            let unique: BTreeSet<_> = report.rows.iter().map(|row| (row.time, &row.names)).collect();
            assert_eq!(unique.len(), report.rows.len());
            assert!(report.since <= since && report.until >= until.min(NOW));
        }
    }
}

#[tokio::test]
async fn rows_are_named_and_sorted() {
    let (_home, books, all) = filled().await;
    let report = ask(&books, Question { since: 0, ..question(&[By::Client, By::Model]) }).await;
    assert_eq!(report.rows.len(), 12);
    assert!(report.rows.is_sorted_by(|a, b| a.sum.nano_dollars >= b.sum.nano_dollars));
    for row in &report.rows {
        let of =
            |one: &&Record| whose(one).client == row.names[0] && filter::model(whose(one)) == row.names[1];
        assert_eq!(sorted(row.sum.clone()), sum_of(all.iter().filter(of)));
    }
    for (sort, of) in [
        (Sort::Requests, (|sum| sum.requests) as fn(&Sum) -> u64),
        (Sort::Errors, |sum| sum.errors),
        (Sort::Tokens, |sum| sum.counts.iter().map(|count| count.count).sum()),
    ] {
        let report = ask(&books, Question { since: 0, sort, ..question(&[By::Model]) }).await;
        assert!(report.rows.is_sorted_by(|a, b| of(&a.sum) >= of(&b.sum)), "{sort:?}");
    }
    let days = ask(&books, Question { since: NOW - 9 * DAY, ..question(&[By::Time(Level::Day)]) }).await;
    assert!(days.rows.is_sorted_by_key(|row| row.time) && days.rows.len() == 10);
}

#[tokio::test]
async fn pages_of_a_report_hold_each_row_once() {
    let (_home, books, _) = filled().await;
    for (by, limit) in
        [(vec![By::Client, By::Model, By::Alias], 7), (vec![By::Time(Level::Hour), By::Client], 501)]
    {
        let whole = ask(&books, Question { since: 0, limit: 100_000, ..question(&by) }).await;
        let (mut after, mut names) = (None, Vec::new());
        loop {
            let asked = Question { since: 0, limit, after: after.clone(), ..question(&by) };
            let page = ask(&books, asked).await;
            assert_eq!(page.total, whole.total);
            names.extend(page.rows.into_iter().map(|row| (row.time, row.names)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = whole.rows.into_iter().map(|row| (row.time, row.names)).collect();
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn every_search_finds_what_fits_newest_first_over_pages() {
    let (_home, books, all) = filled().await;
    let some = |text: &str| Some(text.to_owned());
    let none = Outcomes::default;
    let filters = [
        Filter::default(),
        Filter { client: some("a1"), ..Filter::default() },
        Filter { bound: some("blue"), model: some("openai/o3"), ..Filter::default() },
        Filter { tags: vec!["env=prod".to_owned()], key: some("openai/main"), ..Filter::default() },
        Filter { client: some("nobody"), ..Filter::default() },
    ];
    let outcomes = [
        none(),
        Outcomes { status: Some(Statuses { from: 429, to: 429 }), ..none() },
        Outcomes { status: Some(Statuses { from: 500, to: 599 }), ..none() },
        Outcomes { status: Some(Statuses { from: 200, to: 299 }), ..none() },
        Outcomes { outcome: Some(Outcome::Refused), ..none() },
        Outcomes { outcome: Some(Outcome::Served), unpriced: true, ..none() },
    ];
    let (since, until) = (NOW - 20 * DAY, NOW - DAY);
    for filter in &filters {
        for outcomes in outcomes {
            let search = Search { filter: filter.clone(), outcomes, since, until, before: None, limit: 37 };
            let found = over_pages(&books, search).await;
            let fits = |one: &&Record| {
                (since..until).contains(&one.started_unix_millis)
                    && filter.fits(whose(one))
                    && outcomes.fit(one)
            };
            let expected: Vec<Record> = all.iter().filter(fits).cloned().collect();
            assert_eq!(found, expected, "{filter:?} {outcomes:?}");
        }
    }
}

async fn over_pages(books: &Books, mut search: Search) -> Vec<Record> {
    let mut found = Vec::new();
    loop {
        let page = books.search(search.clone()).await.unwrap();
        assert!(page.entries.iter().all(|entry| &*entry.replica == "r1"));
        found.extend(page.entries.into_iter().map(|entry| entry.record));
        search.before = page.next;
        if search.before.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn one_record_is_found_by_its_id_as_it_came() {
    let (_home, books, all) = filled().await;
    for one in [&all[0], &all[1234]] {
        let found = books.record(one.id.clone().try_into().unwrap()).await.unwrap().unwrap();
        assert_eq!((&found.record, &*found.replica), (one, "r1"));
    }
    assert!(books.record([7; 16]).await.unwrap().is_none());
}
