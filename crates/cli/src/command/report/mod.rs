//! `keyway report …`: reports that a control plane signed, checked without it. Only `public-key` asks a server.

mod signed;

pub(crate) use signed::public_key as read_public_key;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, cell, moment};
use crate::server::Server;
use signed::Signed;

/// Bytes of a report at most, and of a key file.
const REPORT_LIMIT: u64 = 64 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum Report {
    /// Check that a report is as the control plane signed it; asks no server
    Verify {
        /// What `--report FILE` wrote
        file: PathBuf,
        /// The control plane's public key, from `keyway report public-key`: without it only the key that the report names can be
        /// checked, and anybody may have made that
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
    },
    /// Print the control plane's public key, as openssl reads it
    PublicKey,
}

/// Needs no server.
pub(crate) fn verify(output: Output, file: &Path, public_key: Option<&Path>) -> Result<(), Failure> {
    let signed = Signed::read(&read(file)?)?;
    let key = public_key.map(|path| signed::public_key(&read(path)?)).transpose()?;
    let evidence = signed.check(key.as_ref())?;
    let by = signed.public_key();
    match output {
        Output::Json => print::json(
            &json!({ "valid": true, "public_key": by, "key_was_given": key.is_some(), "evidence": evidence }),
        ),
        Output::Table => print::line(&said(&evidence)),
    }
    print::note(&match key {
        Some(_) => format!("The signature is right: the control plane with key {by} signed this."),
        None => format!(
            "The signature is right for the key that the report names, {by}; whether that is your control plane's says \
             --public-key with what `keyway report public-key` prints."
        ),
    });
    Ok(())
}

/// Prints the key.
pub(crate) async fn public_key(server: &Server, output: Output) -> Result<(), Failure> {
    let key = server.get("/public-key").await?;
    match output {
        Output::Json => print::json(&key),
        Output::Table => print::line(cell(&key, "pem").trim_end()),
    }
    Ok(())
}

/// What it is about, in two lines.
fn said(evidence: &Value) -> String {
    if let Some(head) = evidence.get("head").and_then(Value::as_str) {
        let at = evidence.get("at").and_then(Value::as_u64).unwrap_or_default();
        let (cluster, revision) = (cell(evidence, "cluster"), cell(evidence, "revision"));
        return format!(
            "audit log of {cluster} at {}\nrecord {revision} was its newest, with hash {head}",
            moment(at)
        );
    }
    let replicas = evidence.get("replicas").and_then(Value::as_array).map_or(0, Vec::len);
    let at = evidence.get("at").and_then(Value::as_u64).unwrap_or_default();
    let versions = evidence.get("versions").map(print::list).into_iter().flatten();
    let versions: Vec<String> =
        versions.map(|one| format!("{} {}", cell(one, "version"), cell(one, "state"))).collect();
    format!(
        "{} of {} at {}, {replicas} replicas\nversions: {}",
        cell(evidence, "key"),
        cell(evidence, "cluster"),
        moment(at),
        versions.join(", ")
    )
}

/// The text of a report or of a key.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let told = |why: &dyn std::fmt::Display| Failure::Usage(format!("cannot read {}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| told(&error))?.len();
    if length > REPORT_LIMIT {
        return Err(told(&"it is too large for a report"));
    }
    std::fs::read_to_string(path).map_err(|error| told(&error))
}
