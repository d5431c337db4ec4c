//! Ten million requests of thirty days: how fast they are booked, how large they are, how long any question takes. Run with
//! `cargo test --profile quick -p keyway-controlplane --lib -- --ignored --nocapture ten_million`.

use super::*;
use keyway_proto::{fleet::v1::Attempt, snapshot::v1::Version};
use std::time::{Duration, Instant};

const REQUESTS: u64 = 10_000_000;
const DAYS: u64 = 30;
/// Records of one batch, about as many as fit into 1 MiB.
const BATCH: u64 = 2_500;
/// Any report takes less.
const LIMIT: Duration = Duration::from_secs(1);

/// 60 clients of 6 teams, 8 models, 2 keys, 3 environments: 2,880 spenders.
fn request(number: u64) -> Record {
    // A multiplier without common factor spreads them without being random.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let (client, model, key) = (mixed % 60, mixed / 60 % 8, mixed / 480 % 2);
    let (provider, model) = (["openai", "anthropic"][(model % 2) as usize], format!("model-{model}"));
    let key = format!("{provider}/key-{key}/1");
    let started = NOW - DAYS * DAY + number * (DAYS * DAY) / REQUESTS;
    let spender = Spender {
        client: format!("client-{client}"),
        team: format!("team-{}", client % 6),
        provider: provider.to_owned(),
        model: model.clone(),
        key: key.clone(),
        alias: String::new(),
        tags: vec![format!("env={}", ["dev", "prod", "test"][(mixed / 960 % 3) as usize])],
    };
    let attempt = Attempt {
        provider: provider.to_owned(),
        model: model.clone(),
        key,
        status: 200,
        micros: 700_000 + mixed % 90_000,
        ..Attempt::default()
    };
    let failed = mixed % 100 == 7;
    let count = |meter: Meter, count: u64| Count { meter: meter.into(), count };
    Record {
        endpoint: 1,
        dialect: 1,
        asked: format!("{provider}/{model}"),
        snapshot: Some(Version { epoch: 1, counter: 12_345 }),
        stream: mixed.is_multiple_of(2),
        status: if failed { 503 } else { 200 },
        outcome: if failed { Outcome::Refused } else { Outcome::Served }.into(),
        reason: if failed { "overloaded".to_owned() } else { String::new() },
        total_micros: 800_000 + mixed % 90_000,
        first_token_micros: 210_000,
        upstream_micros: attempt.micros,
        attempts: vec![attempt],
        route: vec![format!("{provider}/{model}")],
        counts: vec![count(Meter::Input, 900), count(Meter::Output, 300), count(Meter::CacheRead, 2_000)],
        nano_dollars: (mixed % 500 != 1).then_some(1_234_567),
        price_rules: vec!["list".to_owned()],
        request_bytes: 9_000,
        reply_bytes: 3_000,
        ..record(mixed, started, spender)
    }
}

async fn fill(books: &Books) {
    let (started, mut slowest) = (Instant::now(), Duration::ZERO);
    let mut booking = Duration::ZERO;
    for number in 0..REQUESTS / BATCH {
        let records = (number * BATCH..(number + 1) * BATCH).map(request).collect();
        let batch = batch("p", &[frame(number + 1, records)]);
        let began = Instant::now();
        books.book(batch, NOW).await.unwrap();
        booking += began.elapsed();
        slowest = slowest.max(began.elapsed());
    }
    let each = REQUESTS as f64 / booking.as_secs_f64();
    println!(
        "booked {REQUESTS} in {:?} ({each:.0} a second), the slowest batch of {BATCH}: {slowest:?}; with making them {:?}",
        booking,
        started.elapsed()
    );
}

