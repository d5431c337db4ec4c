//! Who may depend on whom. The bans of deny.toml are checked here, because cargo-deny is not on every machine;
//! beside them stand two tables that cargo-deny cannot express.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

use super::step::{self, cargo};

/// What each crate of the workspace may name of the others.
const MAY: [(&str, &[&str]); 17] = [
    ("keyway-proto", &[]),
    ("keyway-snapshot", &["keyway-proto"]),
    ("keyway-dialect", &["keyway-proto", "keyway-snapshot"]),
    ("keyway-catalog", &["keyway-proto", "keyway-snapshot"]),
    ("keyway-config", &["keyway-catalog", "keyway-proto", "keyway-snapshot"]),
    ("keyway-metering", &["keyway-proto"]),
    ("keyway-sigv4", &["keyway-snapshot"]),
    ("keyway-telemetry", &[]),
    ("keyway-harden", &[]),
    (
        "keyway-dataplane",
        &[
            "keyway-dialect",
            "keyway-harden",
            "keyway-metering",
            "keyway-proto",
            "keyway-sigv4",
            "keyway-snapshot",
            "keyway-telemetry",
        ],
    ),
    (
        "keyway-controlplane",
        &[
            "keyway-catalog",
            "keyway-config",
            "keyway-harden",
            "keyway-metering",
            "keyway-proto",
            "keyway-sigv4",
            "keyway-snapshot",
            "keyway-telemetry",
        ],
    ),
    (
        "keyway-cli",
        &[
            "keyway-catalog",
            "keyway-config",
            "keyway-controlplane",
            "keyway-dataplane",
            "keyway-harden",
            "keyway-snapshot",
            "keyway-telemetry",
        ],
    ),
    ("keyway-testkit", &[]),
    ("keyway-e2e", &["keyway-testkit"]),
    ("keyway-sim", &["keyway-proto", "keyway-snapshot"]),
    ("keyway-bench", &["keyway-testkit"]),
    ("xtask", &["keyway-bench", "keyway-catalog", "keyway-testkit"]),
];

/// What its tests may name besides, and nothing that is built into a program.
const IN_TESTS: [(&str, &str); 1] = [("keyway-controlplane", "keyway-sim")];

/// Crates that hold rules and no I/O.
const PURE: [&str; 7] = [
    "keyway-catalog",
    "keyway-config",
    "keyway-dialect",
    "keyway-metering",
    "keyway-proto",
    "keyway-sigv4",
    "keyway-snapshot",
];

/// What a pure crate must not reach, however far away.
const SHELL: [&str; 8] = ["axum", "hyper", "mio", "reqwest", "rustls", "tokio", "tonic", "tracing"];

/// The only place that code may come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// All findings, one a line.
pub(crate) fn check() -> Result<(), String> {
    let deny: Deny = read_toml("deny.toml")?;
    let workspace = workspace()?;
    let mut found = Vec::from_iter(banned(&deny.bans.deny)?);
    found.extend(foreign(&workspace)?);
    found.extend(neighbours(&workspace));
    for pure in PURE {
        found.extend(impure(pure)?);
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

/// The real tool, where it is installed.
pub(crate) fn cargo_deny() -> Option<Command> {
    let found = step::run(cargo(["deny", "--version"]), step::LIMIT).is_ok_and(|ran| ran.ok);
    found.then(|| cargo(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))
}

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    /// Direct dependents that may have it; left out: nobody.
    #[serde(default)]
    wrappers: Vec<String>,
    reason: String,
}

/// What `cargo metadata --no-deps` says of the workspace.
#[derive(Deserialize)]
struct Workspace {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Named>,
}

/// A dependency as a manifest names it.
#[derive(Deserialize)]
struct Named {
    name: String,
    path: Option<String>,
    /// `dev`; absent = part of the crate.
    kind: Option<String>,
}

/// Cargo.lock.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    source: Option<String>,
}

/// Who has a banned crate and is none of its wrappers.
fn banned(bans: &[Ban]) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    for (parent, child) in edges(&tree(&["--workspace", "-e", "normal,build,dev", "--prefix", "depth"])?) {
        let ban = bans.iter().find(|ban| ban.name == child && !ban.wrappers.contains(&parent));
        found.extend(ban.map(|ban| format!("{parent} must not depend on {child}: {}", ban.reason)));
    }
    Ok(found)
}

