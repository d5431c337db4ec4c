//! `keyway doctor`: looks from here first (way, token, clock, builds), then at what the control plane says of itself.

mod own;
#[cfg(test)]
mod tests;

use std::time::Instant;

use clap::Args;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::args::{Global, Output};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::home::Home;
use crate::print::{self, Table, cell};
use crate::server::Server;
use crate::trace::Trace;
use own::Finding;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Also read the whole audit log and check that nothing in it was changed
    #[arg(long)]
    deep: bool,
}

pub(crate) async fn run(global: &Global, verb: Doctor) -> Result<(), Failure> {
    let home = Home::new(global.home.clone())?;
    let mut findings = own::files(&home);
    let said = match Connection::find(global) {
        Ok(connection) => {
            findings.push(own::way(&connection.server));
            let server = Server::new(connection, Trace::new(global))?;
            ask(&server, verb.deep, &mut findings).await
        }
        Err(failure) => {
            findings.push(refused(&failure));
            Value::Null
        }
    };
    let own = findings.iter().map(Finding::json);
    let theirs = said.get("findings").and_then(Value::as_array).into_iter().flatten().cloned();
    let all: Vec<Value> = own.chain(theirs).collect();
    let failed = all.iter().filter(|finding| cell(finding, "level") == "fail").count();
    let build = said.get("build").cloned().unwrap_or_default();
    match global.output {
        Output::Json => print::json(&json!({ "build": build, "findings": all })),
        Output::Table => print::line(&table(&all).fitted()),
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::Other("one check failed; what to do stands beside it".into())),
        several => Err(Failure::Other(format!("{several} checks failed; what to do stands beside them"))),
    }
}

/// What the control plane says of itself; how it was to ask it is added to the findings.
async fn ask(server: &Server, deep: bool, findings: &mut Vec<Finding>) -> Value {
    let began = Instant::now();
    let status = server.get("/status").await;
    let took = began.elapsed();
    let path = if deep { "/doctor?deep=true" } else { "/doctor" };
    let said = match status {
        Ok(_) => server.get(path).await,
        Err(failure) => Err(failure),
    };
    match said {
        Ok(said) => {
            findings.push(own::connection(server.url(), took));
            findings.push(own::builds(env!("CARGO_PKG_VERSION"), &cell(&said, "build")));
            let theirs = said.get("at").and_then(Value::as_u64).unwrap_or_default();
            findings.push(own::clock(own::unix_millis(), theirs));
            said
        }
        Err(failure) => {
            findings.push(refused(&failure));
            Value::Null
        }
    }
}

/// Why there is no answer, as a finding: its line says what to do already.
fn refused(failure: &Failure) -> Finding {
    let area = match failure {
        Failure::Answered { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. } => "token",
        Failure::Answered { status: StatusCode::SERVICE_UNAVAILABLE, .. } => "seal",
        _ => "connection",
    };
    let line = failure.to_string();
    let (what, what_to_do) = line.split_once("; ").unwrap_or((&line, "look at the control plane's log"));
    Finding::fail(area, what, what_to_do)
}

fn table(findings: &[Value]) -> Table {
    let mut table = Table::new(&["AREA", "LEVEL", "FINDING"], "nothing was looked at");
    for finding in findings {
        let (what, what_to_do) = (cell(finding, "what"), cell(finding, "what_to_do"));
        let text = if what_to_do == "-" { what } else { format!("{what}\n→ {what_to_do}") };
        table.row([cell(finding, "area"), cell(finding, "level"), text]);
    }
    table
}
