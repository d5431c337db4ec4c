//! `keyway restore`: puts a backup in place of what the data directory holds. Local: no control plane runs meanwhile.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::Args;
use keyway_config::Expiry;
use keyway_controlplane::store::{Restored, restore};
use keyway_controlplane::usage::Brought;
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
    let file = File::open(&verb.file).map_err(|error| Failure::read(&verb.file, error))?;
    home.make()?;
    let restored = restore(BufReader::new(file), home.directory(), verb.epoch);
    let Restored { cluster, epoch, revision, put_aside, usage } =
        restored.map_err(|error| Failure::Other(error.to_string()))?;
    let booked = match usage {
        Brought::Until { booked } => Some(booked),
        Brought::Kept | Brought::Nothing => None,
    };
    if global.output == Output::Json {
        print::json(&json!({
            "cluster": cluster, "epoch": epoch, "revision": revision, "put_aside": put_aside, "usage_until": booked
        }));
        return Ok(());
    }
    let at = home.directory().display();
    print::note(&format!("{at} holds the backup's state, as epoch {epoch}; start the control plane."));
    print::note("It opens with the root key that the backup was made under.");
    print::note(&match usage {
        Brought::Until { booked } => format!(
            "Usage is the backup's, booked until {}; what came later is booked again only as far as replicas still have it.",
            Expiry::from_unix(booked / 1000)
        ),
        Brought::Kept => {
            "Usage is what was here: it holds all of the backup's, and what came later.".to_owned()
        }
        Brought::Nothing => "The backup holds no usage; what was here stays.".to_owned(),
    });
    if let Some(aside) = put_aside {
        print::note(&format!("What was there before is in {}.", aside.display()));
    }
    Ok(())
}
