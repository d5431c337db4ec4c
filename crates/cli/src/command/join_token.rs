//! `keyway join-token …`: with what nodes join.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyway_config::{Expiry, Span};
use serde_json::{Value, json};

use super::client::{done, show_token};
use crate::args::Output;
use crate::failure::Failure;
use crate::home::write_private;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

/// Milliseconds that a token lasts which is used once.
const ONCE_MS: u64 = 600_000;
const SECOND_MS: u64 = 1_000;

#[derive(Debug, Subcommand)]
pub(crate) enum JoinToken {
    /// Make a token; it is the only thing on stdout and is never shown again
    Create(Create),
    /// Every token: how long it lasts and who joined with it
    List,
    /// Refuse a token from now on; who joined with it stays
    Revoke {
        /// Its id, as `list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// For how long, like 5m; at most 10m for a token that is used once [default: 10m]
    #[arg(long, value_name = "SPAN", value_parser = ttl)]
    ttl: Option<Span>,
    /// It may bring more than one node
    #[arg(long, requires = "max_nodes")]
    reusable: bool,
    /// How many nodes may join with it
    #[arg(long, value_name = "N", requires = "reusable", value_parser = clap::value_parser!(u32).range(2..=4096))]
    max_nodes: Option<u32>,
    /// Until when a reusable one may be used: a span like 30d or a day like 2027-01-31
    #[arg(long, value_name = "WHEN", value_parser = until, requires = "reusable", conflicts_with = "ttl")]
    expires: Option<String>,
    /// The only node that may join with it; one that joined before gets a new key
    #[arg(long, value_name = "NAME", conflicts_with = "reusable")]
    node: Option<String>,
    /// Write it into this file (mode 0600) and not to stdout
    #[arg(long, value_name = "F")]
    out: Option<PathBuf>,
}

fn ttl(text: &str) -> Result<Span, String> {
    Span::parse(text)
        .filter(|span| span.millis() >= SECOND_MS)
        .ok_or_else(|| "a time like 5m is wanted, at most 10m for a token that is used once".to_owned())
}

/// A span or a day, as the API takes it.
pub(super) fn until(text: &str) -> Result<String, String> {
    match Span::parse(text).is_some() || Expiry::parse(text).is_some() {
        true => Ok(text.to_owned()),
        false => Err("a span like 30d, at most ten years, or a day like 2027-01-31 is wanted".to_owned()),
    }
}

pub(crate) async fn run(server: &Server, output: Output, verb: JoinToken) -> Result<(), Failure> {
    match verb {
        JoinToken::List => print::result(output, &server.get("/join-tokens").await?, table),
        JoinToken::Create(create) => make(server, output, create).await?,
        JoinToken::Revoke { id } => {
            let answer = server.delete(&format!("/join-tokens/{}", segment(&id))).await?;
            done(output, &answer, &format!("Join token {id} is refused from now on."));
        }
    }
    Ok(())
}

async fn make(server: &Server, output: Output, create: Create) -> Result<(), Failure> {
    let Create { ttl, max_nodes, expires, node, out, reusable } = create;
    if let Some(ttl) = ttl.filter(|ttl| !reusable && ttl.millis() > ONCE_MS) {
        return Err(Failure::Usage(format!(
            "--ttl {ttl} is too long: a token that is used once lasts at most 10m; for longer give --reusable --max-nodes N"
        )));
    }
    let body = json!({ "expires": ttl.map(|ttl| ttl.to_string()).or(expires), "max_nodes": max_nodes, "node": node });
    let answer = server.post("/join-tokens", &body).await?;
    let (id, until) = (cell(&answer, "id"), cell(&answer, "expires"));
    let whom = max_nodes.map_or_else(|| "one node".to_owned(), |nodes| format!("{nodes} nodes"));
    let note = format!("Join token {id} is for {whom}, until {until}.");
    let Some(path) = out else {
        show_token(output, &answer, &format!("{note} It is shown only now."));
        return Ok(());
    };
    write_private(&path, answer.get("token").and_then(Value::as_str).unwrap_or_default())?;
    if output == Output::Json {
        let mut answer = answer;
        answer.as_object_mut().and_then(|fields| fields.shift_remove("token"));
        print::json(&answer);
    }
    print::note(&format!("{note} It is in {}.", path.display()));
    Ok(())
}

fn table(tokens: &Value) -> Table {
    let headings = &["ID", "STATE", "EXPIRES", "MAX NODES", "NODE", "USED BY"];
    let mut table = Table::new(headings, "no join tokens; make one with `keyway join-token create`");
    for one in print::list(tokens) {
        table.row(["id", "state", "expires", "max_nodes", "node", "used_by"].map(|field| cell(one, field)));
    }
    table
}
