//! Installs the official SDKs and OpenClaw into `target/`, pinned by the files under `tests/`, unless what is
//! there came from the same files. Only the package registries are asked, by their own clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyway_testkit::process::root;
use keyway_testkit::sdk;

use super::step::{self, Outcome};

/// Holds, beside what was installed, the files that pinned it.
const STAMP: &str = ".installed";

pub(crate) fn install() -> Outcome {
    let all = python().and_then(|()| aws()).and_then(|()| node()).and_then(|()| openclaw());
    Outcome::one(all.and_then(|()| deploy()))
}

/// The Python SDKs, which the strict provider needs too, a collector of traces, a reader of YAML, and prices to compare
/// with.
fn python() -> Result<(), String> {
    let pins = ["strict_provider", "telemetry", "deploy", "prices"]
        .map(|name| root().join("tests").join(name).join("requirements.txt"));
    venv(&sdk::folder().join("python"), &pins)
}

/// moto as IAM and STS, apart from the SDKs because it brings versions of its own.
fn aws() -> Result<(), String> {
    venv(&sdk::folder().join("aws"), &[root().join("tests/aws/requirements.txt")])
}

fn venv(folder: &Path, pins: &[PathBuf]) -> Result<(), String> {
    install_once(folder, pins, || {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(folder);
        tool(venv, "Python 3.11 or later with venv (Debian: apt-get install python3-venv)")?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        for file in pins {
            pip.arg("--requirement").arg(file);
        }
        succeeded(pip)
    })
}

/// The Node SDKs, and a Node that is new enough for them and for OpenClaw.
fn node() -> Result<(), String> {
    npm(&root().join("tests/sdk"), &sdk::folder().join("node"))
}

/// OpenClaw ends its own installation when it is first run: several that began at once would fight over that.
fn openclaw() -> Result<(), String> {
    let folder = sdk::openclaw_folder();
    npm(&root().join("tests/openclaw"), &folder)?;
    let mut first = Command::new(sdk::node());
    first.arg(folder.join("node_modules/openclaw/openclaw.mjs")).arg("--version").env("HOME", &folder);
    succeeded(first)
}

/// Helm and the schemas of Kubernetes, which check the chart.
fn deploy() -> Result<(), String> {
    let folder = root().join("target/deploy");
    install_once(&folder, &[root().join("tests/deploy/tools.txt")], || {
        let mut fetch = Command::new("python3");
        fetch.arg(root().join("tests/deploy/fetch.py")).arg(&folder);
        tool(fetch, "Python 3.11 or later with venv (Debian: apt-get install python3-venv)")
    })
}

/// Installs what the lock file in `from` names into `folder`. No package's script runs.
fn npm(from: &Path, folder: &Path) -> Result<(), String> {
    install_once(folder, &[from.join("package-lock.json")], || {
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(from.join(file), folder.join(file)).map_err(|why| format!("{file}: {why}"))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--loglevel=error"]).current_dir(folder);
        tool(npm, "Node 20 or later with npm (Debian: apt-get install nodejs npm)")
    })
}

fn install_once(
    folder: &Path,
    pins: &[PathBuf],
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let failed = |path: &Path, why: std::io::Error| format!("{}: {why}", path.display());
    let mut wanted = Vec::new();
    for file in pins {
        wanted.extend(fs::read(file).map_err(|why| failed(file, why))?);
    }
    let stamp: PathBuf = folder.join(STAMP);
    if fs::read(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|why| failed(folder, why))?;
    install()?;
    fs::write(&stamp, wanted).map_err(|why| failed(&stamp, why))
}

/// Runs a program that the machine has to have.
fn tool(command: Command, what: &str) -> Result<(), String> {
    let name = command.get_program().to_owned();
    match Command::new(&name).arg("--version").output() {
        Ok(_) => succeeded(command).map_err(|why| format!("{why}\n{} needs: {what}", name.display())),
        Err(_) => Err(format!("{} is missing: install {what}", name.display())),
    }
}

fn succeeded(command: Command) -> Result<(), String> {
    let name = command.get_program().display().to_string();
    let ran = step::run(command, step::LIMIT)?;
    if ran.ok { Ok(()) } else { Err(format!("{name} failed:\n{}", ran.words)) }
}
