use super::Table;
use keyway_proto::{
    fleet::v1::{Quota, QuotaLevel, Quotas},
    snapshot::v1::LimitUnit,
};

fn told(model: &str, remaining: u64, age_millis: u64, cooling_millis: u64) -> Quotas {
    let level = QuotaLevel {
        unit: LimitUnit::Requests.into(),
        limit: 100,
        remaining,
        reset_millis: 30_000,
        age_millis,
        fixed: false,
    };
    let quota = Quota {
        domain: "p/org".to_owned(),
        model: model.to_owned(),
        levels: vec![level],
        cooling_millis,
        sharers: 0,
    };
    Quotas { quotas: vec![quota] }
}

fn left(table: &mut Table, now: u64) -> Option<u64> {
    table.word(true, now)?.quotas.first()?.levels.first().map(|level| level.remaining)
}

#[test]
fn the_newest_reading_holds_and_of_one_moment_the_lowest() {
    let mut table = Table::default();
    assert!(!table.take("r1", &told("m", 30, 0, 0), 1_000));
    assert_eq!(left(&mut table, 1_000), Some(30));
    table.take("r2", &told("m", 20, 100, 0), 1_050);
    assert_eq!(left(&mut table, 1_050), Some(20), "of one moment: the lower");
    table.take("r2", &told("m", 10, 5_000, 0), 1_100);
    assert_eq!(left(&mut table, 1_100), Some(20), "old news");
    table.take("r1", &told("m", 40, 0, 0), 3_000);
    assert_eq!(left(&mut table, 3_000), Some(40), "it has grown since");
}

#[test]
fn replicas_hear_of_what_is_scarce_and_once_that_nothing_is() {
    let mut table = Table::default();
    table.take("r1", &told("m", 90, 0, 0), 0);
    assert_eq!(table.word(false, 0), None, "there is plenty");
    table.take("r1", &told("m", 40, 0, 0), 500);
    table.take("r2", &told("m", 40, 0, 0), 500);
    let word = table.word(false, 500).unwrap();
    assert_eq!((word.quotas.len(), word.quotas[0].sharers), (1, 2));
    assert_eq!(table.word(false, 550), None, "not so often");
    assert!(table.word(false, 600).is_some());
    table.take("r1", &told("m", 40, 0, 0), 11_000);
    assert_eq!(table.word(false, 11_000).unwrap().quotas[0].sharers, 1, "one has left");
    assert_eq!(table.word(false, 60_000).unwrap().quotas.len(), 0, "the reset is over");
    assert_eq!(table.word(false, 61_000), None);
}

#[test]
fn a_new_429_is_urgent_and_a_repeated_one_is_not() {
    let mut table = Table::default();
    assert!(table.take("r1", &told("m", 0, 0, 5_000), 0));
    assert!(!table.take("r2", &told("m", 0, 0, 4_900), 100), "it is known already");
    assert_eq!(table.word(true, 100).unwrap().quotas[0].cooling_millis, 4_900);
    assert!(table.take("r2", &told("m", 0, 0, 1_000), 6_000), "the wait was over");
}

#[test]
fn what_replicas_say_is_bounded() {
    let mut table = Table::default();
    for n in 0..5_000_u64 {
        table.take("r", &told(&format!("m{n}"), 1, 0, 0), n);
    }
    assert_eq!(table.views("p", None, 5_000).len(), 4_096);
    assert!(table.views("p", Some("m0"), 5_000).is_empty(), "the oldest gave way");
    assert_eq!(table.word(true, 5_000).unwrap().quotas.len(), 512);
    table.take("r", &told(&"x".repeat(600), 1, 0, 0), 5_000);
    table.take("r", &told("", 1, 0, 0), 5_000);
    assert_eq!(table.views("p", None, 5_000).len(), 4_096);
    assert!(table.views("other", None, 5_000).is_empty());
}

#[test]
fn people_read_a_sentence() {
    let mut table = Table::default();
    table.take("r", &told("m", 12, 400, 2_500), 1_000);
    let view = &table.views("p", Some("m"), 1_000)[0];
    assert_eq!(
        view.to_string(),
        "`m`, quota domain `p/org`: 429, rests for 2.5 s; 12 of 100 requests are left, whole in 30.0 s (told 0.4 s ago)"
    );
    assert!(view.is_of("p/org"));
}
