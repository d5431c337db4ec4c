//! `GET /usage`: what was used and what it cost, by any mix of dimensions.

use super::{
    moment::show_second,
    query::{Query, unknown, wrong},
};
use crate::{
    api::{
        answer::{Answer, Fault},
        call::Call,
    },
    usage::{By, Counted, Level, Position, Question, Row, Sort, split_tag},
};
use keyway_proto::fleet::v1::Sum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rows of one page, if the caller sets no number, and at most.
const ROWS: usize = 100;
const ROWS_LIMIT: usize = 10_000;
/// What is asked by if nothing is said.
const BY: &str = "client,model";
/// Dimensions of one question.
const BY_LIMIT: usize = 12;
const WORDS: [&str; 11] =
    ["client", "team", "model", "provider", "key", "key_version", "alias", "tag", "minute", "hour", "day"];
const SORTS: [(&str, Sort); 4] =
    [("cost", Sort::Cost), ("requests", Sort::Requests), ("tokens", Sort::Tokens), ("errors", Sort::Errors)];

/// A page of sums.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Page {
    /// The stretch that was added up, in milliseconds since 1970: whole minutes; whole hours or days where no finer sums are
    /// kept any more.
    since: u64,
    until: u64,
    /// The dimensions that the rows are of.
    by: Vec<String>,
    rows: Vec<View>,
    /// Of everything that fits, whatever page this is.
    total: View,
    /// The `cursor` of the next page; null = this is the last.
    next: Option<String>,
}

/// One sum: first what it is of, as far as it was asked by.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct View {
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// `provider/model` as it went upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// `provider/key`; with its version if asked by `key_version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    /// All tags, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<BTreeMap<String, String>>,
    /// `tag:NAME`: the value of that tag.
    #[serde(flatten)]
    tag: BTreeMap<String, String>,
    /// Starts, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    minute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hour: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    requests: u64,
    /// Refused or broken.
    errors: u64,
    /// The caller left.
    cancelled: u64,
    /// Requests whose price is not known: in no sum of money.
    unpriced: u64,
    /// Requests whose tokens are an estimate, wholly or in part.
    estimated: u64,
    #[serde(flatten)]
    counted: Counted,
    /// Output tokens that reached callers.
    delivered_output_tokens: u64,
    cost_nanodollars: u64,
    /// The same in US dollars, nine places.
    cost_usd: String,
    /// Milliseconds; null = there is none.
    avg_ms: Option<f64>,
    max_ms: Option<f64>,
    avg_first_token_ms: Option<f64>,
}

/// Where a page ended, and the stretch that all pages are of.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    since: u64,
    until: u64,
    after: Position,
}

pub(in crate::api) async fn show(call: Call) -> Result<Answer, Fault> {
    let query = Query::new(&call)?;
    let by = dimensions(query.text("by").unwrap_or(BY))?;
    let word = query.text("sort").unwrap_or("cost");
    let sort = SORTS.iter().find(|(known, _)| *known == word);
    let sort = sort.ok_or_else(|| unknown("order", word, SORTS.iter().map(|(known, _)| *known)))?.1;
    let place: Option<Place> = query.cursor()?;
    let stretch = query.stretch()?;
    let (since, until) = place.as_ref().map_or((stretch.since, stretch.until), |at| (at.since, at.until));
    let question = Question {
        by: by.iter().map(|(_, by)| by.clone()).collect(),
        filter: query.filter(),
        since,
        until,
        sort,
        limit: query.limit(ROWS, ROWS_LIMIT)?,
        after: place.map(|place| place.after),
    };
    let report = call.api.books.report(question).await?;
    let report = report.map_err(|not_kept| {
        let from = show_second(not_kept.from);
        let word = not_kept.level.word();
        wrong(
            "since",
            &format!("before {from}, from when on sums by {word} are kept; ask by something coarser"),
        )
    })?;
    let next = report.next.and_then(|after| query.seal(&Place { since, until, after }));
    let (names, by): (Vec<String>, Vec<By>) = by.into_iter().unzip();
    Answer::json(&Page {
        since: report.since,
        until: report.until,
        by: names,
        rows: report.rows.into_iter().map(|row| View::row(&by, row)).collect(),
        total: View::sum(&report.total),
        next,
    })
}

/// Each dimension with its word; none twice.
fn dimensions(text: &str) -> Result<Vec<(String, By)>, Fault> {
    let mut all: Vec<(String, By)> = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let by = match word {
            "client" => By::Client,
            "team" => By::Team,
            "model" => By::Model,
            "provider" => By::Provider,
            "key" => By::Key,
            "key_version" => By::KeyVersion,
            "alias" => By::Alias,
            "tag" | "tags" => By::Tags,
            "minute" => By::Time(Level::Minute),
            "hour" => By::Time(Level::Hour),
            "day" => By::Time(Level::Day),
            _ => match word.strip_prefix("tag:").filter(|name| !name.is_empty()) {
                Some(name) => By::Tag(name.to_owned()),
                None => return Err(unknown("dimension", word, WORDS.into_iter())),
            },
        };
        if !all.iter().any(|(_, known)| *known == by) {
            all.push((word.to_owned(), by));
        }
    }
    if all.len() > BY_LIMIT {
        return Err(wrong("by", &format!("at most {BY_LIMIT} dimensions")));
    }
    Ok(all)
}

// === impl View ===

impl View {
    fn row(by: &[By], row: Row) -> Self {
        let mut view = Self::sum(&row.sum);
        let mut names = row.names.into_iter();
        for by in by {
            let start = |level: Level| Some(show_second(level.floor(row.time)));
            let mut name = || names.next().unwrap_or_default();
            match by {
                By::Client => view.client = Some(name()),
                By::Team => view.team = Some(name()),
                By::Model => view.model = Some(name()),
                By::Provider => view.provider = Some(name()),
                By::Key | By::KeyVersion => view.key = Some(name()),
                By::Alias => view.alias = Some(name()),
                By::Tag(tag) => drop(view.tag.insert(format!("tag:{tag}"), name())),
                By::Tags => view.tags = Some(tags(name().split('\n').filter(|tag| !tag.is_empty()))),
                By::Time(Level::Minute) => view.minute = start(Level::Minute),
                By::Time(Level::Hour) => view.hour = start(Level::Hour),
                By::Time(Level::Day) => view.day = start(Level::Day),
            }
        }
        view
    }

    fn sum(sum: &Sum) -> Self {
        let average = |micros: u64, of: u64| micros.checked_div(of).map(super::millis);
        Self {
            requests: sum.requests,
            errors: sum.errors,
            cancelled: sum.cancelled,
            unpriced: sum.unpriced,
            estimated: sum.estimated,
            counted: Counted::of(&sum.counts),
            delivered_output_tokens: sum.delivered_output_tokens,
            cost_nanodollars: sum.nano_dollars,
            cost_usd: super::usd(sum.nano_dollars),
            avg_ms: average(sum.total_micros, sum.requests),
            max_ms: (sum.requests > 0).then(|| super::millis(sum.max_total_micros)),
            avg_first_token_ms: average(sum.first_token_micros, sum.first_tokens),
            ..Self::default()
        }
    }
}

/// By name.
pub(super) fn tags<'t>(tags: impl Iterator<Item = &'t str>) -> BTreeMap<String, String> {
    let pairs = tags.map(split_tag);
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
