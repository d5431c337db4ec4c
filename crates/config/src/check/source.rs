//! Checks of a key's own rotation: exactly one source, and nothing in it that would be a secret or a riddle.

use super::At;
use super::provider::base_url;
use crate::file::{AwsIam, KeyRotation, Source, VaultAuth, VaultSource};

/// The shortest time between two rotations, milliseconds.
const EVERY_LEAST: u64 = 1000;
/// Arguments of a command.
const ARGUMENTS_LIMIT: usize = 64;
/// Characters of any text here.
const TEXT_LIMIT: usize = 1024;

pub(super) fn check(at: &mut At<'_>, rotation: &KeyRotation) {
    if rotation.every.is_some_and(|every| every.millis() < EVERY_LEAST) {
        at.field("every").report("must be at least 1s");
    }
    let mut at = at.field("source");
    source(&mut at, &rotation.source);
}

fn source(at: &mut At<'_>, source: &Source) {
    if source.place().is_none() {
        return at.report("must name exactly one of `env`, `file`, `command`, `vault` and `aws_iam`");
    }
    if let Some(name) = &source.env {
        at.report_field("env", variable(name));
    }
    if let Some(path) = &source.file {
        at.report_field("file", absolute(path));
    }
    if let Some(program) = source.command.first() {
        at.report_field("command", absolute(program).and_then(|()| arguments(&source.command)));
    }
    if let Some(value) = &source.vault {
        vault(&mut at.field("vault"), value);
    }
    if let Some(user) = &source.aws_iam {
        aws_iam(&mut at.field("aws_iam"), user);
    }
}

fn variable(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || name.len() > TEXT_LIMIT || !name.bytes().all(fits) {
        return Err("must be the name of a variable".into());
    }
    Ok(())
}

fn absolute(path: &str) -> Result<(), String> {
    if path.starts_with('/') && path.len() <= TEXT_LIMIT && !path.contains('\0') {
        return Ok(());
    }
    Err("must begin with an absolute path: the control plane's working directory is its own affair".into())
}

fn arguments(argv: &[String]) -> Result<(), String> {
    if argv.len() > ARGUMENTS_LIMIT || argv.iter().any(|one| one.len() > TEXT_LIMIT || one.contains('\0')) {
        return Err(format!("has at most {ARGUMENTS_LIMIT} arguments of {TEXT_LIMIT} bytes each"));
    }
    Ok(())
}

fn vault(at: &mut At<'_>, vault: &VaultSource) {
    at.report_field("address", address(&vault.address));
    at.report_field("path", in_path(&vault.path));
    if let Some(mount) = &vault.mount {
        at.report_field("mount", in_path(mount));
    }
    if vault.version.is_some_and(|version| !(1..=2).contains(&version)) {
        at.field("version").report("must be 1 or 2, the version of the key-value engine");
    }
    if let Some(ca) = &vault.ca {
        at.report_field("ca", absolute(ca));
    }
    auth(&mut at.field("auth"), &vault.auth);
}

fn auth(at: &mut At<'_>, auth: &VaultAuth) {
    let given = [auth.token_file.is_some(), auth.kubernetes.is_some(), auth.approle.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return at.report("must name exactly one of `token_file`, `kubernetes` and `approle`");
    }
    if let Some(path) = &auth.token_file {
        at.report_field("token_file", absolute(path));
    }
    if let Some(account) = &auth.kubernetes {
        let mut at = at.field("kubernetes");
        at.report_field("mount", account.mount.as_deref().map_or(Ok(()), in_path));
        at.report_field("jwt_file", account.jwt_file.as_deref().map_or(Ok(()), absolute));
    }
    if let Some(role) = &auth.approle {
        let mut at = at.field("approle");
        at.report_field("mount", role.mount.as_deref().map_or(Ok(()), in_path));
        at.report_field("secret_id_file", absolute(&role.secret_id_file));
    }
}

/// Of a service that is shown a secret: in clear on this machine only.
fn address(url: &str) -> Result<(), String> {
    base_url(url)?;
    let Some(rest) = url.strip_prefix("http://") else { return Ok(()) };
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    if rest.starts_with("[::1]") || host == "localhost" || host.starts_with("127.") {
        return Ok(());
    }
    Err("must begin with https:// unless it is on this machine".into())
}

/// What becomes a part of a URL's path.
fn in_path(text: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_./+=@ ".contains(&b);
    let parts_fit = text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if text.len() <= TEXT_LIMIT && text.bytes().all(fits) && parts_fit {
        return Ok(());
    }
    Err("must be a path of letters, digits and '-_.+=@/' that does not begin or end with '/'".into())
}

fn aws_iam(at: &mut At<'_>, aws: &AwsIam) {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
    if aws.user.is_empty() || aws.user.len() > 64 || !aws.user.bytes().all(fits) {
        at.field("user").report("must be the name of an IAM user");
    }
    if aws.with.as_ref().is_some_and(|with| with.split('/').count() != 2) {
        at.field("with").report("must be a key of Keyway's, PROVIDER/KEY");
    }
    let of_region = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if aws.region.as_ref().is_some_and(|region| region.is_empty() || !region.bytes().all(of_region)) {
        at.field("region").report("must be a region like us-east-1");
    }
    at.report_field("endpoint", aws.endpoint.as_deref().map_or(Ok(()), address));
}
