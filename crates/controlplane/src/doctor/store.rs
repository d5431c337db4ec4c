//! The store and the vault: whether they take writes, have room, hold what was written.

use super::{Finding, or_ok};
use crate::{
    attest::Contradiction,
    resource::KekDocument,
    store::{Condition, StoreError, Verified},
    vault::VaultError,
};
use std::collections::BTreeMap;

const STORE: &str = "store";
const SEAL: &str = "seal";
/// A change of the wrapping key may take so long, milliseconds.
const SLOW: u64 = 10 * 60 * 1000;
/// Less of the disk free than this share, percent, and than so many bytes: a tenth of a large disk is much.
const LITTLE: (u64, u64) = (20, 16 << 30);
const VERY_LITTLE: (u64, u64) = (10, 1 << 30);

/// `verified`: what a full check of the audit log came to, where one was made.
pub(crate) fn store(condition: &Condition, verified: Option<&Result<Verified, StoreError>>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(why) = &condition.read_only {
        let what_to_do = "put its disk right and start the control plane again; replicas go on meanwhile";
        found.push(Finding::fail(STORE, format!("takes no writes: {why}"), what_to_do));
    }
    for repair in &condition.repairs {
        let what_to_do = "nothing, if the machine had gone down; else look at its disk";
        found.push(Finding::warn(STORE, format!("was put right: {repair}"), what_to_do));
    }
    found.extend(space(condition));
    if let Some(Err(error)) = verified {
        found.push(Finding::fail(STORE, error.to_string(), "restore a backup: keyway restore"));
    }
    let mut found = or_ok(found, STORE, || format!("takes writes, {} bytes", condition.bytes));
    if let Some(Ok(verified)) = verified {
        let what = format!("all {} records of the audit log are as they were written", verified.records);
        found.push(Finding::ok(STORE, what));
    }
    found
}

/// What replicas know otherwise of the audit log.
pub(crate) fn told(contradictions: &Result<Vec<Contradiction>, StoreError>) -> Vec<Finding> {
    let what_to_do = "find out who had access to the data directory; if it was brought back by hand, do it by `keyway restore`, and start the replica again";
    match contradictions {
        Ok(found) => found.iter().map(|one| Finding::fail(STORE, one.to_string(), what_to_do)).collect(),
        // That it cannot be read is a finding of its own, of a full check.
        Err(_) => Vec::new(),
    }
}

fn space(condition: &Condition) -> Option<Finding> {
    let (free, total) = condition.space.filter(|(_, total)| *total > 0)?;
    let percent = free.saturating_mul(100) / total;
    let what = format!("{percent} % of its disk is free ({free} of {total} bytes)");
    let what_to_do = "make room; on a full disk nothing can be changed";
    let below = |(share, bytes): (u64, u64)| percent < share && free < bytes;
    if below(VERY_LITTLE) {
        return Some(Finding::fail(STORE, what, what_to_do));
    }
    below(LITTLE).then(|| Finding::warn(STORE, what, what_to_do))
}

/// The vault is open, or nobody would ask. `wrapped`: how many secrets are under each version of the wrapping key;
/// `now`: milliseconds since 1970.
pub(crate) fn seal(
    wrapped: Result<BTreeMap<u32, usize>, VaultError>,
    change: Option<&KekDocument>,
    now: u64,
) -> Vec<Finding> {
    vec![match wrapped {
        Ok(counts) => progress(&counts, change, now),
        Err(error) => {
            Finding::fail(SEAL, error.to_string(), "look at the vault's folder in the data directory")
        }
    }]
}

/// How far a change of the wrapping key is.
fn progress(counts: &BTreeMap<u32, usize>, change: Option<&KekDocument>, now: u64) -> Finding {
    let all: usize = counts.values().sum();
    let Some(change) = change.filter(|change| change.is_under_way()) else {
        return Finding::ok(SEAL, format!("open, {all} secrets"));
    };
    let done: usize = counts.range(change.to..).map(|(_, count)| count).sum();
    let step = change.step.word();
    let what = format!(
        "open; the wrapping key changes: {done} of {all} secrets are under version {}, at {step}",
        change.to
    );
    if now.saturating_sub(change.begun) < SLOW {
        return Finding::ok(SEAL, what);
    }
    let what_to_do = "see the log of the control plane: a secret that does not open keeps the old key; enter it again, or destroy it";
    Finding::warn(SEAL, what, what_to_do)
}
