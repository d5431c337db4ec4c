//! Requests whose cost is not known: which models they went to, and how to give these a price.

use serde_json::Value;

use super::pages::Pages;
use super::table::count;
use super::{Report, Usage};
use crate::failure::Failure;
use crate::print::{self, cell, thousands};
use crate::server::Server;

/// Models that are looked through for those without a price.
const MODELS: usize = 10_000;
/// Models that are named.
const NAMED: usize = 5;

/// Says it below the table, if there are any.
pub(super) async fn note(server: &Server, verb: &Usage, report: &Report) -> Result<(), Failure> {
    if count(&report.total, "unpriced") > 0 {
        let again = Pages {
            by: "model".into(),
            since: instant(&report.since).or(verb.since.clone()),
            until: instant(&report.until).or(verb.until.clone()),
            sort: Some("requests"),
            ..Pages::of(verb)
        };
        let models = again.report(server, MODELS).await?;
        print::line("");
        print::line(&text(&report.total, &models.rows));
    }
    Ok(())
}

/// The same span of time, though time went on.
fn instant(millis: &Value) -> Option<String> {
    millis.as_u64().map(|millis| millis.to_string())
}

pub(super) fn text(total: &Value, models: &[Value]) -> String {
    let mut without: Vec<(u64, String)> = models
        .iter()
        .map(|row| (count(row, "unpriced"), cell(row, "model")))
        .filter(|one| one.0 > 0)
        .collect();
    without.sort_by(|left, right| right.cmp(left));
    let named = without.iter().take(NAMED).map(|(count, model)| format!("  {model}  {}", thousands(*count)));
    let more = without.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("  and {more} more models"));
    let first = format!(
        "The cost does not hold {} of {} requests, whose price is not known:",
        thousands(count(total, "unpriced")),
        thousands(count(total, "requests"))
    );
    let mut lines = vec![first];
    lines.extend(named.chain(more));
    if let Some((provider, model)) = without.first().and_then(|(_, model)| model.split_once('/')) {
        lines.push("Give them one in keyway.yaml, in USD per million tokens, or 0 for what is free.".into());
        lines.push("It counts from then on:".into());
        lines.push(format!(
            "  providers:\n    {provider}:\n      prices: {{ \"{model}\": {{ input: 0.50, output: 1.50 }} }}"
        ));
    }
    lines.join("\n")
}
