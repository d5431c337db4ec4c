use super::*;
use crate::{
    lease::tests::snapshot,
    meter::{
        Asked, Try, Used,
        record::{record, sum},
        used,
    },
};
use keyway_metering::{Fold, of_record};
use keyway_snapshot::{CredentialState, NanoDollars, Resolved, Snapshot};
use std::time::Duration;
use ulid::Ulid;

fn tray() -> Tray {
    Tray::new(Arc::default(), Arc::default())
}

fn state() -> Snapshot {
    snapshot(1, &[(1, CredentialState::Active)])
}

/// One of many, each different in what is counted.
fn ended(state: &Snapshot, key: &Arc<str>, number: u64) -> Ended {
    let Ok(Resolved::Target(target)) = state.lookup("p/some") else { panic!("p is configured") };
    let outcome = match number % 4 {
        0 => Outcome::Served,
        1 => Outcome::Cancelled,
        2 => Outcome::Broken("upstream_cut"),
        _ => Outcome::Refused,
    };
    let one =
        Try { target: Arc::clone(&target), key: Arc::clone(key), status: 200, reason: "", micros: number };
    let story = Story {
        tags: number.is_multiple_of(3).then(|| "run=1,team=x".into()),
        asked: Asked::Target(target),
        answered: (outcome != Outcome::Refused).then_some(one),
        ..Story::default()
    };
    let mut used = Used::nothing();
    if story.answered.is_some() {
        let seen = used::Seen { text_bytes: number, ..used::Seen::default() };
        (used.counts, used.source) = used::counts(&seen, keyway_snapshot::Endpoint::Messages, 100);
        used.cost = (!number.is_multiple_of(5)).then_some(NanoDollars(number));
        used.delivered = (outcome == Outcome::Cancelled).then_some(number / 2);
    }
    Ended {
        id: Ulid::from_parts(60_000 * (7 + number % 2), number.into()),
        story,
        status: 200,
        outcome,
        reason: "",
        total_micros: 10 * number,
        first_token_micros: number % 2 * number,
        used,
    }
}

fn sorted(sums: Fold) -> Vec<keyway_proto::fleet::v1::Sum> {
    let mut sums = sums.into_sums();
    sums.sort_by_key(|sum| format!("{:?}", (&sum.spender, sum.minute)));
    sums
}

#[test]
fn summed_here_or_from_records_it_comes_to_the_same() {
    let (state, key) = (state(), Arc::from("p/main/1"));
    let (mut sheet, mut records) = (Sheet::default(), Fold::new(usize::MAX));
    for number in 0..200 {
        let ended = ended(&state, &key, number);
        sheet.add(&ended);
        records.sum(&of_record(&record(&ended)));
    }
    // Every uncatalogued target is one of its own in memory, and the same by name.
    assert!(sheet.sums.len() > 100);
    let mut sums = Fold::new(usize::MAX);
    sheet.sums.values().for_each(|row| sums.sum(&sum(row)));
    assert!(sums.len() < 12);
    assert_eq!(sorted(sums), sorted(records));
}

#[test]
fn errors_are_recorded_within_a_bound_and_the_rest_by_the_budget() {
    let (state, key) = (state(), Arc::from("p/main/1"));
    let tray = tray();
    let spent = (0..).take_while(|_| tray.budget.take()).count();
    assert_eq!(spent, 1_000);
    (0..4 * 3_000).for_each(|number| tray.end(ended(&state, &key, number)));
    let mut sheet = Sheet::default();
    tray.swap(&mut sheet);
    assert_eq!(sheet.records.len(), WAITING);
    assert!(sheet.records.iter().all(Ended::is_error));
    let summed: u64 = sheet.sums.values().map(|row| row.sum.requests).sum();
    assert_eq!(sheet.records.len() as u64 + summed, 12_000);
    assert!(sheet.sums.len() <= ROWS, "{}", sheet.sums.len());
    sheet = Sheet::default();
    tray.budget.refill(Duration::from_millis(3));
    (0..40).for_each(|number| tray.end(ended(&state, &key, 4 * number)));
    tray.swap(&mut sheet);
    assert_eq!(sheet.records.len(), 3);
}

#[test]
fn beyond_the_bound_models_are_not_told_apart_and_nothing_is_lost() {
    let (state, key) = (state(), Arc::from("p/main/1"));
    let mut sheet = Sheet::default();
    let count = ROWS as u64 + 500;
    (0..count).for_each(|number| sheet.add(&ended(&state, &key, 4 * number)));
    assert!(sheet.sums.len() <= ROWS + 2, "{}", sheet.sums.len());
    let requests: u64 = sheet.sums.values().map(|row| row.sum.requests).sum();
    assert_eq!(requests, count);
    let coarse = sheet.sums.values().filter(|row| row.is_coarse).map(sum);
    assert!(coarse.into_iter().all(|sum| sum.spender.unwrap().model == "other"));
}

#[test]
fn the_spool_is_woken_once_for_all_that_wait() {
    let (state, key) = (state(), Arc::from("p/main/1"));
    let tray = tray();
    tray.end(ended(&state, &key, 0));
    assert!(tray.bell.has_rung());
    tray.end(ended(&state, &key, 0));
    assert!(!tray.bell.has_rung());
    let mut sheet = Sheet::default();
    tray.swap(&mut sheet);
    assert_eq!(sheet.records.len(), 2);
    tray.end(ended(&state, &key, 0));
    assert!(tray.bell.has_rung());
}
