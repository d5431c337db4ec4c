//! `cargo xtask bench`: what Keyway costs, beside a bare proxy and nginx, in one run.
//!
//! Absolute figures drift from machine to machine and from minute to minute. So every case runs all subjects in
//! turn, round after round, and the figure to trust is the ratio to the bare proxy of the same round.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output")]

mod body;
mod case;
mod figures;
mod fleet;
mod footprint;
mod load;
mod machine;
mod page;
mod process;
mod reach;
mod rounds;
mod stage;
mod subject;
mod wire;

use footprint::Footprint;
use machine::Machine;
use stage::Stage;
use std::{error::Error, fs, net::SocketAddr, path::PathBuf, process::Command};
use subject::{Kind, Subject};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How the part of the page begins that other commands' figures stand in.
const OTHERS: &str = "\n## Between dialects";

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// Turns that every subject gets in every case; medians are shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Length of one turn
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only cases whose name starts so (comma between several); see docs/benchmarks.md
    #[arg(long = "case", value_delimiter = ',')]
    cases: Vec<String>,
    /// Only these subjects (comma between several)
    #[arg(long = "subject", value_delimiter = ',')]
    subjects: Vec<Kind>,
    /// One round of one second: under two minutes, for a first look
    #[arg(long)]
    quick: bool,
    /// Take the binaries that are there
    #[arg(long)]
    no_build: bool,
    /// Also send 1,000,000 requests twice to each subject, to see whether its memory grows
    #[arg(long)]
    memory: bool,
    /// Further clients in keyway.yaml, which ask for nothing
    #[arg(long, default_value_t = 0)]
    clients: usize,
    /// Run ahead of everything else on this machine (needs root and the kernel's autogroups)
    #[arg(long)]
    priority: bool,
    /// Also write the tables to this file
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Also measure the data plane whose programs lie in this folder, and say what changed since: how to see whether
    /// a change slows the hot path on a machine that is never quiet
    #[arg(long)]
    before: Option<PathBuf>,
    /// Measure a proxy that runs already, as subject `given`: `http://127.0.0.1:PORT`
    #[arg(long, value_parser = address)]
    url: Option<SocketAddr>,
    /// The given proxy's client token
    #[arg(long, requires = "url")]
    token: Option<String>,
    /// The given proxy's process; its children count as well. Without it no CPU is counted
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// Where the upstream simulator listens, for a given proxy's configuration; otherwise a free port
    #[arg(long)]
    upstream: Option<SocketAddr>,
}

/// What is measured apart from the data plane's speed.
#[derive(clap::Subcommand)]
enum Part {
    /// How fast and how safely changes reach many replicas, against the fleet's goals
    Fleet(fleet::Args),
}

pub(crate) fn run(args: &Args) -> Outcome<()> {
    if let Some(Part::Fleet(args)) = &args.part {
        return fleet::run(args);
    }
    let (rounds, seconds) = if args.quick { (1, 1.0) } else { (args.rounds.max(1), args.seconds) };
    let cases = case::chosen(&args.cases)?;
    let kinds = kinds(args);
    if !args.no_build {
        build()?;
    }
    let machine = Machine::look()?;
    let _ahead = args.priority.then(process::Ahead::of_others).transpose()?;
    let stage = Stage::set(args.upstream, args.clients)?;
    let mut subjects = Vec::new();
    for kind in kinds {
        match Subject::start(kind, &stage, args) {
            Ok(subject) => subjects.push(subject),
            Err(why) => eprintln!("bench: {} is left out: {why}", kind.name()),
        }
    }
    let mut page = page::Page::new(&machine, rounds, seconds);
    let mut found = figures::Found::default();
    for case in cases {
        let measured = rounds::measure(case, &subjects, &stage, rounds, seconds)?;
        page.case(case, &measured);
        found.cases.push((case.name, measured));
    }
    let kinds: Vec<Kind> =
        subjects.iter().filter(|one| one.first_answer.is_some()).map(|one| one.kind).collect();
    drop(subjects);
    if args.cases.is_empty() {
        found.footprints = footprints(&kinds, &stage, args);
        page.footprints(&found.footprints);
    }
    page.change(&found);
    page.reach(&reach::goals(&found));
    page.end(&Machine::look()?);
    if let Some(file) = &args.markdown {
        // What other commands measure stands behind this one's figures and stays.
        let old = fs::read_to_string(file).unwrap_or_default();
        let kept = old.find(OTHERS).and_then(|at| old.get(at..)).unwrap_or_default();
        fs::write(file, format!("{}{kept}", page.text()))?;
    }
    Ok(())
}

fn footprints(kinds: &[Kind], stage: &Stage, args: &Args) -> Vec<Footprint> {
    let mut footprints = Vec::new();
    for kind in kinds {
        match footprint::measure(*kind, stage, args) {
            Ok(footprint) => footprints.push(footprint),
            Err(why) => eprintln!("bench: no memory figures of {}: {why}", kind.name()),
        }
    }
    footprints
}

fn address(url: &str) -> Result<SocketAddr, String> {
    let address = url.trim_start_matches("http://").trim_end_matches('/').parse();
    address.map_err(|_| "wanted is http://ADDRESS:PORT".to_owned())
}

fn kinds(args: &Args) -> Vec<Kind> {
    let mut kinds = if args.subjects.is_empty() { Kind::ALL.to_vec() } else { args.subjects.clone() };
    for (asked, kind) in [(args.before.is_some(), Kind::Before), (args.url.is_some(), Kind::Given)] {
        if asked && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// Release builds, link-time optimization and all: this takes minutes. The bench's own programs are built apart, so
/// that the product's features do not get into the yardstick.
fn build() -> Outcome<()> {
    let product = ["keyway-cli", "keyway-controlplane", "keyway-dataplane"];
    for packages in [&["keyway-bench"][..], &product] {
        eprintln!("bench: building {}", packages.join(", "));
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release"]).args(packages.iter().flat_map(|package| ["--package", package]));
        if !cargo.status()?.success() {
            return Err(format!("no release build of {}", packages.join(", ")).into());
        }
    }
    Ok(())
}
