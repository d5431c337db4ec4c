//! `keyway usage` beside the books of the provider.

use std::collections::BTreeMap;

use keyway_testkit::billing::{Account, Books, Charge};
use keyway_testkit::process::Ran;
use serde_json::Value;

use super::world::team;
use crate::gateway::Outcome;

/// A request that no provider saw.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Who asked.
    pub client: String,
    /// With which tags.
    pub tags: Vec<String>,
    /// The alias that was asked for; empty where it was none.
    pub alias: String,
    /// What it comes to.
    pub account: Account,
}

/// What the reports must say.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// What the provider billed.
    pub charges: BTreeMap<String, Charge>,
    /// What the gateway refused.
    pub refused: Vec<Refused>,
}

// === impl Expected ===

impl Expected {
    /// The sums by these dimensions, as `--by` names them.
    #[must_use]
    pub fn by(&self, dimensions: &[&str]) -> Books {
        let mut books = Books::new();
        for charge in self.charges.values() {
            let provider = charge.key.split('/').next().unwrap_or_default();
            let name = |dimension: &&str| match *dimension {
                "client" => charge.order.client.clone(),
                "model" => format!("{provider}/{}", charge.model),
                "provider" => provider.to_owned(),
                "key" => charge.key.clone(),
                "tag" => charge.order.tags.join(","),
                "team" => team(&charge.order.client).to_owned(),
                "alias" => charge.order.alias.clone(),
                _ => String::new(),
            };
            books.entry(dimensions.iter().map(name).collect()).or_default().add(&charge.account);
        }
        for refused in &self.refused {
            let name = |dimension: &&str| match *dimension {
                "client" => refused.client.clone(),
                "tag" => refused.tags.join(","),
                "team" => team(&refused.client).to_owned(),
                "alias" => refused.alias.clone(),
                _ => String::new(),
            };
            books.entry(dimensions.iter().map(name).collect()).or_default().add(&refused.account);
        }
        books
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> Account {
        self.by(&[]).into_values().next().unwrap_or_default()
    }

    /// Asserts that a report says the same, row by row and count by count.
    pub fn assert_same(&self, report: &Ran, dimensions: &[&str]) -> Outcome {
        let (said, expected) = (rows(report, dimensions)?, self.by(dimensions));
        let names: std::collections::BTreeSet<_> = said.keys().chain(expected.keys()).collect();
        let mut wrong = Vec::new();
        for name in names {
            let (said, expected) = (said.get(name).copied(), expected.get(name).copied());
            let (said, expected) = (said.unwrap_or_default(), expected.unwrap_or_default());
            for ((what, said), (_, expected)) in said.fields().into_iter().zip(expected.fields()) {
                if said != expected {
                    wrong.push(format!("{name:?}: {what}: {said} instead of {expected}"));
                }
            }
        }
        assert!(wrong.is_empty(), "by {dimensions:?}:\n{}", wrong.join("\n"));
        Ok(())
    }
}

/// The rows of `keyway usage --output json` by these dimensions.
pub fn rows(report: &Ran, dimensions: &[&str]) -> Outcome<Books> {
    if report.code != Some(0) {
        return Err(format!("{report:?}").into());
    }
    let rows: Vec<Value> = serde_json::from_str(&report.stdout)?;
    let mut books = Books::new();
    for row in &rows {
        let name = dimensions.iter().map(|dimension| dimension_of(row, dimension)).collect();
        books.entry(name).or_default().add(&account(row)?);
    }
    Ok(books)
}

fn dimension_of(row: &Value, name: &str) -> String {
    let value = row.get(if name == "tag" { "tags" } else { name });
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(tags)) => {
            let tag =
                |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
            tags.iter().map(tag).collect::<Vec<_>>().join(",")
        }
        _ => String::new(),
    }
}

fn account(row: &Value) -> Outcome<Account> {
    let count = |name: &str| {
        let count = row.get(name).and_then(Value::as_u64);
        count.ok_or_else(|| format!("no {name} in {row}"))
    };
    Ok(Account {
        requests: count("requests")?,
        errors: count("errors")?,
        cancelled: count("cancelled")?,
        unpriced: count("unpriced")?,
        estimated: count("estimated")?,
        input_tokens: count("input_tokens")?,
        output_tokens: count("output_tokens")?,
        cache_read_tokens: count("cache_read_tokens")?,
        reasoning_tokens: count("reasoning_tokens")?,
        cost_nanodollars: count("cost_nanodollars")?,
    })
}
