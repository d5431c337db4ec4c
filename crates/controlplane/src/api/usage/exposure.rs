//! Who used one key since a moment, for what and at what cost: what has to be known of a key that may be in wrong hands.

use super::{moment, query::wrong, usd};
use crate::{
    api::{answer::Fault, call::Call},
    plane::unix_millis,
    usage::{By, Counted, Filter, Question, Sort},
};
use keyway_proto::fleet::v1::Sum;
use schemars::JsonSchema;
use serde::Serialize;

/// Rows of each list.
const ROWS: usize = 10_000;

/// What was done with a key, as far as it is booked.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Exposure {
    /// The stretch that was added up, milliseconds since 1970: whole minutes, hours or days, whatever is kept.
    since: u64,
    until: u64,
    /// Most expensive first; so are the others.
    clients: Vec<Share>,
    /// `provider/model`.
    models: Vec<Share>,
    /// `provider/key/version`.
    versions: Vec<Share>,
    total: Share,
    /// One of the lists ends before its end.
    cut_off: bool,
}

/// A part of it.
#[derive(Debug, Serialize, JsonSchema)]
struct Share {
    name: String,
    requests: u64,
    /// Refused or broken.
    errors: u64,
    /// Requests whose price is not known: in no sum of money.
    unpriced: u64,
    tokens: u64,
    cost_nanodollars: u64,
    /// The same in US dollars, nine places.
    cost_usd: String,
}

/// Of the key `provider/key`; `since` as the query says, else the given moment.
pub(in crate::api) async fn exposure(call: &Call, key: &str, since: u64) -> Result<Exposure, Fault> {
    let until = unix_millis();
    let since = match call.query.get("since").filter(|text| !text.is_empty()) {
        Some(text) => moment::parse(text, until).ok_or_else(|| wrong("since", moment::FORMS))?,
        None => since,
    };
    if since > until {
        return Err(wrong("since", "a moment that has been"));
    }
    let mut question = Question {
        by: vec![By::Client],
        filter: Filter { key: Some(key.to_owned()), ..Filter::default() },
        since,
        until,
        sort: Sort::Cost,
        limit: ROWS,
        after: None,
    };
    let clients = ask(call, &mut question).await?;
    question.by = vec![By::Model];
    let models = ask(call, &mut question).await?;
    question.by = vec![By::KeyVersion];
    let versions = ask(call, &mut question).await?;
    Ok(Exposure {
        since: versions.since,
        until: versions.until,
        cut_off: [&clients, &models, &versions].iter().any(|one| one.next.is_some()),
        clients: shares(clients.rows),
        models: shares(models.rows),
        total: Share::of(key.to_owned(), &versions.total),
        versions: shares(versions.rows),
    })
}

/// Where nothing so old is kept, from the oldest that is.
async fn ask(call: &Call, question: &mut Question) -> Result<crate::usage::Report, Fault> {
    match call.api.books.report(question.clone()).await? {
        Ok(report) => Ok(report),
        Err(not_kept) => {
            question.since = not_kept.from;
            let again = call.api.books.report(question.clone()).await?;
            again.map_err(|_| Fault::internal("sums that were kept are gone"))
        }
    }
}

fn shares(rows: Vec<crate::usage::Row>) -> Vec<Share> {
    let named = |row: crate::usage::Row| {
        let name = row.names.into_iter().next().unwrap_or_default();
        Share::of(name, &row.sum)
    };
    rows.into_iter().map(named).collect()
}

// === impl Share ===

impl Share {
    fn of(name: String, sum: &Sum) -> Self {
        Self {
            name,
            requests: sum.requests,
            errors: sum.errors,
            unpriced: sum.unpriced,
            tokens: Counted::of(&sum.counts).tokens(),
            cost_nanodollars: sum.nano_dollars,
            cost_usd: usd(sum.nano_dollars),
        }
    }
}
