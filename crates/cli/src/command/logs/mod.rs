//! `keyway logs`: requests one by one, those that were or those that end from now on.

mod follow;
mod lines;
#[cfg(test)]
mod tests;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::filters::Filters;
use crate::args::Output;
use crate::failure::Failure;
use crate::print;
use crate::server::{Server, query};
use lines::Lines;
pub(in crate::command) use lines::{cost, target};

/// Records of one page at most.
const PAGE: u32 = 1000;

#[derive(Debug, Clone, Args)]
pub(crate) struct Logs {
    /// Show requests as they end, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Requests that began from then on: 24h, 7d, today, 2026-11-25 or 2026-11-25T08:00:00Z [default: 24h]
    #[arg(long, value_name = "WHEN", conflicts_with = "follow")]
    since: Option<String>,
    /// Requests that began before, as --since
    #[arg(long, value_name = "WHEN", conflicts_with = "follow")]
    until: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Only with this status: 429, 4xx or 5xx
    #[arg(long, value_name = "S")]
    status: Option<String>,
    /// Only those that ended so
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
    /// Only those whose cost is not known
    #[arg(long)]
    unpriced: bool,
    /// Requests at most
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "follow", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    limit: u32,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Outcome {
    /// To its end
    Served,
    /// With an error, Keyway's or the provider's
    Refused,
    /// Its answer broke after it began
    Broken,
    /// The caller left
    Cancelled,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Logs) -> Result<(), Failure> {
    if verb.follow {
        return follow::run(server, output, &verb).await;
    }
    let mut printed = Printed::new(output);
    let (mut left, mut cursor) = (verb.limit, None::<String>);
    loop {
        let limit = left.min(PAGE).to_string();
        let own = [
            ("since", verb.since.as_deref()),
            ("until", verb.until.as_deref()),
            ("limit", Some(limit.as_str())),
            ("cursor", cursor.as_deref()),
        ];
        let page = server.get(&verb.path("/logs", &own)).await?;
        for record in page.get("records").map(print::list).into_iter().flatten() {
            if !printed.record(record) {
                return Ok(());
            }
            left = left.saturating_sub(1);
        }
        cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() || left == 0 {
            break;
        }
    }
    printed.end(cursor.is_some());
    Ok(())
}

// === impl Logs ===

impl Logs {
    fn path(&self, path: &str, own: &[(&str, Option<&str>)]) -> String {
        let ended = [
            ("status", self.status.as_deref()),
            ("outcome", self.outcome.map(Outcome::name)),
            ("unpriced", self.unpriced.then_some("true")),
        ];
        query(path, &[own, ended.as_slice(), self.filters.fields().as_slice()].concat())
    }
}

// === impl Outcome ===

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Refused => "refused",
            Self::Broken => "broken",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Records on their way to stdout.
enum Printed {
    /// A line of JSON each.
    Json,
    /// A line of a table each; `None` until the first one.
    People(Option<Lines>),
}

// === impl Printed ===

impl Printed {
    fn new(output: Output) -> Self {
        match output {
            Output::Json => Self::Json,
            Output::Table => Self::People(None),
        }
    }

    /// False: nobody reads any more.
    fn record(&mut self, record: &Value) -> bool {
        match self {
            Self::Json => print::is_read(&record.to_string()),
            Self::People(lines) => {
                let first = lines.is_none();
                let lines = lines.get_or_insert_with(|| Lines::new(print::width()));
                (!first || print::is_read(&lines.heading())) && print::is_read(&lines.record(record))
            }
        }
    }

    /// It is over; `more`: not because there are none any more.
    fn end(&self, more: bool) {
        match self {
            Self::People(None) => print::line("no requests are recorded there"),
            Self::People(Some(_)) if more => print::note("There are more, older ones: --limit N."),
            Self::People(Some(_)) | Self::Json => {}
        }
    }
}
