//! `tests/sdk/grid/exceptions.toml`: cells in which something is lost. Each names the thing of `losses.toml` that its target
//! cannot express, so that nothing is excused that the product does not state.

use std::collections::BTreeMap;

use keyway_testkit::process::root;
use serde::Deserialize;

use super::{DIALECTS, Place};
use crate::gateway::Outcome;

/// Cells with the thing that is lost in them.
#[derive(Debug, Default)]
pub struct Stated(BTreeMap<Place, String>);

#[derive(Deserialize)]
struct Exceptions {
    #[serde(default)]
    exception: Vec<Exception>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    thing: String,
    scenario: String,
    callers: Vec<String>,
    targets: Vec<String>,
    reason: String,
}

#[derive(Deserialize)]
struct Losses {
    loss: Vec<Loss>,
}

#[derive(Deserialize)]
struct Loss {
    thing: String,
    from: Option<String>,
    to: String,
}

impl Stated {
    /// Reads both files. Fails if an exception names no loss of its crossing.
    pub fn read() -> Outcome<Self> {
        let losses = std::fs::read_to_string(root().join("crates/dialect/losses.toml"))?;
        let losses: Losses = toml::from_str(&losses)?;
        let listed = std::fs::read_to_string(root().join("tests/sdk/grid/exceptions.toml"))?;
        let listed: Exceptions = toml::from_str(&listed)?;
        let mut cells = BTreeMap::new();
        for Exception { thing, scenario, callers, targets, reason } in listed.exception {
            assert!(!reason.is_empty(), "{thing} in {scenario}: no reason");
            for (caller, target) in
                callers.iter().flat_map(|caller| targets.iter().map(move |to| (caller, to)))
            {
                let place =
                    Place { caller: caller.clone(), target: target.clone(), scenario: scenario.clone() };
                for dialect in [caller, target] {
                    assert!(
                        DIALECTS.iter().any(|(known, _)| known == dialect),
                        "{place}: no dialect {dialect}"
                    );
                }
                let known = losses.loss.iter().any(|loss| {
                    loss.thing == thing
                        && loss.to == *target
                        && loss.from.as_ref().is_none_or(|from| from == caller)
                });
                assert!(known && caller != target, "{place}: losses.toml has no loss of {thing}");
                let twice = cells.insert(place.clone(), thing.clone());
                assert!(twice.is_none(), "{place} is listed twice");
            }
        }
        Ok(Self(cells))
    }

    /// What is lost in a cell.
    #[must_use]
    pub fn thing(&self, place: &Place) -> Option<&str> {
        self.0.get(place).map(String::as_str)
    }

    /// Every cell that is listed.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.keys()
    }
}
