//! `keyway fleet …`: running data planes.

mod hosts;

use std::io::{self, IsTerminal};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::args::Output;
use crate::command::client::done;
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
    /// Hosts and data planes that have joined: until when their certificates last
    Nodes,
    /// Hosts whose replicas a supervisor runs: how many, how many are wanted, what is wrong
    Hosts,
    /// Run so many replicas on a host, from now on
    Scale {
        /// The supervisor's name, or the machine's if there is one
        #[arg(long, value_name = "H")]
        host: String,
        /// From 1 to 64
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
        replicas: u32,
    },
    /// Replace a host's replicas one by one, and then its supervisor, by the program that is on its disk
    Upgrade {
        /// The supervisor's name, or the machine's if there is one
        #[arg(long, value_name = "H")]
        host: String,
        /// Seconds to wait for its end; 0 = do not wait
        #[arg(long, default_value_t = 300, value_name = "S")]
        timeout: u64,
    },
    /// Let a replica finish what it is doing and end
    Drain {
        /// Its id
        id: String,
    },
    /// Shut out a node with its replicas, or a replica that is gone for good: nothing waits for it any more, and it may not come back
    Evict {
        /// The node's name, or the replica's id
        id: String,
        /// Do it; wanted where a person sits at the terminal
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(server: &Server, output: Output, verb: Fleet) -> Result<(), Failure> {
    match verb {
        Fleet::List => print::result(output, &server.get("/fleet").await?, table),
        Fleet::Nodes => print::result(output, &server.get("/nodes").await?, nodes),
        Fleet::Show { id } => print::result(output, &server.get(&path(&id)).await?, print::fields),
        Fleet::Drain { id } => {
            let answer = server.post(&format!("{}/drain", path(&id)), &json!({})).await?;
            done(output, &answer, &format!("Replica {id} is draining."));
        }
        Fleet::Hosts => print::result(output, &server.get("/hosts").await?, hosts::table),
        Fleet::Scale { host, replicas } => return hosts::scale(server, output, &host, replicas).await,
        Fleet::Upgrade { host, timeout } => return hosts::upgrade(server, output, &host, timeout).await,
        Fleet::Evict { id, yes } => return evict(server, output, &id, yes).await,
    }
    Ok(())
}

async fn evict(server: &Server, output: Output, id: &str, yes: bool) -> Result<(), Failure> {
    if !yes && io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "nobody can take a secret back from {id}, and it is never let in again under its name; if that is meant, say \
             it with --yes"
        )));
    }
    let answer = server.post(&format!("{}/evict", path(id)), &json!({})).await?;
    let keys: Vec<String> = answer.get("keys").map(print::list).into_iter().flatten().map(text).collect();
    if output == Output::Table && !keys.is_empty() {
        print::line(&keys.join("\n"));
    }
    let note = match keys.len() {
        0 => format!("{id} is evicted; it held no keys."),
        _ => format!(
            "{id} is evicted. If others can get at it, rotate the key versions that it may still hold."
        ),
    };
    done(output, &answer, &note);
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn path(id: &str) -> String {
    format!("/fleet/{}", segment(id))
}

fn nodes(nodes: &Value) -> Table {
    let headings = &["NAME", "HOST", "STATE", "EXPIRES", "ROOT", "TOKEN"];
    let mut table = Table::new(headings, "no nodes have joined; see `keyway join-token create`");
    for one in print::list(nodes) {
        table.row(["name", "host", "state", "expires", "root", "token"].map(|field| cell(one, field)));
    }
    table
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
