//! `keyway migrate`: copies everything from a data directory into an etcd, or back. Local: no control plane runs meanwhile.

use std::path::PathBuf;

use clap::Args;
use keyway_controlplane::store::{Address, Migrated, Place, migrate};
use serde_json::json;

use crate::args::{Global, Output};
use crate::failure::Failure;
use crate::home::Home;
use crate::print;

/// The words for the data directory and for nothing else.
const HERE: &str = "sled";

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// What is copied: a data directory, `sled` for the usual one, or etcd://HOST:PORT,HOST:PORT/PREFIX
    #[arg(long, value_name = "DIR|URL")]
    from: String,
    /// Where to: the same, and empty
    #[arg(long, value_name = "DIR|URL")]
    to: String,
}

pub(crate) fn run(global: &Global, verb: &Migrate) -> Result<(), Failure> {
    let home = Home::new(global.home.clone())?;
    let place = |text: &str| {
        if text == HERE {
            Ok(Place::Directory(home.directory().to_owned()))
        } else if text.contains("://") {
            Address::parse(text).map(Place::Etcd).map_err(|error| Failure::Other(error.to_string()))
        } else {
            Ok(Place::Directory(PathBuf::from(text)))
        }
    };
    let migrated = migrate(&place(&verb.from)?, &place(&verb.to)?);
    let Migrated { cluster, epoch, revision, documents, sealed, head, done_before } =
        migrated.map_err(|error| Failure::Other(error.to_string()))?;
    if global.output == Output::Json {
        print::json(&json!({
            "cluster": cluster, "epoch": epoch, "revision": revision, "documents": documents,
            "sealed": sealed, "head": head, "done_before": done_before
        }));
        return Ok(());
    }
    let how = if done_before { "held it already, from an earlier run" } else { "holds it now" };
    print::note(&format!(
        "{} {how}: {documents} documents and {sealed} sealed files as epoch {epoch}, the log up to record {revision}, hash {head}.",
        verb.to
    ));
    print::note(
        "Both were read back and compared. The source is as it was; start no control plane on it any more.",
    );
    print::note("Whoever opens the target needs the same root key. The books of usage stay where they are.");
    Ok(())
}
