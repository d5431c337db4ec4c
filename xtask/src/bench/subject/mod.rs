//! Who is measured.

mod keyway;
mod nginx;

use super::{
    Args, Outcome,
    body::Body,
    process::{self, Running, SUBJECT_CORE},
    stage::{Stage, free_address},
    wire,
};
use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// The kinds of subject, in the order of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// No proxy: the load asks the upstream itself
    Direct,
    /// The plainest reverse proxy on hyper: the yardstick
    Bare,
    /// nginx as a plain proxy
    Nginx,
    /// Keyway's data plane alone; its control plane runs beside it and is not counted
    Keyway,
    /// `keyway up`: both planes in one process
    KeywayUp,
    /// The data plane of another build (`--before`)
    Before,
    /// A proxy that runs already (`--url`, `--pid`)
    Given,
}

/// A proxy that answers.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) kind: Kind,
    pub(super) addr: SocketAddr,
    /// Headers that its requests need.
    pub(super) headers: Vec<String>,
    /// The process whose tree is counted.
    pub(super) root: Option<u32>,
    /// From exec to the first answer with status 200.
    pub(super) first_answer: Option<Duration>,
    /// Ends with the subject. The subject itself is first, so that it goes before what it needs.
    _processes: Vec<Running>,
}

/// How to start a subject.
struct Launch {
    command: Command,
    addr: SocketAddr,
    headers: Vec<String>,
    /// Processes that it needs and that are not counted.
    beside: Vec<Running>,
}

/// A subject that does not answer by then never will.
const START_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_micros(500);

// === impl Kind ===

impl Kind {
    /// All that need no word from the caller.
    pub(super) const ALL: [Self; 5] = [Self::Direct, Self::Bare, Self::Nginx, Self::Keyway, Self::KeywayUp];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Bare => "bare",
            Self::Nginx => "nginx",
            Self::Keyway => "keyway",
            Self::KeywayUp => "keyway-up",
            Self::Before => "before",
            Self::Given => "given",
        }
    }
}

// === impl Subject ===

impl Subject {
    /// Starts the subject on its core and waits until it answers.
    pub(super) fn start(kind: Kind, stage: &Stage, args: &Args) -> Outcome<Self> {
        let launch = match kind {
            Kind::Direct => return Self::there_already(kind, stage.upstream, None, Vec::new()),
            Kind::Given => {
                let addr = args.url.ok_or("the subject `given` needs --url")?;
                let token = args.token.iter().map(|token| bearer(token)).collect();
                return Self::there_already(kind, addr, args.pid, token);
            }
            Kind::Bare => bare(stage)?,
            Kind::Nginx => nginx::launch(stage)?,
            Kind::Keyway => keyway::data_plane(stage, kind, &stage.binaries)?,
            Kind::Before => {
                let binaries = args.before.as_deref().ok_or("the subject `before` needs --before")?;
                keyway::data_plane(stage, kind, binaries)?
            }
            Kind::KeywayUp => keyway::up(stage)?,
        };
        let log = stage.file(&format!("{}.log", kind.name()));
        let started = Instant::now();
        let mut running = Running::start(launch.command, &log)?;
        until_it_answers(&mut running, launch.addr, &launch.headers, &log)?;
        let first_answer = Some(started.elapsed());
        let root = Some(running.pid());
        let mut processes = vec![running];
        processes.extend(launch.beside);
        Ok(Self {
            kind,
            addr: launch.addr,
            headers: launch.headers,
            root,
            first_answer,
            _processes: processes,
        })
    }

    fn there_already(kind: Kind, addr: SocketAddr, root: Option<u32>, headers: Vec<String>) -> Outcome<Self> {
        match wire::chat(addr, &headers, &Body::Chat.text())? {
            200 => Ok(Self { kind, addr, headers, root, first_answer: None, _processes: Vec::new() }),
            status => Err(format!("{addr} answers with {status}").into()),
        }
    }
}

fn until_it_answers(running: &mut Running, addr: SocketAddr, headers: &[String], log: &Path) -> Outcome<()> {
    let body = Body::Chat.text();
    let asked = Instant::now();
    loop {
        let answer = wire::chat(addr, headers, &body);
        if matches!(answer, Ok(200)) {
            return Ok(());
        }
        if running.is_over() {
            return Err(format!("it ended at once: {}", process::last_words(log)).into());
        }
        if asked.elapsed() > START_LIMIT {
            let words = process::last_words(log);
            return Err(match answer {
                Ok(status) => format!("it answers with {status}: {words}").into(),
                Err(why) => format!("it does not answer ({why}): {words}").into(),
            });
        }
        thread::sleep(POLL);
    }
}

fn bare(stage: &Stage) -> Outcome<Launch> {
    let addr = free_address()?;
    let mut command = process::pinned(SUBJECT_CORE, &stage.binary("bench-bare"));
    command.args(["--listen", &addr.to_string(), "--upstream", &stage.upstream.to_string()]);
    Ok(Launch { command, addr, headers: Vec::new(), beside: Vec::new() })
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}
