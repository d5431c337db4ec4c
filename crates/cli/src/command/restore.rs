//! `keyway restore`: puts a backup in place of what the data directory holds. Local: no control plane runs meanwhile.

use std::path::PathBuf;

use clap::Args;
use keyway_controlplane::backup;
use serde_json::json;

use crate::args::{Global, Output};
use crate::failure::Failure;
use crate::home::Home;
use crate::print;

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// What `keyway backup` wrote
    file: PathBuf,
    /// Number of the life of the data that begins; it must be above all that replicas have seen [default: one more than the backup's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epoch: Option<u64>,
}

pub(crate) fn run(global: &Global, verb: Restore) -> Result<(), Failure> {
    let home = Home::new(global.home.clone())?;
    std::fs::File::open(&verb.file).map_err(|error| Failure::read(&verb.file, error))?;
    home.make()?;
    let wanted = backup::Restore { from: verb.file, into: home.directory().to_owned(), epoch: verb.epoch };
    let restored = backup::restore(&wanted).map_err(|error| Failure::Other(error.to_string()))?;
    let backup::Restored { epoch, revision } = restored;
    match global.output {
        Output::Json => print::json(&json!({ "epoch": epoch, "revision": revision })),
        Output::Table => print::note(&format!(
            "{} holds the backup's state of revision {revision}, as epoch {epoch}.",
            home.directory().display()
        )),
    }
    Ok(())
}
