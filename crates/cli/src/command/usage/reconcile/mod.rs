//! `keyway usage reconcile`: what a provider billed beside what the books say, and where they part.

mod bill;
mod compare;
mod name;
mod shown;
#[cfg(test)]
mod tests;
mod tolerance;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::pages::Pages;
use super::table::count;
use super::{MOST, Report};
use crate::args::Output;
use crate::command::filters::Filters;
use crate::failure::Failure;
use crate::server::Server;
use bill::{Bill, Day, Entry};
use compare::{Account, Booked, Comparison, Grain, compare};
use tolerance::Tolerance;

/// Bytes of a bill at most: some 300,000 lines.
const LARGEST: u64 = 64 << 20;
/// Stands for stdin.
const STDIN: &str = "-";

#[derive(Debug, Clone, Args)]
pub(crate) struct Reconcile {
    /// Whose bill it is
    #[arg(long, value_name = "P")]
    provider: String,
    /// The bill, `-` for stdin: CSV with a heading line, or JSON of OpenAI's or Anthropic's costs and usage APIs. Several are added up:
    /// pages, or one of costs and one of tokens
    #[arg(long, value_name = "FILE", required = true)]
    bill: Vec<PathBuf>,
    /// Only from this day on, UTC [default: the bill's first]
    #[arg(long, value_name = "DATE")]
    since: Option<Day>,
    /// Only before this day, UTC [default: the day after the bill's last]
    #[arg(long, value_name = "DATE")]
    until: Option<Day>,
    /// What rows are told apart by [default: what the bill tells]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    by: Vec<By>,
    /// Only what this key paid: PROVIDER/KEY. Repeat it for the keys of the account that was billed
    #[arg(long, value_name = "K")]
    key: Vec<String>,
    /// What the books call a model that the bill calls otherwise
    #[arg(long = "name", value_name = "BILLED=MODEL")]
    names: Vec<Renamed>,
    /// How far a row may lie apart: USD like 0.01, or per cent of what was billed like 0.5%
    #[arg(long, value_name = "T", default_value = "0")]
    tolerance: Tolerance,
    /// Print comma-separated values, with a heading line
    #[arg(long)]
    csv: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Day,
    Model,
}

/// One model under two names.
#[derive(Debug, Clone)]
struct Renamed {
    billed: String,
    model: String,
}

/// Whole days, the last one not included.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    since: Day,
    until: Day,
}

/// A comparison and what it is of.
#[derive(Debug)]
struct Finding {
    provider: String,
    stretch: Stretch,
    comparison: Comparison,
    /// Entries of the bill that are of other days.
    outside: usize,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Reconcile) -> Result<(), Failure> {
    if verb.csv && output == Output::Json {
        return Err(Failure::Usage("--csv and --output json exclude each other".into()));
    }
    let entries = read(&verb.bill)?;
    let (grain, stretch) = (verb.grain(&entries), verb.stretch(&entries)?);
    let all = entries.len();
    let mut entries: Vec<Entry> = entries.into_iter().filter(|entry| stretch.holds(entry)).collect();
    for name in entries.iter_mut().filter_map(|entry| entry.name.as_mut()) {
        *name = own(&verb.provider, name).to_owned();
    }
    let accounts = booked(server, &verb, grain, stretch).await?;
    let names = verb.names.iter().map(|one| (name::folded(&one.billed), one.model.clone()));
    let comparison = compare(&entries, &accounts, grain, &names.collect::<BTreeMap<_, _>>(), verb.tolerance);
    let (provider, outside) = (verb.provider, all - entries.len());
    let finding = Finding { provider, stretch, comparison, outside };
    match output {
        Output::Json => shown::json(&finding),
        Output::Table if verb.csv => shown::csv(&finding),
        Output::Table => shown::table(&finding),
    }
    finding.verdict()
}

/// All files, as one bill.
fn read(files: &[PathBuf]) -> Result<Vec<Entry>, Failure> {
    let unreadable =
        |file: &Path, why: bill::Unreadable| Failure::Other(format!("{}: {why}", file.display()));
    let mut bill = Bill::default();
    for file in files {
        let text = text(file).map_err(|error| Failure::read(file, error))?;
        bill.read(&text).map_err(|why| unreadable(file, why))?;
    }
    let last = files.last().map(PathBuf::as_path).unwrap_or(Path::new(STDIN));
    bill.whole().map_err(|why| unreadable(last, why))
}

