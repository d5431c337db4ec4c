//! The targets of `fuzz/` under cargo-fuzz, a minute each: only under `--long`, and only where rustup's nightly and cargo-fuzz
//! are. The unit test `mutate` throws changed bytes at the same functions for as long, everywhere.

use std::process::Command;
use std::time::Duration;

use super::step::{self, Outcome, cargo};

/// The binaries of fuzz/Cargo.toml.
const TARGETS: [&str; 6] = ["request", "response", "stream", "fault", "operation", "scan"];

/// How libFuzzer is run: seconds, bytes of an input, MiB of memory, seconds for one input, which a stalled machine may take.
const OPTIONS: [&str; 4] = ["-max_total_time=60", "-max_len=65536", "-rss_limit_mb=1024", "-timeout=300"];

/// A target's build from nothing and its minute, on a machine that may be busy.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// True if it can be run here.
pub(crate) fn is_there() -> bool {
    let mut version = nightly();
    version.arg("--version");
    step::run(version, LIMIT).is_ok_and(|ran| ran.ok)
}

/// Each target from the golden files as seeds. What is found lies in `fuzz/artifacts`.
pub(crate) fn run() -> Outcome {
    let mut seeds = cargo(["test", "--quiet", "--package", "keyway-dialect", "--test", "mutate"]);
    seeds.args(["--", "--ignored", "corpus"]);
    let mut found = Outcome::default();
    for command in std::iter::once(seeds).chain(TARGETS.map(target)) {
        match step::run(command, LIMIT) {
            Ok(ran) if ran.ok => found.passed += 1,
            Ok(step::Ran { words, .. }) | Err(words) => {
                found.failed += 1;
                found.words.push_str(&words);
            }
        }
    }
    found
}

fn target(name: &str) -> Command {
    let mut fuzz = nightly();
    fuzz.args(["run", "--fuzz-dir", "fuzz", name, "--"]).args(OPTIONS);
    fuzz
}

/// cargo-fuzz under nightly, whichever toolchain runs this.
fn nightly() -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(["run", "nightly", "cargo", "fuzz"]).env("CARGO_TERM_COLOR", "never");
    // Set for the toolchain that runs this.
    ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"].iter().for_each(|name| {
        rustup.env_remove(name);
    });
    rustup
}
