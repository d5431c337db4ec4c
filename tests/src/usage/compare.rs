//! `keyway usage` beside the books of the provider.

use std::collections::BTreeMap;

use keyway_testkit::billing::{Account, Books, Charge};
use keyway_testkit::process::Ran;
use serde_json::Value;

use super::world::team;
use crate::gateway::Outcome;

/// A request that no provider saw. It is booked before its name is resolved: without an alias too.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Who asked.
    pub client: String,
    /// With which tags.
    pub tags: Vec<String>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(nano: u64, client: &str) -> Ran {
        let row = format!(
            r#"[{{"client":"{client}","tags":{{"a":"1","b":"2"}},"requests":1,"errors":1,"cancelled":0,"unpriced":0,"estimated":0,
            "input_tokens":0,"output_tokens":0,"cache_read_tokens":0,"reasoning_tokens":0,"cost_nanodollars":{nano}}}]"#
        );
        Ran { code: Some(0), stdout: row, stderr: String::new() }
    }

    fn expected() -> Expected {
        let account = Account { requests: 1, errors: 1, cost_nanodollars: 5, ..Account::default() };
        let tags = vec!["a=1".to_owned(), "b=2".to_owned()];
        let refused = Refused { client: "ada".to_owned(), tags, account };
        Expected { refused: vec![refused], ..Expected::default() }
    }

    #[test]
    fn the_same_is_the_same() {
        expected().assert_same(&report(5, "ada"), &["client", "tag"]).unwrap();
        assert_eq!(expected().total().cost_nanodollars, 5);
    }

    #[test]
    #[should_panic(expected = "cost_nanodollars: 6 instead of 5")]
    fn a_nano_dollar_too_much_is_seen() {
        expected().assert_same(&report(6, "ada"), &["client"]).unwrap();
    }

    #[test]
    #[should_panic(expected = "[\"bob\"]: requests: 1 instead of 0")]
    fn a_row_too_many_is_seen() {
        expected().assert_same(&report(5, "bob"), &["client"]).unwrap();
    }

    #[test]
    fn a_report_that_failed_or_lacks_a_count_is_no_report() {
        let failed = Ran { code: Some(1), ..report(5, "ada") };
        assert!(rows(&failed, &["client"]).is_err());
        let lacking = Ran { stdout: r#"[{"client":"ada"}]"#.to_owned(), ..report(5, "ada") };
        assert!(rows(&lacking, &["client"]).is_err());
    }
}
