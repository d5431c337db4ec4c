//! One request as it is shown.

use super::{millis, moment::show, query::OUTCOMES, report::tags, usd};
use crate::usage::{Counted, Entry};
use keyway_proto::{
    fleet::v1::{Attempt, Outcome, UsageSource},
    snapshot::v1 as wire,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use ulid::Ulid;

/// One request.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in crate::api) struct RecordView {
    /// ULID: the `x-keyway-request-id` that the caller got.
    id: String,
    /// RFC 3339, milliseconds.
    started: String,
    client: String,
    team: String,
    /// The model as it was asked for.
    asked: String,
    /// The alias, if it was one.
    alias: String,
    provider: String,
    /// As it went upstream.
    model: String,
    /// `provider/key/version`.
    key: String,
    tags: BTreeMap<String, String>,
    /// The path that was called.
    endpoint: String,
    dialect: String,
    stream: bool,
    /// What the caller got.
    status: u32,
    /// `served`, `refused`, `broken`, `cancelled`.
    outcome: &'static str,
    /// Why, where it was not served.
    reason: String,
    total_ms: f64,
    /// Null = no first token came.
    first_token_ms: Option<f64>,
    /// Of the total: waiting for providers.
    upstream_ms: f64,
    attempts: Vec<AttemptView>,
    /// `provider/model` of every target that might have been tried, in order.
    route: Vec<String>,
    /// The configuration that it was served by: `epoch.counter`.
    snapshot: String,
    usage: Counted,
    /// `provider`, `estimate`, `partial`, `none`.
    usage_source: &'static str,
    /// Null = the price is not known.
    cost_nanodollars: Option<u64>,
    cost_usd: Option<String>,
    /// Output tokens that reached the caller, where that is not what is billed.
    delivered_output_tokens: Option<u64>,
    price_rules: Vec<String>,
    request_bytes: u64,
    reply_bytes: u64,
    replica: String,
}

/// One try.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct AttemptView {
    provider: String,
    model: String,
    key: String,
    /// 0 = no answer.
    status: u32,
    /// Empty = it answered.
    reason: String,
    ms: f64,
}

// === impl RecordView ===

impl From<&Entry> for RecordView {
    fn from(entry: &Entry) -> Self {
        let record = &entry.record;
        let spender = record.spender.clone().unwrap_or_default();
        let snapshot = record.snapshot.unwrap_or_default();
        Self {
            id: ulid(&record.id),
            started: show(record.started_unix_millis),
            client: spender.client,
            team: spender.team,
            asked: record.asked.clone(),
            alias: spender.alias,
            provider: spender.provider,
            model: spender.model,
            key: spender.key,
            tags: tags(spender.tags.iter().map(String::as_str)),
            endpoint: keyway_snapshot::route(record.dialect(), record.endpoint(), record.stream).to_owned(),
            dialect: dialect(record.dialect()),
            stream: record.stream,
            status: record.status,
            outcome: outcome(record.outcome()),
            reason: record.reason.clone(),
            total_ms: millis(record.total_micros),
            first_token_ms: Some(record.first_token_micros).filter(|micros| *micros > 0).map(millis),
            upstream_ms: millis(record.upstream_micros),
            attempts: record.attempts.iter().map(AttemptView::from).collect(),
            route: record.route.clone(),
            snapshot: format!("{}.{}", snapshot.epoch, snapshot.counter),
            usage: Counted::of(&record.counts),
            usage_source: source(record.usage_source()),
            cost_nanodollars: record.nano_dollars,
            cost_usd: record.nano_dollars.map(usd),
            delivered_output_tokens: record.delivered_output_tokens,
            price_rules: record.price_rules.clone(),
            request_bytes: record.request_bytes,
            reply_bytes: record.reply_bytes,
            replica: entry.replica.to_string(),
        }
    }
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        Self {
            provider: attempt.provider.clone(),
            model: attempt.model.clone(),
            key: attempt.key.clone(),
            status: attempt.status,
            reason: attempt.reason.clone(),
            ms: millis(attempt.micros),
        }
    }
}

/// A request's id as callers see it.
pub(super) fn ulid(id: &[u8]) -> String {
    <[u8; 16]>::try_from(id).map(|id| Ulid::from_bytes(id).to_string()).unwrap_or_default()
}

pub(super) fn outcome(outcome: Outcome) -> &'static str {
    OUTCOMES.iter().find(|(_, known)| *known == outcome).map_or("served", |(word, _)| *word)
}

fn source(source: UsageSource) -> &'static str {
    match source {
        UsageSource::Unspecified => "none",
        UsageSource::Provider => "provider",
        UsageSource::Estimate => "estimate",
        UsageSource::Partial => "partial",
    }
}

fn dialect(dialect: wire::Dialect) -> String {
    match dialect {
        wire::Dialect::Unspecified => String::new(),
        known => keyway_snapshot::Dialect::try_from(i32::from(known))
            .map(|known| keyway_catalog::dialect_name(known).to_owned())
            .unwrap_or_default(),
    }
}
