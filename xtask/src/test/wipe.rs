//! The data plane with its feature `wipe`, which nobody builds by the way: the programs are built with it and put aside,
//! and the test that looks through their memory runs on those.

use std::fs;
use std::path::PathBuf;

use keyway_testkit::process;

use super::count::{self, Select};
use super::step::{self, Outcome, cargo};
use super::{E2E, PROGRAMS};

const FEATURE: &str = "keyway-dataplane/wipe";
const TEST: &str = "secret_memory";
const NAMES: [&str; 3] = ["keyway", "keyway-controlplane", "keyway-dataplane"];

pub(super) fn run() -> Outcome {
    let folder = match programs() {
        Ok(folder) => folder,
        Err(why) => return Outcome::failed(why),
    };
    let mut tests = count::tests(Select::File(E2E, TEST));
    tests.env(process::BIN_DIR, folder);
    count::counted(tests, step::LIMIT)
}

/// The folder with the programs that wipe. What lies in `target/debug` are those that do not, as before.
fn programs() -> Result<PathBuf, String> {
    build(&["--features", FEATURE])?;
    let folder = step::target().join("wipe");
    fs::create_dir_all(&folder).map_err(|why| why.to_string())?;
    for name in NAMES {
        let built = step::target().join("debug").join(name);
        fs::copy(built, folder.join(name)).map_err(|why| format!("{name}: {why}"))?;
    }
    build(&[])?;
    Ok(folder)
}

fn build(features: &[&str]) -> Result<(), String> {
    let mut programs = cargo(PROGRAMS);
    programs.args(features);
    let ran = step::run(programs, step::LIMIT)?;
    if ran.ok { Ok(()) } else { Err(ran.words) }
}
