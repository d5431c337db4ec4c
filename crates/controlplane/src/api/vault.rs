//! The vault's own keys: how the secrets are wrapped, and changes of that. Nothing here shows or takes a secret.

use super::{
    answer::{Answer, Fault},
    call::Call,
};
use crate::{
    rekey,
    resource::{KekDocument, Refusal},
    vault::{RootKey, Vault, VaultError},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// How the secrets are wrapped.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VaultView {
    /// The version of the wrapping key that is in use.
    wrapping: u32,
    /// How many secrets are under each version in the keyring.
    secrets: BTreeMap<u32, usize>,
    /// The newest change of the wrapping key.
    change: Option<KekDocument>,
}

/// Where a new root key is to lie.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRoot {
    /// Absolute, on the control plane's machine. A root key that is there already is taken.
    to_file: PathBuf,
}

/// A root key that is in force.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Rerooted {
    /// Tells root keys apart, and says nothing of them.
    root_key: String,
    /// Where it lies: the next start has to be told.
    file: PathBuf,
}

pub(super) async fn show(call: Call) -> Result<Answer, Fault> {
    Answer::json(&view(&call)?)
}

pub(super) async fn rotate_kek(call: Call) -> Result<Answer, Fault> {
    rekey::begin(call.plane(), &call.author("vault")).await?;
    Answer::json(&view(&call)?)
}

pub(super) async fn rotate_root(call: Call) -> Result<Answer, Fault> {
    let NewRoot { to_file } = serde_json::from_value(call.value()?)
        .map_err(|_| Fault::malformed("`to_file` is missing: where the new root key is to lie"))?;
    if !to_file.is_absolute() {
        return Err(Refusal::field(
            "to_file",
            "must be absolute: it is a path of the control plane's machine",
        )
        .into());
    }
    let plane = call.plane();
    if plane.store().shared().is_some() {
        let why =
            "cannot be changed while several control planes share a store: each has to find it at its start";
        return Err(Refusal::field("the root key", why).into());
    }
    call.record("vault").await?;
    let _nothing_changes = plane.still().await;
    let (vault, file) = (plane.vault().clone(), to_file.clone());
    // Waits for the disk on a thread that may.
    let done = tokio::task::spawn_blocking(move || reroot(&vault, &file)).await;
    let root_key = done.map_err(|_| Refusal::Internal("a thread of the vault failed"))?;
    Answer::json(&Rerooted { root_key: root_key.map_err(Refusal::from)?, file: to_file })
}

/// Puts the root key in that file into force, made if there is none; its name.
fn reroot(vault: &Vault, file: &Path) -> Result<String, VaultError> {
    let root = match RootKey::at(file)? {
        // A try before this one came so far.
        Some(root) => root,
        None => RootKey::make(file)?,
    };
    vault.reroot(&root)?;
    Ok(root.name())
}

fn view(call: &Call) -> Result<VaultView, Fault> {
    let vault = call.plane().vault();
    let (wrapping, secrets) =
        (vault.wrapping().map_err(Refusal::from)?, vault.wrapped().map_err(Refusal::from)?);
    Ok(VaultView { wrapping, secrets, change: rekey::current(call.plane()) })
}
