//! Many replicas in one process, until it is ended: what `cargo xtask bench fleet` puts before a control plane.

use clap::Parser;
use keyway_sim::{Node, Place, run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{error::Error, path::PathBuf};
use tokio::task::JoinSet;

/// Replicas that serve nobody.
#[derive(Debug, Parser)]
struct Options {
    /// The fleet stream, HOST:PORT
    #[arg(long)]
    fleet: String,
    /// The file of a join token
    #[arg(long)]
    token_file: PathBuf,
    /// How many
    #[arg(long)]
    replicas: usize,
    /// They refuse every state
    #[arg(long)]
    refuse: bool,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let token = std::fs::read_to_string(&options.token_file)?;
    let node = Node::join(&options.fleet, &token, "sim").await?;
    let place = Place { fleet: options.fleet, node, refuses: options.refuse };
    let mut herd = JoinSet::new();
    for number in 0..options.replicas {
        herd.spawn(run(place.clone(), number));
    }
    herd.join_all().await;
    Ok(())
}
