//! `GET /logs` and `GET /logs/{id}`: single requests.

use super::{
    query::{Query, Stretch},
    rules::Why,
    shown::RecordView,
};
use crate::{
    api::{
        answer::{Answer, Fault},
        call::Call,
    },
    usage::{Filter, Id, Search},
};
use keyway_proto::fleet::v1::Spender;
use keyway_snapshot::{Resolved, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use ulid::Ulid;

/// Records of one page, if the caller sets no number, and at most.
const RECORDS: usize = 50;
const RECORDS_LIMIT: usize = 1_000;

/// A page of requests.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct LogPage {
    /// Newest first. A page that had to look far may hold few or none and still have a next one.
    records: Vec<RecordView>,
    /// The `cursor` of the next page; null = this is the last.
    next: Option<String>,
}

/// Where a page ended, and the stretch that all pages are of.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    since: u64,
    until: u64,
    before: Id,
}

pub(in crate::api) async fn list(call: Call) -> Result<Answer, Fault> {
    let query = Query::new(&call)?;
    let place: Option<Place> = query.cursor()?;
    let Stretch { since, until } = query.stretch()?;
    // What began in the millisecond that is named last is in it.
    let (since, until) =
        place.as_ref().map_or((since, until.saturating_add(1)), |place| (place.since, place.until));
    let search = Search {
        filter: query.filter(),
        outcomes: query.outcomes()?,
        since,
        until,
        before: place.map(|place| place.before),
        limit: query.limit(RECORDS, RECORDS_LIMIT)?,
    };
    let found = call.api.books.search(search).await?;
    let next = found.next.and_then(|before| query.seal(&Place { since, until, before }));
    Answer::json(&LogPage { records: found.entries.iter().map(RecordView::from).collect(), next })
}

pub(in crate::api) async fn show(call: Call) -> Result<Answer, Fault> {
    let name = call.param("id");
    let not_found = || Fault::not_found("request", name, Vec::new());
    let id = Ulid::from_string(name).map_err(|_| not_found())?;
    let found = call.api.books.record(id.to_bytes()).await?;
    let bound = Filter { bound: call.who.rights.team.clone(), ..Filter::default() };
    // Another team's is not there.
    let seen = found.filter(|entry| bound.fits(&entry.record.spender.clone().unwrap_or_default()));
    let seen = seen.ok_or_else(not_found)?;
    let target = seen.record.spender.as_ref().and_then(|spender| target_of(&call, spender));
    Answer::json(&Why::new(&seen, target.as_deref()))
}

/// The model by the configuration in force.
fn target_of(call: &Call, spender: &Spender) -> Option<Arc<Target>> {
    match call.plane().snapshot().lookup(&format!("{}/{}", spender.provider, spender.model)) {
        Ok(Resolved::Target(target)) => Some(target),
        Ok(Resolved::Alias(_)) | Err(_) => None,
    }
}
