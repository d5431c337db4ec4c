//! One step: runs, is timed, prints its line, and is counted.

use std::ffi::OsStr;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use keyway_testkit::process::{Process, root};

/// How long one command may take: a hang must not hold a CI machine for ever.
pub(crate) const LIMIT: Duration = Duration::from_secs(35 * 60);

/// The same under `--long`.
pub(crate) const LONG_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What a step found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Checks or tests that held.
    pub(crate) passed: u64,
    /// Checks or tests that did not.
    pub(crate) failed: u64,
    /// What to print when it failed.
    pub(crate) words: String,
}

/// What all steps found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: u64,
    failed: u64,
}

/// What a command did.
pub(crate) struct Ran {
    /// True: exit 0.
    pub(crate) ok: bool,
    /// Both outputs.
    pub(crate) words: String,
}

impl Outcome {
    /// A step that is a single check.
    pub(crate) fn one<E: Display>(found: Result<(), E>) -> Self {
        match found {
            Ok(()) => Self { passed: 1, ..Self::default() },
            Err(why) => Self::failed(why.to_string()),
        }
    }

    /// A step that failed as a whole.
    pub(crate) fn failed(words: String) -> Self {
        Self { failed: 1, words, ..Self::default() }
    }

    /// A step whose ground is missing.
    pub(crate) fn not_run(lacking: &str) -> Self {
        Self::failed(format!("not run: {lacking} are missing"))
    }
}

impl Report {
    /// Runs a step. False: it failed.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Outcome) -> bool {
        self.add(name, timed(step))
    }

    /// Takes up a step that ran elsewhere. False: it failed.
    #[expect(clippy::print_stdout, reason = "the report is what the command is for")]
    pub(crate) fn add(&mut self, name: &str, (outcome, time): (Outcome, Duration)) -> bool {
        let Outcome { passed, failed, words } = outcome;
        self.passed += passed;
        self.failed += failed;
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        let tests =
            if passed + failed > 1 { format!("  ({passed} of {})", passed + failed) } else { String::new() };
        println!("{name:<12}{verdict:<8}{:>7.1} s{tests}", time.as_secs_f64());
        if failed > 0 {
            println!("{words}");
        }
        failed == 0
    }

    /// Prints the last line. False: something failed.
    #[expect(clippy::print_stdout, reason = "the report is what the command is for")]
    pub(crate) fn close(self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}

/// The step's outcome and how long it took.
pub(crate) fn timed(step: impl FnOnce() -> Outcome) -> (Outcome, Duration) {
    let begun = Instant::now();
    let outcome = step();
    (outcome, begun.elapsed())
}

/// Waits for a step that runs in a thread of its own.
pub(crate) fn joined(step: JoinHandle<(Outcome, Duration)>) -> (Outcome, Duration) {
    step.join().unwrap_or_else(|_| (Outcome::failed("its thread panicked".to_owned()), Duration::ZERO))
}

/// The cargo that runs this, with plain output.
pub(crate) fn cargo<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a command and keeps what it writes.
pub(crate) fn run(mut command: Command, limit: Duration) -> Result<Ran, String> {
    let name = command.get_program().display().to_string();
    let mut process = Process::start(&name, &mut command).map_err(|why| explained(&why))?;
    let status = process.wait(limit).map_err(|why| format!("{name}: {why}"))?;
    let late =
        if status.is_none() { format!("\n{name} did not end within {limit:?}") } else { String::new() };
    let words = format!("{}{}{late}", process.stdout(), process.stderr());
    Ok(Ran { ok: status.is_some_and(|status| status.success()), words })
}

/// A step that is a single command.
pub(crate) fn succeeds(command: Command) -> Outcome {
    Outcome::one(run(command, LIMIT).and_then(|ran| if ran.ok { Ok(()) } else { Err(ran.words) }))
}

/// An error with its causes, in one line.
pub(crate) fn explained(why: &dyn std::error::Error) -> String {
    let mut words = why.to_string();
    let mut cause = why.source();
    while let Some(next) = cause {
        words = format!("{words}: {next}");
        cause = next.source();
    }
    words
}
