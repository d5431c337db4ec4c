//! `keyway why REQUEST_ID`: what became of one request, by which rules, and how its cost comes about.

use std::time::{Duration, SystemTime};

use clap::Args;
use keyway_config::Expiry;
use reqwest::StatusCode;
use serde_json::Value;
use ulid::Ulid;

use super::logs::{cost, target};
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell, thousands};
use crate::server::{Server, segment};

/// A record of a request that ended is here in less; a stream may go on for longer.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// What stood in the answer's header x-keyway-request-id
    request_id: String,
}

/// What stands in the upper part, and where in the record.
const FACTS: &[(&str, &str)] = &[
    ("began", "started"),
    ("client", "client"),
    ("team", "team"),
    ("asked for", "asked"),
    ("alias", "alias"),
    ("tags", "tags"),
    ("endpoint", "endpoint"),
    ("stream", "stream"),
    ("key", "key"),
    ("snapshot", "snapshot"),
    ("replica", "replica"),
    ("status", "status"),
    ("outcome", "outcome"),
    ("reason", "reason"),
    ("total ms", "total_ms"),
    ("first token ms", "first_token_ms"),
    ("waited upstream ms", "upstream_ms"),
    ("route", "route"),
];

pub(crate) async fn run(server: &Server, output: Output, verb: &Why) -> Result<(), Failure> {
    let id = verb.request_id.trim();
    let began = Ulid::from_string(id).map(|id| id.timestamp_ms()).map_err(|_| {
        Failure::Usage(format!(
            "`{id}` is no request id; it has 26 letters and digits and stands in the answer's header x-keyway-request-id"
        ))
    })?;
    match server.get(&format!("/logs/{}", segment(id))).await {
        Ok(record) if output == Output::Json => print::json(&record),
        Ok(record) => print::line(&text(&record)),
        Err(Failure::Answered { status: StatusCode::NOT_FOUND, .. }) => {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            let message = not_kept(id, Duration::from_millis(began), now);
            return Err(Failure::Answered { status: StatusCode::NOT_FOUND, message });
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// What is known of a request without a record: when it began, which its id says, and where its sums are.
pub(super) fn not_kept(id: &str, began: Duration, now: Duration) -> String {
    let at = Expiry::from_unix(began.as_secs());
    if now.saturating_sub(began) < ON_ITS_WAY {
        return format!(
            "there is no record of {id} yet; it began at {at}, {} s ago: a record comes once the request has ended, so ask again in a moment",
            now.saturating_sub(began).as_secs()
        );
    }
    let from = began.as_secs() / 60 * 60;
    let (from, until) = (Expiry::from_unix(from), Expiry::from_unix(from + 60));
    format!(
        "there is no record of {id}, which began at {at}: it is older than records are kept, one of too many at once, refused \
         before its client was known, or another team's; the sums of its minute hold it: keyway usage --since {from} --until {until}"
    )
}

pub(super) fn text(record: &Value) -> String {
    let mut facts = Table::new(&[], "nothing is known of it");
    facts.row(["request".to_owned(), cell(record, "id")]);
    facts.row(["went to".to_owned(), target(record)]);
    for (name, field) in FACTS {
        let shown = cell(record, field);
        if shown != "-" {
            facts.row([(*name).to_owned(), shown]);
        }
    }
    let mut parts = vec![facts.fitted()];
    parts.extend(rules(record));
    parts.extend(attempts(record));
    parts.push(counted(record));
    parts.join("\n\n")
}

fn rules(record: &Value) -> Option<String> {
    let rules = record.get("rules").map(print::list).into_iter().flatten();
    let lines: Vec<String> = rules.filter_map(Value::as_str).map(|rule| format!("  {rule}")).collect();
    (!lines.is_empty()).then(|| format!("Why\n{}", lines.join("\n")))
}

fn attempts(record: &Value) -> Option<String> {
    let all: Vec<&Value> = record.get("attempts").map(print::list).into_iter().flatten().collect();
    let mut table =
        Table::new(&["ATTEMPT", "TARGET", "KEY", "STATUS", "MS", "REASON"], "no attempt was made");
    for (number, attempt) in all.iter().enumerate() {
        table.row([
            (number + 1).to_string(),
            target(attempt),
            cell(attempt, "key"),
            cell(attempt, "status"),
            cell(attempt, "ms"),
            cell(attempt, "reason"),
        ]);
    }
    Some(table.fitted())
}

/// What was used, who says so, and what it cost.
fn counted(record: &Value) -> String {
    let mut table = Table::new(&[], "nothing was used");
    for (name, count) in record.get("usage").and_then(Value::as_object).into_iter().flatten() {
        let shown = count.as_u64().map_or_else(|| cell(record, &format!("usage.{name}")), thousands);
        if shown != "0" && shown != "-" {
            table.row([name.replace('_', " "), shown]);
        }
    }
    let delivered = cell(record, "delivered_output_tokens");
    if delivered != "-" {
        table.row(["of the output delivered".to_owned(), delivered]);
    }
    table.row(["counts from".to_owned(), cell(record, "usage_source")]);
    table.row(["price".to_owned(), cell(record, "price_rules")]);
    table.row(["cost USD".to_owned(), cost(record)]);
    table.fitted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_told_whole() {
        let record = json!({
            "id": "01K0000000000000000000000A", "started": "2026-11-25T22:23:40.123Z", "client": "bot", "asked": "fast",
            "alias": "fast", "provider": "openai", "model": "gpt-4o-mini", "key": "openai/main/2", "snapshot": "1.8", "status": 200,
            "outcome": "served", "reason": "", "tags": { "run": "7" },
            "attempts": [
                { "provider": "anthropic", "model": "claude-x", "key": "anthropic/k/1", "status": 529, "reason": "overloaded", "ms": 12.5 },
                { "provider": "openai", "model": "gpt-4o-mini", "key": "openai/main/2", "status": 200, "reason": "", "ms": 30.125 },
            ],
            "usage": { "input_tokens": 12345, "output_tokens": 0 }, "usage_source": "provider", "cost_nanodollars": 1_500_000,
            "price_rules": ["list"], "rules": ["`fast` is an alias", "input 12345 x 0.15 / 1M = 0.00185175"],
        });
        let text = text(&record);
        for part in [
            "openai/main/2",
            "1.8",
            "anthropic/claude-x",
            "openai/gpt-4o-mini",
            "529",
            "overloaded",
            "12,345",
            "0.0015",
            "  `fast` is an alias\n",
            "list",
            "run 7",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn an_unknown_price_is_not_nothing() {
        assert!(text(&json!({ "id": "x", "cost_nanodollars": null })).contains("unpriced"));
    }

    #[test]
    fn what_has_no_record_is_told_by_its_age() {
        let began = Duration::from_secs(1_764_000_000);
        let soon = not_kept("X", began, began + Duration::from_secs(3));
        assert!(soon.contains("3 s ago") && soon.contains("ask again"), "{soon}");
        let late = not_kept("X", began, began + Duration::from_secs(90));
        assert!(late.contains("--since 2025-11-24T16:00:00Z --until 2025-11-24T16:01:00Z"), "{late}");
        // A clock that is behind is no reason to say nonsense.
        assert!(not_kept("X", began, Duration::ZERO).contains("0 s ago"));
    }
}
