//! `keyway ca …`: the roots of nodes' certificates.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::done;
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::Server;

#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// The roots: which issues, until when the one before is trusted, and which nodes are on which
    Show,
    /// Bring another root into use; the one before is trusted until no node needs it
    Rotate,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Ca) -> Result<(), Failure> {
    match verb {
        Ca::Show => print::result(output, &server.get("/ca").await?, table),
        Ca::Rotate => {
            let answer = server.post("/ca/rotate", &json!({})).await?;
            let before = answer.get("roots").map(print::list).into_iter().flatten().next();
            let until = before.map(|root| cell(root, "drop_at")).unwrap_or_default();
            let note = format!(
                "A new root issues from now on; nodes come to it as they renew. The one before is trusted until {until} \
                 at least; `keyway ca show` says who is still on it."
            );
            done(output, &answer, &note);
        }
    }
    Ok(())
}

fn table(authority: &Value) -> Table {
    let headings = &["ROOT", "STATE", "MADE", "EXPIRES", "TRUSTED UNTIL", "NODES"];
    let mut table = Table::new(headings, "there is no root");
    for one in authority.get("roots").map(print::list).into_iter().flatten() {
        table.row(
            ["generation", "state", "made", "expires", "drop_at", "nodes"].map(|field| cell(one, field)),
        );
    }
    table
}