async fn reports(books: &Books) {
    let month = Question { since: NOW - DAYS * DAY, until: NOW, ..question(&[By::Client, By::Model]) };
    let by = |by: &[By]| Question { by: by.to_vec(), ..month.clone() };
    let only = |filter: Filter, by: &[By]| Question { filter, by: by.to_vec(), ..month.clone() };
    let client = Filter { client: Some("client-7".to_owned()), ..Filter::default() };
    let hour = By::Time(Level::Hour);
    let asked = [
        ("today by client, model", Question { since: NOW - NOW % DAY, ..month.clone() }),
        ("24 h by client, model", Question { since: NOW - DAY, ..month.clone() }),
        (
            "7 d by everything",
            Question {
                since: NOW - 7 * DAY,
                ..by(&[By::Client, By::Team, By::Model, By::KeyVersion, By::Alias, By::Tags])
            },
        ),
        ("30 d by client, model", month.clone()),
        (
            "30 d less edges by key",
            Question { since: NOW - 29 * DAY - 12_345_678, until: NOW - DAY - 1_234_567, ..by(&[By::Key]) },
        ),
        ("30 d by day, client", by(&[By::Time(Level::Day), By::Client])),
        ("30 d by hour", by(std::slice::from_ref(&hour))),
        ("30 d by hour, client, model", by(&[hour.clone(), By::Client, By::Model])),
        ("30 d by hour of one client", only(client, &[hour])),
        ("30 d by tag:env", by(&[By::Tag("env".to_owned())])),
        ("24 h by minute", Question { since: NOW - DAY, ..by(&[By::Time(Level::Minute)]) }),
        ("7 d by minute", Question { since: NOW - 7 * DAY, ..by(&[By::Time(Level::Minute)]) }),
    ];
    for (what, question) in asked {
        let mut took = Vec::new();
        let mut answer = None;
        for _ in 0..2 {
            let began = Instant::now();
            answer = Some(ask(books, question.clone()).await);
            took.push(began.elapsed());
        }
        let report = answer.unwrap();
        println!("{what}: {took:?}, {} requests, {} rows", report.total.requests, report.rows.len());
        assert!(took.iter().all(|took| *took < LIMIT), "{what}: {took:?}");
    }
}

async fn searches(books: &Books) {
    let all = Search { since: NOW - DAYS * DAY, until: NOW, limit: 50, ..Search::default() };
    let some = |text: &str| Some(text.to_owned());
    let of = |filter: Filter| Search { filter, ..all.clone() };
    let ending = |from, to| Outcomes { status: Some(Statuses { from, to }), ..Outcomes::default() };
    let client = || Filter { client: some("client-7"), ..Filter::default() };
    let asked = [
        ("all", all.clone()),
        ("client", of(client())),
        ("client, 1000", Search { limit: 1_000, ..of(client()) }),
        ("team and model", of(Filter { team: some("team-3"), model: some("model-2"), ..Filter::default() })),
        ("key", of(Filter { key: some("openai/key-1"), ..Filter::default() })),
        ("tag", of(Filter { tags: vec!["env=prod".to_owned()], ..Filter::default() })),
        ("5xx", Search { outcomes: ending(500, 599), ..all.clone() }),
        ("429, of which there is none", Search { outcomes: ending(429, 429), ..all.clone() }),
        ("5xx of a client", Search { outcomes: ending(500, 599), ..of(client()) }),
        ("unpriced", Search { outcomes: Outcomes { unpriced: true, ..Outcomes::default() }, ..all.clone() }),
        ("nobody", of(Filter { client: some("nobody"), ..Filter::default() })),
    ];
    for (what, search) in asked {
        let began = Instant::now();
        let found = books.search(search).await.unwrap();
        let took = began.elapsed();
        println!("logs, {what}: {took:?}, {} records", found.entries.len());
        assert!(took < LIMIT, "{what}: {took:?}");
    }
}

/// What has had its time goes in pieces, and what is reported meanwhile waits for none of them for long.
async fn tidying(books: &Books) {
    let retention = Retention { records: 29 * DAY, minutes: 3 * DAY, ..Retention::default() };
    let (mut slowest, mut pieces, mut waited) = (Duration::ZERO, 0_u64, Duration::ZERO);
    for number in 0.. {
        let began = Instant::now();
        let one = frame(number + 1, vec![request(number)]);
        let (more, booked) = tokio::join!(books.tidy(retention, NOW), async {
            let booked = books.book(batch("late", &[one]), NOW).await;
            (booked, began.elapsed())
        });
        booked.0.unwrap();
        waited = waited.max(booked.1);
        slowest = slowest.max(began.elapsed());
        pieces += 1;
        if !more.unwrap() || pieces == 400 {
            break;
        }
    }
    println!(
        "tidied {pieces} pieces; the longest that a batch waited behind one, its own commit in it: {waited:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: minutes, and gigabytes of disk"]
async fn ten_million() {
    let (home, books) = books();
    fill(&books).await;
    let bytes = |name: &str| std::fs::metadata(home.path().join(name)).unwrap().len() >> 20;
    println!("usage.db: {} MiB, its log {} MiB", bytes("usage.db"), bytes("usage.db-wal"));
    reports(&books).await;
    searches(&books).await;
    tidying(&books).await;
    books.close_in_test().await;
}
