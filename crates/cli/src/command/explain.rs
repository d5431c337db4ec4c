//! `keyway explain`: what would happen to a request, and why.

use clap::Args;
use serde_json::{Value, json};

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
}

pub(crate) async fn run(server: &Server, output: Output, verb: Explain) -> Result<(), Failure> {
    let answer = server.post("/explain", &json!({ "client": verb.client, "model": verb.model })).await?;
    if output == Output::Json {
        print::json(&answer);
        return Ok(());
    }
    let allowed = if answer.get("allowed") == Some(&Value::Bool(true)) { "may use" } else { "may not use" };
    print::line(&format!("{} {allowed} {}", verb.client, verb.model));
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
    Ok(())
}