/// Every (dependent, dependency) of a tree whose lines begin with their depth. What is cut short as already seen
/// has been there in full before.
fn edges(tree: &str) -> Vec<(String, String)> {
    let mut path: Vec<String> = Vec::new();
    let mut edges = Vec::new();
    for line in tree.lines() {
        let name = line.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let Ok(depth) = line.strip_suffix(name).unwrap_or_default().parse() else { continue };
        let name = name.split(' ').next().unwrap_or_default().to_owned();
        path.truncate(depth);
        edges.extend(path.last().map(|parent| (parent.clone(), name.clone())));
        path.push(name);
    }
    edges
}

/// Packages from elsewhere than crates.io or this workspace.
fn foreign(workspace: &Workspace) -> Result<Vec<String>, String> {
    let own = |name: &str| workspace.packages.iter().any(|package| package.name == name);
    let lock: Lock = read_toml("Cargo.lock")?;
    let elsewhere = lock.package.into_iter().filter(|package| match &package.source {
        Some(source) => source != CRATES_IO,
        None => !own(&package.name),
    });
    Ok(elsewhere.map(|package| format!("{} does not come from crates.io", package.name)).collect())
}

/// Edges inside the workspace that the table does not have.
fn neighbours(workspace: &Workspace) -> Vec<String> {
    let may = BTreeMap::from(MAY);
    let mut found = Vec::new();
    for package in &workspace.packages {
        let Some(allowed) = may.get(package.name.as_str()) else {
            found.push(format!("{} is new: give it a row in xtask/src/test/walls.rs", package.name));
            continue;
        };
        let inside = package.dependencies.iter().filter(|named| named.path.is_some());
        let in_tests = |named: &Named| {
            named.kind.as_deref() == Some("dev")
                && IN_TESTS.contains(&(package.name.as_str(), named.name.as_str()))
        };
        let wrong = inside.filter(|named| !allowed.contains(&named.name.as_str()) && !in_tests(named));
        found.extend(wrong.map(|named| format!("{} must not depend on {}", package.name, named.name)));
    }
    found
}

/// What a pure crate reaches and must not. The tree is of this crate alone, so that no other crate's features are
/// mixed in.
fn impure(pure: &str) -> Result<Vec<String>, String> {
    let tree = tree(&["-p", pure, "-e", "normal", "--prefix", "none"])?;
    let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    let wrong = SHELL.iter().filter(|shell| reached.contains(*shell));
    Ok(wrong
        .map(|shell| format!("{pure} must not reach {shell}: see `cargo tree -p {pure} -i {shell}`"))
        .collect())
}

fn tree(args: &[&str]) -> Result<String, String> {
    let mut tree = cargo(["tree", "--quiet"]);
    tree.args(args);
    let ran = step::run(tree, step::LIMIT)?;
    if ran.ok { Ok(ran.words) } else { Err(ran.words) }
}

fn workspace() -> Result<Workspace, String> {
    let metadata = cargo(["metadata", "--no-deps", "--format-version", "1", "--quiet"]).output();
    let metadata = metadata.map_err(|why| format!("cargo metadata: {why}"))?;
    serde_json::from_slice(&metadata.stdout).map_err(|why| format!("cargo metadata: {why}"))
}

fn read_toml<T: for<'a> Deserialize<'a>>(path: &str) -> Result<T, String> {
    let text = std::fs::read_to_string(path).map_err(|why| format!("{path}: {why}"))?;
    toml::from_str(&text).map_err(|why| format!("{path}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::edges;

    #[test]
    fn edges_of_a_tree() {
        let tree = "0a v1 (path)\n1b v1\n2c v1\n1c v1 (*)\n\n0d v1 (path)\n1b v1 (*)\n";
        let found = edges(tree);
        let found: Vec<_> = found.iter().map(|(parent, child)| format!("{parent}{child}")).collect();
        assert_eq!(found, ["ab", "bc", "ac", "db"]);
    }
}
