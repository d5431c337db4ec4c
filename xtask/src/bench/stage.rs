//! What stands before any subject comes: a folder, the bodies, the simulated provider.

use super::{
    Outcome,
    body::Body,
    case::CHUNKS,
    process::{self, OTHER_CORE, Running},
    wire,
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(super) struct Stage {
    /// Files of this run; taken away at its end.
    folder: tempfile::TempDir,
    /// Where the release binaries lie.
    pub(super) binaries: PathBuf,
    pub(super) upstream: SocketAddr,
    /// In keyway.yaml, beside the one that asks.
    pub(super) clients: usize,
    simulator: Running,
}

const START_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

impl Stage {
    pub(super) fn set(upstream: Option<SocketAddr>, clients: usize) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("keyway-bench-").tempdir()?;
        let binaries = target_folder()?.join("release");
        let upstream = match upstream {
            Some(addr) => addr,
            None => free_address()?,
        };
        let mut command = process::pinned(OTHER_CORE, &binaries.join("bench-upstream"));
        command.args(["--listen", &upstream.to_string()]);
        let log = folder.path().join("upstream.log");
        let simulator = Running::start(command, &log)?;
        let stage = Self { folder, binaries, upstream, clients, simulator };
        let asked = Instant::now();
        while stage.pace(0).is_err() {
            if asked.elapsed() > START_LIMIT {
                return Err(format!("the upstream does not answer: {}", process::last_words(&log)).into());
            }
            thread::sleep(POLL);
        }
        Ok(stage)
    }

    /// Streams' chunks come `pace_ms` apart from now on.
    pub(super) fn pace(&self, pace_ms: u64) -> Outcome<()> {
        match wire::get(self.upstream, &format!("/ctl?chunks={CHUNKS}&chunk_ms={pace_ms}"))? {
            200 => Ok(()),
            status => Err(format!("the upstream answers /ctl with {status}").into()),
        }
    }

    /// Moves the simulator to `core`.
    pub(super) fn upstream_to(&self, core: usize) -> Outcome<()> {
        process::pin(self.simulator.pid(), core)
    }

    pub(super) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// The path of a file of this run.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that holds the body.
    pub(super) fn body(&self, body: Body) -> Outcome<PathBuf> {
        let path = self.file(&format!("{body:?}.json"));
        if !path.exists() {
            fs::write(&path, body.text())?;
        }
        Ok(path)
    }
}

/// An address on which nobody listens at the moment.
pub(super) fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The folder that cargo builds into: two levels above this program (`target/debug/xtask`).
pub(super) fn target_folder() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).ok_or("this program lies in no target folder")?;
    Ok(folder.to_owned())
}
