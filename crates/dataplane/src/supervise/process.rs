//! Processes of replicas: started, told to end, reaped. A number is its process's until it is reaped here.

use super::{pass, replica::DRAIN};
use rustix::{
    net::SendFlags,
    process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, waitid},
};
use std::{
    ffi::OsString,
    fs::{DirBuilder, File, OpenOptions},
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
            net::UnixStream,
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Variables that a replica may see: telemetry, backtraces, trusted certificates, time zone. None holds a provider's key.
const KEPT: &[&str] = &["OTEL_", "RUST_BACKTRACE", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ"];
/// This very program, whatever lies at its path by now.
const OWN: &str = "/proc/self/exe";
const LOCK: &str = "process.lock";

/// The file of the program and what makes it a replica.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) args: Vec<OsString>,
}

/// A running replica.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: String,
    pub(super) pid: Pid,
    /// Its own ops port.
    pub(super) ops: SocketAddr,
    /// Closing it tells the replica to finish and end.
    pub(super) pipe: Option<UnixStream>,
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) in_order: bool,
    /// For people: `exit status 1`, `signal 9`.
    pub(super) how: String,
}

// === impl Program ===

impl Program {
    /// Whether the file at the path is another than the one that runs.
    pub(super) fn is_newer(&self) -> bool {
        let of = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        let there = of(&self.path);
        there.is_some() && there != of(Path::new(OWN))
    }

    /// Of the running program, or of the one that is on disk.
    fn file(&self, is_of_disk: bool) -> &Path {
        if is_of_disk || !self.is_newer() && self.path.exists() { &self.path } else { Path::new(OWN) }
    }
}

// === impl Process ===

impl Process {
    /// Starts it, with its orders, the listening socket, an ops port of its own and the lock on its directory.
    pub(super) fn start(
        program: &Program,
        is_of_disk: bool,
        orders: &pass::Orders,
        (listener, dir): (&TcpListener, &Path),
    ) -> io::Result<Self> {
        let lock = hold(dir)?.ok_or_else(|| io::Error::other("another process uses its directory"))?;
        let ops = TcpListener::bind("127.0.0.1:0")?;
        let at = ops.local_addr()?;
        let (ours, theirs) = UnixStream::pair()?;
        let kept = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            KEPT.iter().any(|kept| name.starts_with(kept))
        });
        let mut child = Command::new(program.file(is_of_disk))
            .arg0(&program.path)
            .args(&program.args)
            .env_clear()
            .envs(kept)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // Ctrl-C in a terminal goes to its whole group; a replica ends when its supervisor says so.
            .process_group(0)
            .spawn()?;
        let told = pass::send(&ours, orders, &[listener.as_fd(), ops.as_fd(), lock.as_fd()]);
        let pid = Pid::from_child(&child);
        let started = told.map(|()| Self { id: orders.id.clone(), pid, ops: at, pipe: Some(ours) });
        if started.is_err() {
            // It is nobody's: an error says that it has ended already.
            let _ = (child.kill(), child.wait());
        }
        started
    }

    /// It takes nothing new, answers once more on idle connections, and ends.
    pub(super) fn drain(&self) {
        if let Some(pipe) = &self.pipe {
            // An error says that it has ended already.
            let _ = rustix::net::send(pipe, &[DRAIN], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
    }

    /// It finishes what is in flight and ends.
    pub(super) fn stop(&mut self) {
        self.pipe = None;
    }

    pub(super) fn kill(&self) {
        // An error says that it has ended already.
        let _ = kill_process(self.pid, Signal::KILL);
    }

    /// Its number, as others are told it.
    pub(super) fn number(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Reaps it if it has ended.
    pub(super) fn reap(&self) -> Option<Exit> {
        match waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(status) => status.as_ref().map(Exit::of),
            Err(error) => Some(Exit { in_order: false, how: error.to_string() }),
        }
    }
}

// === impl Exit ===

impl Exit {
    fn of(status: &WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self { in_order: code == 0, how: format!("exit status {code}") },
            (None, Some(signal)) => Self { in_order: false, how: format!("signal {signal}") },
            (None, None) => Self { in_order: false, how: "unknown".to_owned() },
        }
    }
}

/// The lock on a replica's directory: `None` while a process has it, which may be one of an earlier supervisor.
pub(super) fn hold(dir: &Path) -> io::Result<Option<File>> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    lock(&dir.join(LOCK))
}

/// A lock that lasts as long as the file is open anywhere.
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}