fn text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let opened: Box<dyn Read> = match file {
        stdin if stdin == Path::new(STDIN) => Box::new(io::stdin()),
        file => Box::new(std::fs::File::open(file)?),
    };
    opened.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a bill has at most 64 MiB"));
    }
    Ok(text)
}

/// What the books say, one report a key.
async fn booked(
    server: &Server,
    verb: &Reconcile,
    grain: Grain,
    stretch: Stretch,
) -> Result<Vec<Account>, Failure> {
    let keys: BTreeSet<Option<&String>> = match verb.key.as_slice() {
        [] => [None].into(),
        keys => keys.iter().map(Some).collect(),
    };
    let mut accounts = Vec::new();
    for key in keys {
        let filters =
            Filters { provider: Some(verb.provider.clone()), key: key.cloned(), ..Filters::default() };
        let pages = Pages {
            by: if grain.day { "day,model" } else { "model" }.into(),
            since: Some(stretch.since.to_string()),
            until: Some(stretch.until.to_string()),
            filters,
            sort: None,
        };
        let report = pages.report(server, MOST).await?;
        accounts.extend(accounts_of(&report, &verb.provider));
    }
    Ok(accounts)
}

/// The rows of a report. A page that ends the report early would show as a difference, so there is none: see `MOST`.
fn accounts_of<'r>(report: &'r Report, provider: &'r str) -> impl Iterator<Item = Account> + 'r {
    let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    report.rows.iter().map(move |row| Account {
        day: Day::parse(&text(row, "day")),
        model: own(provider, &text(row, "model")).to_owned(),
        booked: Booked {
            nano: i64::try_from(count(row, "cost_nanodollars")).unwrap_or(i64::MAX),
            requests: count(row, "requests"),
            input_tokens: count(row, "input_tokens"),
            output_tokens: count(row, "output_tokens"),
            unpriced: count(row, "unpriced"),
            estimated: count(row, "estimated"),
        },
    })
}

/// The model as its provider calls it.
fn own<'m>(provider: &str, model: &'m str) -> &'m str {
    model.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model)
}

// === impl Reconcile ===

impl Reconcile {
    /// As asked, and no finer than what the bill tells. Where it tells of money, that has to be told apart, not the tokens alone.
    fn grain(&self, entries: &[Entry]) -> Grain {
        let asked = |by| self.by.is_empty() || self.by.contains(&by);
        let in_money = entries.iter().any(|entry| entry.amount.is_some());
        let mut counted = entries.iter().filter(|entry| !in_money || entry.amount.is_some());
        Grain {
            day: asked(By::Day) && entries.iter().all(|entry| entry.day.is_some()),
            model: asked(By::Model) && counted.any(|entry| entry.name.is_some()),
        }
    }

    fn stretch(&self, entries: &[Entry]) -> Result<Stretch, Failure> {
        let days = || entries.iter().filter_map(|entry| entry.day);
        let since = self.since.or_else(|| days().min());
        let until = self.until.or_else(|| days().max().map(Day::next));
        match (since, until) {
            (Some(since), Some(until)) if since < until => Ok(Stretch { since, until }),
            (Some(_), Some(_)) => Err(Failure::Usage("--since has to be before --until".into())),
            _ => Err(Failure::Usage(
                "the bill does not say of which days it is; say it with --since DATE --until DATE".into(),
            )),
        }
    }
}

// === impl Stretch ===

impl Stretch {
    /// Whether the entry is of these days; one without a day is of all of them.
    fn holds(&self, entry: &Entry) -> bool {
        entry.day.is_none_or(|day| (self.since..self.until).contains(&day))
    }
}

// === impl Finding ===

impl Finding {
    fn verdict(&self) -> Result<(), Failure> {
        match self.comparison.apart() {
            0 => Ok(()),
            apart => Err(Failure::Other(format!(
                "the bill of {} and the books do not agree: {apart} of {} rows lie apart{}",
                self.provider,
                self.comparison.rows.len(),
                self.comparison
                    .total
                    .difference()
                    .map(|nano| format!(", by {} USD in all", shown::signed(nano)))
                    .unwrap_or_default()
            ))),
        }
    }
}

// === impl Renamed ===

impl FromStr for Renamed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=').filter(|(billed, model)| !billed.is_empty() && !model.is_empty());
        let (billed, model) = parts.ok_or("it is BILLED=MODEL, both names of one model")?;
        Ok(Self { billed: billed.to_owned(), model: model.to_owned() })
    }
}
