//! `keyway team …`: groups of clients.

use clap::{Args, Subcommand, ValueEnum};
use keyway_config::Usd;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use super::client::done;
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

#[derive(Debug, Subcommand)]
pub(crate) enum Team {
    /// Every team
    List,
    /// One team
    Show {
        /// Its name
        name: String,
    },
    /// Make a team, or change what is named of one
    Set(Set),
    /// Delete a team that no client belongs to
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Lowercase letters, digits, '.', '_', '-'
    name: String,
    /// What all its clients together may spend, in US dollars (kept, not enforced yet)
    #[arg(long, value_name = "USD", value_parser = usd, allow_negative_numbers = true, requires = "per")]
    budget: Option<String>,
    /// For how long the budget is
    #[arg(long, value_enum, requires = "budget")]
    per: Option<Per>,
}

fn usd(text: &str) -> Result<String, String> {
    let wanted = "US dollars above 0 like 500 or 0.15 are wanted, with at most nine decimal places";
    let sum = Usd::parse(text).filter(|usd| usd.nanos() > 0);
    sum.map(|usd| usd.to_string()).ok_or_else(|| wanted.to_owned())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Per {
    Hour,
    Day,
    Week,
    Month,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Team) -> Result<(), Failure> {
    match verb {
        Team::List => print::result(output, &server.get("/teams").await?, table),
        Team::Show { name } => print::result(output, &server.get(&path(&name)).await?, print::fields),
        Team::Set(set) => {
            let answer = server.put(&path(&set.name), &set.body(server).await?).await?;
            done(output, &answer, &format!("Team {} is set.", set.name));
        }
        Team::Delete { name } => {
            let answer = server.delete(&path(&name)).await?;
            done(output, &answer, &format!("Team {name} is deleted."));
        }
    }
    Ok(())
}

// === impl Set ===

impl Set {
    /// The team as it is to be: a team is put whole, so what is not given is what it has.
    async fn body(&self, server: &Server) -> Result<Value, Failure> {
        let there = match server.get(&path(&self.name)).await {
            Err(Failure::Answered { status: StatusCode::NOT_FOUND, .. }) => Value::Null,
            other => other?,
        };
        let mut body = Map::new();
        for name in ["budget", "limits"] {
            let kept = there.get(name).filter(|kept| !kept.is_null());
            body.extend(kept.map(|kept| (name.to_owned(), kept.clone())));
        }
        if let (Some(usd), Some(per)) = (&self.budget, self.per.and_then(|per| per.to_possible_value())) {
            body.insert("budget".to_owned(), json!({ "usd": usd, "per": per.get_name() }));
        }
        Ok(Value::Object(body))
    }
}

fn path(name: &str) -> String {
    format!("/teams/{}", segment(name))
}

fn table(teams: &Value) -> Table {
    let mut table = Table::new(&["NAME", "BUDGET"], "no teams; make one with `keyway team set NAME`");
    for team in print::list(teams) {
        let budget = match team.get("budget") {
            Some(budget) if !budget.is_null() => {
                format!("{} USD a {}", cell(budget, "usd"), cell(budget, "per"))
            }
            _ => "-".into(),
        };
        table.row([cell(team, "name"), budget]);
    }
    table
}
