//! `cargo xtask bench fleet`: what the fleet promises, measured with real processes: each figure beside its reach and the
//! command that measures it alone.

mod cold;
mod failover;
mod herd;
mod many;
mod page;
mod requests;
mod revoked;
mod row;
mod ten;
mod world;

use super::{Outcome, machine::Machine, stage::target_folder};
use keyway_testkit::process::use_folder;
use page::Page;
use row::Row;
use std::{fs, path::PathBuf, process::Command};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these figures (comma between several)
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Figure>,
    /// Rotations on ten real replicas
    #[arg(long, default_value_t = 100)]
    rotations: u32,
    /// Revocations on ten real replicas
    #[arg(long, default_value_t = 100)]
    revocations: u32,
    /// Simulated replicas, all in one process
    #[arg(long, default_value_t = 1000)]
    simulated: usize,
    /// Requests with a rotation every second and a replica restart every ten
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Clients in the state that a cold start is from
    #[arg(long, default_value_t = 10_000)]
    clients: usize,
    /// Clients in the state of which one changes
    #[arg(long, default_value_t = 100_000)]
    many: usize,
    /// Changes of that one
    #[arg(long, default_value_t = 200)]
    changes: u32,
    /// Ends of a control plane that leads
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// Take the binaries that are there
    #[arg(long)]
    no_build: bool,
    /// Where the programs are, if they are not to be built
    #[arg(long, value_name = "DIR", conflicts_with = "no_build")]
    programs: Option<PathBuf>,
    /// Also write the table to this file
    #[arg(long)]
    markdown: Option<PathBuf>,
}

/// One part of the table.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Figure {
    /// Activation to last ACK, ten real replicas
    Ten,
    /// Activation to last ACK, a thousand simulated replicas; and their return after a restart of the control plane
    Herd,
    /// Revocation to last refusal, ten real replicas under load
    Revoked,
    /// Failed requests while keys rotate and replicas restart
    Requests,
    /// Writes are back after the end of a control plane
    Failover,
    /// Start from the last good state
    Cold,
    /// A change of one of a hundred thousand clients
    Clients,
}

const FIGURES: [Figure; 7] = [
    Figure::Ten,
    Figure::Herd,
    Figure::Revoked,
    Figure::Requests,
    Figure::Failover,
    Figure::Cold,
    Figure::Clients,
];

pub(crate) fn run(args: &Args) -> Outcome<()> {
    if !args.no_build && args.programs.is_none() {
        build()?;
    }
    use_folder(match &args.programs {
        Some(folder) => folder.clone(),
        None => target_folder()?.join("release"),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut page = Page::new(&Machine::look()?);
    for figure in FIGURES {
        if !args.only.is_empty() && !args.only.contains(&figure) {
            continue;
        }
        for row in measure(figure, args, &runtime)? {
            page.row(row);
        }
    }
    page.end(&Machine::look()?);
    if let Some(file) = &args.markdown {
        fs::write(file, page.text())?;
    }
    Ok(())
}

fn measure(figure: Figure, args: &Args, runtime: &tokio::runtime::Runtime) -> Outcome<Vec<Row>> {
    match figure {
        Figure::Ten => ten::measure(args.rotations, runtime),
        Figure::Herd => herd::measure(args.simulated, runtime),
        Figure::Revoked => revoked::measure(args.revocations, runtime),
        Figure::Requests => requests::measure(args.requests, runtime),
        Figure::Failover => failover::measure(args.kills, runtime),
        Figure::Cold => cold::measure(args.clients),
        Figure::Clients => many::measure(args.many, args.changes, runtime),
    }
}

/// Release builds: this takes minutes. The herd is built apart, as the bench's own programs are.
fn build() -> Outcome<()> {
    let product = ["keyway-cli", "keyway-controlplane", "keyway-dataplane"];
    for packages in [&["keyway-sim"][..], &product] {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release"]).args(packages.iter().flat_map(|package| ["--package", package]));
        if !cargo.status()?.success() {
            return Err(format!("no release build of {}", packages.join(", ")).into());
        }
    }
    Ok(())
}
