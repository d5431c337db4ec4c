//! `keyway explain`: what would happen to a request, and why.

use clap::Args;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::model::{cost, rate};
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::Server;

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Who would ask
    #[arg(long, value_name = "C")]
    client: String,
    /// What it would ask for
    #[arg(long, value_name = "M")]
    model: String,
    /// Input tokens that the cost is estimated for
    #[arg(long, value_name = "N", default_value_t = 1000)]
    input_tokens: u64,
    /// Output tokens that the cost is estimated for
    #[arg(long, value_name = "N", default_value_t = 500)]
    output_tokens: u64,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Explain) -> Result<(), Failure> {
    let question = json!({
        "client": verb.client,
        "model": verb.model,
        "input_tokens": verb.input_tokens,
        "output_tokens": verb.output_tokens,
    });
    let answer = server.post("/explain", &question).await?;
    if output == Output::Json {
        print::json(&answer);
    }
    if answer.get("refused").and_then(Value::as_u64) == Some(404) {
        return Err(unknown(&answer));
    }
    if output == Output::Json {
        return Ok(());
    }
    let allowed = if answer.get("allowed") == Some(&Value::Bool(true)) { "may use" } else { "may not use" };
    let targets = answer.get("targets").map(print::list).into_iter().flatten();
    let states: Vec<String> = targets.map(|target| cell(target, "state")).collect();
    let idle = !states.is_empty() && states.iter().all(|state| state != "ready");
    let but = if idle { "; no target can serve it now" } else { "" };
    print::line(&format!("{} {allowed} {}{but}", verb.client, verb.model));
    for rule in answer.get("rules").map(print::list).into_iter().flatten() {
        print::line(&format!("  {}", rule.as_str().unwrap_or_default()));
    }
    let mut table = Table::new(&["ORDER", "TARGET", "WEIGHT", "STATE", "WHY"], "no target would be tried");
    for target in answer.get("targets").map(print::list).into_iter().flatten() {
        let name = format!("{}/{}", cell(target, "provider"), cell(target, "model"));
        table.row([
            cell(target, "order"),
            name,
            cell(target, "weight"),
            cell(target, "state"),
            cell(target, "why"),
        ]);
    }
    print::line(&table.fitted());
    print::line("");
    let none = "no target would be charged";
    let mut costs = Table::new(&["TARGET", "INPUT", "OUTPUT", "ESTIMATE", "BY"], none);
    for target in answer.get("targets").map(print::list).into_iter().flatten() {
        costs.row([
            format!("{}/{}", cell(target, "provider"), cell(target, "model")),
            rate(target, "input"),
            rate(target, "output"),
            cost(target.get("estimate").unwrap_or(&Value::Null)),
            cell(target, "estimate.price_rules"),
        ]);
    }
    print::line(&costs.fitted());
    print::note(&format!(
        "USD: a million tokens in and out; the estimate is for {} tokens in, {} out, at list price",
        verb.input_tokens, verb.output_tokens
    ));
    Ok(())
}

/// No such model: the rule that says so, with the nearest names.
fn unknown(answer: &Value) -> Failure {
    let rules = answer.get("rules").map(print::list).into_iter().flatten();
    let last = rules.filter_map(Value::as_str).last().unwrap_or("no such model");
    let message = last.strip_suffix(": 404").unwrap_or(last);
    Failure::Answered {
        status: StatusCode::NOT_FOUND,
        message: format!("{message}; see `keyway model list`"),
    }
}
