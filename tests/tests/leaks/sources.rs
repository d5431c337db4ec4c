//! Keys that have their secrets from sources: what a source gives, what it is shown, and what it says when it fails are
//! secrets too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, text};
use keyway_e2e::gateway::Outcome;
use keyway_e2e::leaks::{Marker, Secrets};
use keyway_e2e::rotation::state;
use keyway_testkit::vault::{ROLE, SECRET_ID, Vault};
use reqwest::Method;
use serde_json::{Value, json};

/// Where the secrets come from; outside of what is searched.
pub(super) struct Sources {
    folder: tempfile::TempDir,
    vault: Vault,
}

fn write(path: &Path, text: &str, mode: u32) -> Outcome<String> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(path.display().to_string())
}

impl Sources {
    pub(super) fn start(secrets: &mut Secrets) -> Outcome<Self> {
        let (folder, vault) = (tempfile::tempdir()?, Vault::start()?);
        let at = |name: &str| folder.path().join(name);
        write(&at("key"), &secrets.key("source/file")?, 0o600)?;
        write(&at("good"), &format!("#!/bin/sh\necho {}\n", secrets.key("source/command")?), 0o700)?;
        let (out, err) = (secrets.key("source/failed-stdout")?, secrets.key("source/failed-stderr")?);
        write(&at("bad"), &format!("#!/bin/sh\necho {out}; echo {err} >&2; exit 1\n"), 0o700)?;
        vault.put("leak", json!({ "value": secrets.key("source/vault")? }));
        write(&at("id"), SECRET_ID, 0o600)?;
        secrets.0.push(Marker::found("source/vault-secret-id", SECRET_ID.as_bytes()));
        secrets.0.push(Marker::found("source/vault-token", b"hvs.made-0001-0123456789"));
        Ok(Self { folder, vault })
    }

    /// The same file with four more keys of `sim`.
    pub(super) fn added(&self, yaml: &str) -> String {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let vault = format!(
            "vault: {{ address: \"{}\", path: leak, auth: {{ approle: {{ role_id: {ROLE}, secret_id_file: {} }} }} }}",
            self.vault.address(),
            at("id")
        );
        let sources = [
            ("by-file", format!("file: {}", at("key"))),
            ("by-command", format!("command: [{}]", at("good"))),
            ("by-none", format!("command: [{}]", at("bad"))),
            ("by-vault", vault),
        ];
        let key = |(name, source): &(&str, String)| {
            format!("{{ name: {name}, rotation: {{ source: {{ {source} }} }} }}, ")
        };
        let keys: String = sources.iter().map(key).collect();
        yaml.replacen("keys: [", &format!("keys: [{keys}"), 1)
    }
}

/// Waits until each has given what it has, and asks once more.
pub(super) async fn used(admin: &Admin) -> Outcome {
    for key in ["by-file", "by-command", "by-vault"] {
        let in_use = |key: &Value| (state(key, 1) == "active").then_some(());
        admin.until(PATIENCE, &format!("/keys/sim/{key}"), in_use).await?;
        admin.call(Method::POST, &format!("/keys/sim/{key}/fetch"), None).await?;
    }
    let failed = |key: &Value| (text(key, "/source/last/outcome") == "failed").then_some(());
    admin.until(PATIENCE, "/keys/sim/by-none", failed).await?;
    admin.get("/doctor").await.map(drop)
}
