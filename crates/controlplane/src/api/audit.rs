//! The audit log: reading it in pages, checking that it is whole, signing how far it is.

use super::{
    answer::{Answer, Fault},
    call::Call,
};
use crate::{
    attest::{Attested, Check, contradictions},
    hex::hex,
    resource::Refusal,
    store::{Entry, Record, Revision, StoreError},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;

/// Records of one answer, if the caller sets no number, and at most.
const ROWS: usize = 100;
const ROWS_LIMIT: usize = 1_000;
/// Records that one call looks through.
const SCAN_LIMIT: usize = 20_000;
/// Records that are read at one time.
const CHUNK: usize = 1_000;

/// A stretch of the log.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Page {
    /// Oldest first.
    records: Vec<Row>,
    /// The `after` that goes on from here.
    next: Revision,
    /// Whether there was more when this was read.
    more: bool,
}

/// One record.
#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    /// Its place; only grows.
    revision: Revision,
    /// Rises when a backup is restored.
    epoch: u64,
    /// Milliseconds since 1970.
    at: u64,
    /// `operator/NAME`, `bootstrap`, `system`, `file:NAME`, `nobody`.
    actor: String,
    /// What was done.
    action: String,
    /// What it was done to; empty = the whole.
    subject: String,
    /// What else is known of it.
    #[serde(skip_serializing_if = "Value::is_null")]
    detail: Value,
    /// Trace id, hex.
    #[serde(skip_serializing_if = "String::is_empty")]
    trace: String,
    /// Documents that were written or deleted.
    keys: Vec<String>,
    /// Over it and all before it, hex.
    hash: String,
}

/// A log that is whole.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Sound {
    /// How many were read.
    records: u64,
    /// The last one's place.
    revision: Revision,
    /// The last one's hash, hex: kept elsewhere, it shows later whether the end was cut off.
    head: String,
    /// Signed statements that stand in it and hold.
    attested: u64,
    /// The last record that one of them is about; 0 = none. What came after it is under no signature yet.
    attested_revision: Revision,
    /// When that one was made, milliseconds since 1970.
    attested_at: u64,
}

/// What is looked for, and what was found so far.
struct Search {
    /// Without a place to begin at, the newest are wanted.
    newest: bool,
    limit: usize,
    subject: Option<String>,
    actor: Option<String>,
    found: VecDeque<Record>,
    next: Revision,
}

pub(super) async fn list(call: Call) -> Result<Answer, Fault> {
    let mut search = Search::new(&call)?;
    let mut scanned = 0;
    let more = loop {
        let records = call.plane().store().audit(search.next, CHUNK).await.map_err(failed)?;
        let (read, last) = (records.len(), records.last().map(|record| record.revision));
        scanned += read;
        let full = records.into_iter().any(|record| search.is_full_with(record));
        if full || scanned >= SCAN_LIMIT {
            break last != Some(search.next) || read == CHUNK;
        }
        if read < CHUNK {
            break false;
        }
    };
    let Search { found, next, .. } = search;
    Answer::json(&Page { records: found.into_iter().map(Row::from).collect(), next, more })
}

pub(super) async fn verify(call: Call) -> Result<Answer, Fault> {
    let verified = call.plane().store().verify().await.map_err(failed)?;
    let (revision, hash) = verified.head;
    let attested = attested(&call, revision).await?;
    let told = contradictions(&**call.plane().store(), call.plane().fleet().told()).await;
    if let Some(first) = told.map_err(failed)?.first() {
        return Err(failed(StoreError::Damaged(first.to_string())));
    }
    Answer::json(&Sound {
        records: verified.records,
        revision,
        head: hex(&hash),
        attested: attested.statements,
        attested_revision: attested.revision,
        attested_at: attested.at,
    })
}

/// What signed statements say of the log up to that record; one that does not hold is damage.
async fn attested(call: &Call, until: Revision) -> Result<Attested, Fault> {
    let plane = call.plane();
    let mut check = Check::new(plane.fleet().cluster(), Some(plane.vault().public_key()));
    let mut after = 0;
    while after < until {
        let records = plane.store().audit(after, CHUNK).await.map_err(failed)?;
        let Some(last) = records.last().map(|record| record.revision) else { break };
        for record in records {
            let unfit = check.next((record.revision, record.hash), &record.entry);
            unfit.map_err(|why| {
                failed(StoreError::Damaged(format!("the statement in record {}: {why}", record.revision)))
            })?;
        }
        after = last;
    }
    Ok(check.attested())
}

/// Signs how far the log is, in the log, and gives what was signed.
pub(super) async fn attest(call: Call) -> Result<Answer, Fault> {
    let (_, attestation) = call.plane().attest(&call.who.name).await?;
    Answer::json(&attestation)
}

fn failed(error: StoreError) -> Fault {
    Refusal::from(error).into()
}

// === impl Search ===

impl Search {
    fn new(call: &Call) -> Result<Self, Fault> {
        let number = |name: &str| match call.query.get(name).map(|text| text.parse::<u64>()) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(Fault::malformed(format!("`{name}` is a number"))),
        };
        let limit = number("limit")?.map_or(ROWS, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let limit = limit.clamp(1, ROWS_LIMIT);
        let text = |name: &str| call.query.get(name).cloned();
        let (subject, actor, after) = (text("subject"), text("actor"), number("after")?);
        // Each commit is one record: so many before the newest state are enough, or all that one call looks through.
        let back = if subject.is_some() || actor.is_some() { SCAN_LIMIT / 2 } else { limit };
        let newest = call.plane().state().revision.saturating_sub(back as u64);
        Ok(Self {
            newest: after.is_none(),
            limit,
            subject,
            actor,
            found: VecDeque::new(),
            next: after.unwrap_or(newest),
        })
    }

    /// Takes a record that fits; whether that was the last one wanted.
    fn is_full_with(&mut self, record: Record) -> bool {
        self.next = record.revision;
        if !self.fits(&record.entry) {
            return false;
        }
        if self.newest && self.found.len() == self.limit {
            self.found.pop_front();
        }
        self.found.push_back(record);
        !self.newest && self.found.len() >= self.limit
    }

    fn fits(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        is(&self.subject, &entry.subject) && is(&self.actor, &entry.actor)
    }
}

// === impl Row ===

impl From<Record> for Row {
    fn from(record: Record) -> Self {
        let Entry { at, actor, action, subject, detail, trace, state: _ } = record.entry;
        Self {
            revision: record.revision,
            epoch: record.epoch,
            at,
            actor,
            action,
            subject,
            detail,
            trace,
            keys: record.keys.iter().map(ToString::to_string).collect(),
            hash: hex(&record.hash),
        }
    }
}
