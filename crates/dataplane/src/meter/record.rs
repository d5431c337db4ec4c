//! What ended, as it is written and sent. The spool's thread does this, never a core.

use super::{
    Ended, Outcome, Try,
    sheet::{Counted, Row},
};
use keyway_metering::OTHER;
use keyway_proto::{
    fleet::v1::{self as wire, Count, Record, Spender, Sum},
    snapshot::v1::Meter,
};
use keyway_snapshot::{METERS, Target};

/// Targets of a route that a record names.
const ROUTE_LIMIT: usize = 32;

/// A request by itself.
pub(crate) fn record(ended: &Ended) -> Record {
    let story = &ended.story;
    let last = story.last();
    Record {
        id: ended.id.to_bytes().to_vec(),
        started_unix_millis: ended.started_millis(),
        spender: Some(Spender {
            client: story.client.as_ref().map(|client| client.name.to_string()).unwrap_or_default(),
            team: story.client.as_ref().map(|client| client.team.to_string()).unwrap_or_default(),
            alias: story.asked.alias().map(|alias| alias.name.to_string()).unwrap_or_default(),
            tags: split(story.tags.as_deref()),
            ..served_by(last.map(|last| (&*last.target, &*last.key)))
        }),
        endpoint: story.endpoint.into(),
        dialect: story.dialect.into(),
        asked: story.asked.name().to_owned(),
        snapshot: Some(story.snapshot.into()),
        stream: story.stream,
        status: ended.status.into(),
        outcome: ended.outcome.wire().into(),
        reason: ended.reason.to_owned(),
        total_micros: ended.total_micros,
        first_token_micros: ended.first_token_micros,
        upstream_micros: ended.upstream_micros(),
        attempts: story.tries().map(attempt).collect(),
        route: story.route.iter().take(ROUTE_LIMIT).map(|step| step.target.label.to_string()).collect(),
        counts: counts(&ended.used.counts),
        usage_source: ended.used.source.into(),
        nano_dollars: ended.used.cost.map(|cost| cost.0),
        delivered_output_tokens: ended.used.delivered,
        price_rules: ended.used.rules.map(|rules| rules.texts()).unwrap_or_default(),
        request_bytes: story.request_bytes,
        reply_bytes: story.reply_bytes,
    }
}

/// Requests of one spender and minute.
pub(crate) fn sum(row: &Row) -> Sum {
    let served = row.target.as_deref().zip(row.key.as_deref());
    let mut spender = Spender {
        client: row.client.as_ref().map(|client| client.name.to_string()).unwrap_or_default(),
        team: row.client.as_ref().map(|client| client.team.to_string()).unwrap_or_default(),
        alias: row.alias.as_ref().map(|alias| alias.name.to_string()).unwrap_or_default(),
        tags: split(row.tags.as_deref()),
        ..served_by(served)
    };
    if row.is_coarse {
        OTHER.clone_into(&mut spender.model);
    }
    let Counted { requests, errors, cancelled, unpriced, estimated, nano_dollars, .. } = row.sum;
    Sum {
        spender: Some(spender),
        minute: row.minute,
        requests,
        errors,
        cancelled,
        unpriced,
        estimated,
        nano_dollars,
        counts: counts(&row.sum.counts),
        delivered_output_tokens: row.sum.delivered,
        total_micros: row.sum.total_micros,
        max_total_micros: row.sum.max_total_micros,
        first_tokens: row.sum.first_tokens,
        first_token_micros: row.sum.first_token_micros,
        upstream_micros: row.sum.upstream_micros,
    }
}

fn served_by(served: Option<(&Target, &str)>) -> Spender {
    let Some((target, key)) = served else { return Spender::default() };
    Spender {
        provider: target.provider.name.to_string(),
        model: target.model.to_string(),
        key: key.to_owned(),
        ..Spender::default()
    }
}

fn split(tags: Option<&str>) -> Vec<String> {
    tags.map(|tags| tags.split(',').map(str::to_owned).collect()).unwrap_or_default()
}

fn counts(all: &[u64; METERS]) -> Vec<Count> {
    let known = (0..).zip(all).filter(|(_, count)| **count > 0);
    known
        .filter_map(|(meter, count)| {
            Some(Count { meter: Meter::try_from(meter).ok()?.into(), count: *count })
        })
        .collect()
}

fn attempt(one: &Try) -> wire::Attempt {
    wire::Attempt {
        provider: one.target.provider.name.to_string(),
        model: one.target.model.to_string(),
        key: one.key.to_string(),
        status: one.status.into(),
        reason: one.reason.to_owned(),
        micros: one.micros,
    }
}

// === impl Outcome ===

impl Outcome {
    fn wire(self) -> wire::Outcome {
        match self {
            Self::Served => wire::Outcome::Served,
            Self::Refused => wire::Outcome::Refused,
            Self::Broken(_) => wire::Outcome::Broken,
            Self::Cancelled => wire::Outcome::Cancelled,
        }
    }
}
