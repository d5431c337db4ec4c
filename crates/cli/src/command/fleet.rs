//! `keyway fleet …`: running data planes.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::done;
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

#[derive(Debug, Subcommand)]
pub(crate) enum Fleet {
    /// Every replica: what it serves, how far behind it is, how busy it is
    List,
    /// One replica
    Show {
        /// Its id
        id: String,
    },
    /// Let a replica finish what it is doing and end
    Drain {
        /// Its id
        id: String,
    },
}

pub(crate) async fn run(server: &Server, output: Output, verb: Fleet) -> Result<(), Failure> {
    match verb {
        Fleet::List => print::result(output, &server.get("/fleet").await?, table),
        Fleet::Show { id } => print::result(output, &server.get(&path(&id)).await?, print::fields),
        Fleet::Drain { id } => {
            let answer = server.post(&format!("{}/drain", path(&id)), &json!({})).await?;
            done(output, &answer, &format!("Replica {id} is draining."));
        }
    }
    Ok(())
}

fn path(id: &str) -> String {
    format!("/fleet/{}", segment(id))
}

fn table(replicas: &Value) -> Table {
    let headings = &["ID", "HOST", "STATE", "SNAPSHOT", "LAG", "IN FLIGHT", "RPS", "VERSION"];
    let mut table = Table::new(headings, "no replicas are connected");
    for replica in print::list(replicas) {
        let rps =
            replica.get("rps").and_then(Value::as_f64).map_or_else(|| "-".into(), |rps| format!("{rps:.1}"));
        table.row([
            cell(replica, "id"),
            cell(replica, "host"),
            cell(replica, "state"),
            cell(replica, "snapshot"),
            cell(replica, "lag"),
            cell(replica, "in_flight"),
            rps,
            cell(replica, "version"),
        ]);
    }
    table
}
