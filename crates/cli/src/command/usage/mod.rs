//! `keyway usage`: tokens, requests and cost, grouped as asked. The control plane does the sums; here they are fetched page by
//! page and shown. `usage reconcile` lays them beside a provider's bill.

mod csv;
mod pages;
mod reconcile;
mod table;
#[cfg(test)]
mod tests;
mod unpriced;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::filters::Filters;
use crate::args::Output;
use crate::failure::Failure;
use crate::print;
use crate::server::Server;
use pages::Pages;

/// Rows that people are shown unless they say how many.
const SHOWN: usize = 100;
/// Rows at most: of a report that a program reads all are meant.
const MOST: usize = 1_000_000;

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Usage {
    #[command(subcommand)]
    verb: Option<Beside>,
    /// What a row stands for, any mix of: client, team, provider, model, key, key_version, alias, tag, tag:NAME, minute, hour, day
    #[arg(long, value_name = "LIST", default_value = "client,model")]
    by: String,
    /// From when on: 24h, 7d, today, 2026-11-25 or 2026-11-25T08:00:00Z [default: 24h]
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Until when, as --since [default: now]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// What comes first [default: cost; with minute, hour or day in --by the time]
    #[arg(long, value_enum)]
    sort: Option<Sort>,
    /// Rows at most [default: 100 in a table, else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: Option<u32>,
    /// Print comma-separated values, with a heading line
    #[arg(long)]
    csv: bool,
}

/// What the books are laid beside.
#[derive(Debug, Clone, Subcommand)]
enum Beside {
    /// Compare a provider's bill with the books: what differs, and what only one of them has; exit 1 unless they agree
    Reconcile(Box<reconcile::Reconcile>),
}

/// Highest first.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sort {
    Cost,
    Requests,
    Tokens,
    Errors,
}

/// What was answered: rows of one or more pages, and the sums of all that there are.
#[derive(Debug, Default)]
struct Report {
    by: Vec<String>,
    rows: Vec<Value>,
    total: Value,
    since: Value,
    until: Value,
    /// There are more rows than these.
    more: bool,
}

pub(crate) async fn run(server: &Server, output: Output, mut verb: Usage) -> Result<(), Failure> {
    if let Some(Beside::Reconcile(beside)) = verb.verb.take() {
        return reconcile::run(server, output, *beside).await;
    }
    let people = output == Output::Table && !verb.csv;
    if verb.csv && output == Output::Json {
        return Err(Failure::Usage("--csv and --output json exclude each other".into()));
    }
    let wanted = verb.limit.and_then(|limit| usize::try_from(limit).ok());
    let wanted = wanted.unwrap_or(if people { SHOWN } else { MOST });
    let report = Pages::of(&verb).report(server, wanted).await?;
    if people {
        table::print(&report);
        unpriced::note(server, &verb, &report).await?;
    } else if verb.csv {
        csv::print(&report);
    } else {
        print::json(&Value::Array(report.rows));
    }
    if report.more {
        print::note(&format!("These are the first {wanted} rows; more by --limit N."));
    }
    Ok(())
}

// === impl Sort ===

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Errors => "errors",
        }
    }
}
