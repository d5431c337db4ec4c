//! Waiting until every count has come where it belongs, and asking for the reports.

use std::time::{Duration, Instant};

use keyway_testkit::billing::{Account, Biller};
use keyway_testkit::process::{Planes, Ran};

use super::calls::Known;
use super::compare::{Expected, rows};
use crate::gateway::Outcome;

/// How long counts may take to arrive on a busy machine: a replica may rest 15 s before it looks for a control plane again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Where some never come, nothing came for so long.
const NOTHING_MORE: Duration = Duration::from_secs(1);

/// By what reports are compared.
pub const REPORTS: [&[&str]; 5] =
    [&["client", "model"], &["key"], &["tag"], &["team", "alias"], &["provider", "client", "tag"]];

/// `keyway usage --output json` by these dimensions.
pub fn usage(planes: &Planes, by: &[&str]) -> Outcome<Ran> {
    Ok(planes.cli(&["usage", "--by", &by.join(","), "--since", "2h", "--output", "json"])?)
}

/// The sums of everything.
pub fn total(planes: &Planes) -> Outcome<Account> {
    let mut total = Account::default();
    rows(&usage(planes, &["provider"])?, &["provider"])?.values().for_each(|account| total.add(account));
    Ok(total)
}

/// The books, once every answer has ended and every request stands in them.
pub async fn settled(planes: &Planes, biller: &Biller, known: &Known) -> Outcome<Expected> {
    let end = Instant::now() + PATIENCE;
    while !biller.is_quiet() {
        assert!(Instant::now() < end, "answers that never end");
        tokio::time::sleep(LOOK).await;
    }
    let expected = Expected { charges: biller.charges(), refused: known.refused.clone() };
    while total(planes)?.requests < expected.total().requests && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
    Ok(expected)
}

/// Asserts that every report says what the books say.
pub fn all_the_same(planes: &Planes, expected: &Expected) -> Outcome {
    for by in REPORTS {
        expected.assert_same(&usage(planes, by)?, by)?;
    }
    Ok(())
}

/// As `settled`, where some never come: once nothing has come for a second.
pub async fn settled_but(planes: &Planes, biller: &Biller, known: &Known) -> Outcome<Expected> {
    let end = Instant::now() + PATIENCE;
    let (mut before, mut since) = (0, Instant::now());
    while !biller.is_quiet() || since.elapsed() < NOTHING_MORE {
        let now = total(planes)?.requests;
        if now != before {
            (before, since) = (now, Instant::now());
        }
        assert!(Instant::now() < end, "counts that never end");
        tokio::time::sleep(LOOK).await;
    }
    Ok(Expected { charges: biller.charges(), refused: known.refused.clone() })
}
