//! `keyway audit …`: who changed what, and whether the log of it is whole.

use clap::{Args, Subcommand};
use keyway_config::Expiry;
use serde_json::{Value, json};

use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Who did what, the newest last
    List(List),
    /// Read the whole log and check that nothing in it was changed
    Verify,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Begin after this revision [default: the newest]
    #[arg(long, value_name = "REV")]
    since: Option<u64>,
    /// Records at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Only what was done to this: client/NAME, provider/NAME…
    #[arg(long, value_name = "S")]
    subject: Option<String>,
    /// Only what this one did: operator/NAME, bootstrap, system…
    #[arg(long, value_name = "A")]
    actor: Option<String>,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Audit) -> Result<(), Failure> {
    match verb {
        Audit::List(list) => {
            let page = server.get(&path(&list)).await?;
            print::result(output, &page, table);
            if output == Output::Table && page.get("more") == Some(&Value::Bool(true)) {
                print::note(&format!("There is more: go on with --since {}.", cell(&page, "next")));
            }
        }
        Audit::Verify => {
            let sound = server.post("/audit/verify", &json!({})).await?;
            match output {
                Output::Json => print::json(&sound),
                Output::Table => print::line(&format!(
                    "The audit log is whole: {} records up to revision {}, head {}",
                    cell(&sound, "records"),
                    cell(&sound, "revision"),
                    cell(&sound, "head")
                )),
            }
        }
    }
    Ok(())
}

fn path(list: &List) -> String {
    let mut path = format!("/audit?limit={}", list.limit);
    if let Some(since) = list.since {
        path.push_str(&format!("&after={since}"));
    }
    for (name, value) in [("subject", &list.subject), ("actor", &list.actor)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    path
}

fn table(page: &Value) -> Table {
    let headings = &["REVISION", "TIME", "ACTOR", "ACTION", "SUBJECT", "DETAIL"];
    let mut table = Table::new(headings, "nothing was done there");
    for record in page.get("records").into_iter().flat_map(print::list) {
        let at = record.get("at").and_then(Value::as_u64).unwrap_or_default();
        table.row([
            cell(record, "revision"),
            Expiry::from_unix(at / 1000).to_string(),
            cell(record, "actor"),
            cell(record, "action"),
            cell(record, "subject"),
            cell(record, "detail"),
        ]);
    }
    table
}
