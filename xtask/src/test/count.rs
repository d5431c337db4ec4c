//! Runs tests with nextest where it is installed, else with cargo's own runner, and counts them.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::step::{self, Outcome, cargo};

/// Which packages' tests.
#[derive(Clone, Copy)]
pub(crate) enum Select {
    /// The whole workspace without this package.
    AllBut(&'static str),
    /// This package.
    Only(&'static str),
    /// Of this package, this file of tests.
    File(&'static str, &'static str),
}

/// True: `cargo nextest` works here.
pub(crate) fn has_nextest() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| step::run(cargo(["nextest", "--version"]), step::LIMIT).is_ok_and(|ran| ran.ok))
}

/// A command that runs them all, however many fail.
pub(crate) fn tests(select: Select) -> Command {
    if has_nextest() {
        let filter = match select {
            Select::AllBut(package) => format!("not package({package})"),
            Select::Only(package) => format!("package({package})"),
            Select::File(package, file) => format!("package({package}) & binary(={file})"),
        };
        let mut command = cargo(["nextest", "run", "--workspace", "--no-fail-fast", "--show-progress=none"]);
        command.args(["--status-level=fail", "--final-status-level=fail", "--color=never", "-E", &filter]);
        return command;
    }
    let mut command = cargo(["test", "--no-fail-fast"]);
    match select {
        Select::AllBut(package) => command.args(["--workspace", "--exclude", package]),
        Select::Only(package) => command.args(["--package", package]),
        Select::File(package, file) => command.args(["--package", package, "--test", file]),
    };
    command
}

/// Runs tests and reads the runner's totals. A run that fails without a failing test counts as one failure.
pub(crate) fn counted(tests: Command, limit: Duration) -> Outcome {
    let ran = match step::run(tests, limit) {
        Ok(ran) => ran,
        Err(why) => return Outcome::failed(why),
    };
    let (passed, failed) = totals(&ran.words);
    let failed = if ran.ok { failed } else { failed.max(1) };
    Outcome { passed, failed, words: ran.words }
}

/// Passed and failed tests in either runner's output. Nextest quotes what failing tests wrote, indented.
fn totals(output: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in output.lines() {
        if let Some(result) = line.strip_prefix("test result: ") {
            sum.0 += before(result, " passed");
            sum.1 += before(result, " failed");
        } else if line.trim_start().starts_with("Summary [") {
            let run = before(line, " tests run").max(before(line, " test run"));
            let passed = before(line, " passed");
            sum.0 += passed;
            sum.1 += run.saturating_sub(passed);
        }
    }
    sum
}

/// The number that stands right before `word`, else 0.
fn before(line: &str, word: &str) -> u64 {
    let Some((left, _)) = line.split_once(word) else { return 0 };
    left.rsplit(|digit: char| !digit.is_ascii_digit())
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::totals;

    #[test]
    fn totals_of_both_runners() {
        let cargo = "\
running 3 tests
test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(totals(cargo), (42, 1));
        let nextest = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 75 filtered out
     Summary [   0.520s] 12/12 tests run: 9 passed (1 slow, 1 flaky), 2 failed, 1 timed out, 5 skipped";
        assert_eq!(totals(nextest), (9, 3));
        assert_eq!(totals("     Summary [   0.1s] 1 test run: 1 passed, 0 skipped"), (1, 0));
        assert_eq!(totals("error: could not compile `x`"), (0, 0));
    }
}
