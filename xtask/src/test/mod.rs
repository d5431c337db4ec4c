//! `cargo xtask test`: every check and test of the project, and all that CI does. Each step prints one line with
//! its time; the last line of all says how many passed and failed.

mod count;
mod fuzz;
mod sdks;
mod step;
mod walls;
mod wipe;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use keyway_testkit::{process, strict};

use self::count::Select;
use self::step::{Outcome, Report, cargo, succeeds};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these steps; `e2e` brings along what it needs
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Name>,
    /// Also what takes hours: tests that read KEYWAY_LONG, property tests with 20,000 cases each, and cargo-fuzz where it is
    #[arg(long)]
    long: bool,
}

/// The steps, in the order in which they end.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Code is formatted
    Format,
    /// Generated code is what proto/ gives
    Gen,
    /// Who may depend on whom: deny.toml and the tables beside it
    Walls,
    /// No warning from clippy in any target
    Clippy,
    /// The documentation builds without warnings
    Docs,
    /// Unit and property tests
    Unit,
    /// A minute of cargo-fuzz for each target of fuzz/; only with --long, and where nightly and cargo-fuzz are
    Fuzz,
    /// The fleet under simulated networks: tests/turmoil
    Simulation,
    /// The programs are built
    Binaries,
    /// The SDKs and OpenClaw are installed into target/
    Sdks,
    /// Real programs, real SDKs
    E2e,
    /// A data plane that wipes all that it frees: its memory is looked through
    Wipe,
}

/// The package whose tests need programs and SDKs.
const E2E: &str = "keyway-e2e";

/// Builds the programs.
const PROGRAMS: [&str; 4] = ["build", "--workspace", "--bins", "--quiet"];

/// Cases of each property test under `--long`.
const LONG_CASES: &str = "20000";

pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    if !Path::new("deny.toml").is_file() {
        return Err("run it in the workspace's own folder".into());
    }
    let asked = |name| args.only.is_empty() || args.only.contains(&name);
    let mut report = Report::default();
    // Downloads wait for the network while the compiler waits for the processor.
    let wanted = asked(Name::Sdks) || asked(Name::E2e);
    let sdks = wanted.then(|| std::thread::spawn(|| step::timed(sdks::install)));

    if asked(Name::Format) {
        report.run("format", || succeeds(cargo(["fmt", "--all", "--", "--check", "-l"])));
    }
    if asked(Name::Gen) {
        report.run("gen", || Outcome::one(crate::r#gen::run(&crate::r#gen::Args { check: true })));
    }
    if asked(Name::Walls) {
        report.run("walls", || Outcome::one(walls::check()));
        if let Some(deny) = walls::cargo_deny() {
            report.run("cargo-deny", || succeeds(deny));
        }
    }
    if asked(Name::Clippy) {
        let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        report.run("clippy", || succeeds(cargo(clippy)));
    }
    if asked(Name::Docs) {
        let mut docs = cargo(["doc", "--workspace", "--no-deps", "--quiet"]);
        docs.env("RUSTDOCFLAGS", "-D warnings");
        report.run("docs", || succeeds(docs));
    }
    if asked(Name::Unit) {
        unit(&mut report, args.long);
    }
    if args.long && asked(Name::Fuzz) && fuzz::is_there() {
        report.run("fuzz", fuzz::run);
    }
    if asked(Name::Simulation) {
        report.run("simulation", || simulation(args.long));
    }
    let built =
        (asked(Name::Binaries) || asked(Name::E2e)) && report.run("binaries", || succeeds(cargo(PROGRAMS)));
    let installed = sdks.is_some_and(|sdks| report.add("sdks", step::joined(sdks)));
    if asked(Name::E2e) {
        report.run("e2e", || {
            if built && installed { e2e(args.long) } else { Outcome::not_run("programs or SDKs") }
        });
    }
    if asked(Name::Wipe) {
        report.run("wipe", wipe::run);
    }
    if !report.close() {
        // Not as an error: the count is the last line.
        std::process::exit(1);
    }
    Ok(())
}

/// All tests but the end-to-end ones.
fn unit(report: &mut Report, long: bool) {
    let mut tests = count::tests(Select::AllBut(E2E));
    let limit = lengthen(&mut tests, long);
    report.run("unit", || count::counted(tests, limit));
    // Without nextest the step before has run these.
    if count::has_nextest() {
        report.run("doctests", || count::counted(cargo(["test", "--workspace", "--doc"]), limit));
    }
}

/// A workspace of its own, built into the same folder.
fn simulation(long: bool) -> Outcome {
    let mut tests = cargo(["test", "--quiet", "--manifest-path", "tests/turmoil/Cargo.toml"]);
    tests.env("CARGO_TARGET_DIR", step::target());
    let limit = lengthen(&mut tests, long);
    Outcome::one(step::run(tests, limit).and_then(|ran| if ran.ok { Ok(()) } else { Err(ran.words) }))
}

/// The end-to-end tests, with one strict provider for all of them.
fn e2e(long: bool) -> Outcome {
    let strict = match strict::Strict::start() {
        Ok(strict) => strict,
        Err(why) => return Outcome::failed(why.to_string()),
    };
    let mut tests = count::tests(Select::Only(E2E));
    tests.env(strict::URL, strict.url()).env(process::BIN_DIR, step::target().join("debug"));
    let limit = lengthen(&mut tests, long);
    count::counted(tests, limit)
}

/// Gives tests their hours under `--long`, and their limit in time.
fn lengthen(tests: &mut Command, long: bool) -> Duration {
    if !long {
        return step::LIMIT;
    }
    tests.env("KEYWAY_LONG", "1").env("PROPTEST_CASES", LONG_CASES).env("NEXTEST_PROFILE", "long");
    step::LONG_LIMIT
}
