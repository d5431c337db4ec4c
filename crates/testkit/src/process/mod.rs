//! Real processes: each is given a clean environment, its output is kept for the failure message, and it ends
//! (SIGTERM, then SIGKILL) with the value that holds it.

mod binary;
mod keyway;
mod planes;
mod shared;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal};

pub(crate) use self::binary::search_path;
pub use self::binary::{BIN_DIR, binary, root, use_folder};
pub use self::keyway::{Keyway, Ran, Up};
pub use self::planes::{Elsewhere, Host, Planes, Port, Replica, Setup};
pub use self::shared::{Control, EtcdNode, EtcdTls, Shared, SharedSetup};

/// What is kept of one output; the rest is dropped.
const OUTPUT_LIMIT: usize = 4 << 20;

/// How long a process may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Time between two looks while waiting.
const LOOK: Duration = Duration::from_millis(5);

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program was not built.
    #[error("{0} is not there; run `cargo build` first")]
    NoBinary(PathBuf),
    /// The SDKs were not installed.
    #[error("{0} is not there; run `cargo xtask test --only sdks` first")]
    NotInstalled(PathBuf),
    /// The system refused.
    #[error("cannot start {program}")]
    System {
        /// What was to run.
        program: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It ended, or its time ran out.
    #[error("{program} {what}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")]
    NotReady {
        /// What was to run.
        program: String,
        /// What it did instead of getting ready.
        what: String,
        /// All that it wrote.
        stdout: String,
        /// All that it wrote.
        stderr: String,
    },
}

impl StartError {
    /// With the system's reason.
    pub(crate) fn system(program: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let program = program.into();
        |source| Self::System { program, source }
    }
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: Output,
    stderr: Output,
}

impl Process {
    /// Starts it with both outputs captured and no standard input.
    pub fn start(name: &str, command: &mut Command) -> Result<Self, StartError> {
        command.stdin(Stdio::null());
        Self::spawn(name, command)
    }

    /// As `start`, with the standard input that the command names.
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Result<Self, StartError> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(StartError::system(format!("{name} ({})", command.get_program().display())))?;
        let stdout = Output::of(child.stdout.take());
        let stderr = Output::of(child.stderr.take());
        Ok(Self { name: name.to_owned(), child, stdout, stderr })
    }

    /// Its id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> std::io::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| std::io::Error::other("no such process"))?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Its exit, if it comes within `limit`.
    pub fn wait(&mut self, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.stdout.finish();
                self.stderr.finish();
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends it: SIGTERM, and SIGKILL when it takes longer than 15 s. `None`: it had to be killed.
    pub fn stop(&mut self) -> std::io::Result<Option<ExitStatus>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(status));
        }
        self.signal(Signal::TERM)?;
        if let Some(status) = self.wait(STOP_LIMIT)? {
            return Ok(Some(status));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(None)
    }

    /// Ends it with SIGKILL, as a crash would, and reaps it.
    pub fn kill(&mut self) -> std::io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Asks `found` until it gives a value; fails if the process ends first, or at the limit.
    pub fn until<T>(
        &mut self,
        limit: Duration,
        what: &str,
        mut found: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, StartError> {
        let end = Instant::now() + limit;
        loop {
            if let Some(value) = found(self) {
                return Ok(value);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                self.stdout.finish();
                self.stderr.finish();
                return Err(self.not_ready(format!("ended before it {what} ({status})")));
            }
            if Instant::now() >= end {
                return Err(self.not_ready(format!("did not get so far in {limit:?} that it {what}")));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn not_ready(&self, what: String) -> StartError {
        StartError::NotReady {
            program: self.name.clone(),
            what,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that cannot be signalled is gone; there is nobody to tell.
        let _ended = self.stop();
    }
}

/// One captured output, read by a thread of its own so that a full pipe never stops the process.
#[derive(Debug)]
struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&kept);
        let reader = pipe.map(|pipe| std::thread::spawn(move || keep(pipe, &into)));
        Self { kept, reader }
    }

    fn text(&self) -> String {
        self.kept.lock().utf8_chunks().map(|chunk| chunk.valid()).collect()
    }

    /// Waits for the last of it. A grandchild may hold the pipe open, so not for long.
    fn finish(&mut self) {
        let end = Instant::now() + Duration::from_secs(1);
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
        self.reader = None;
    }
}

fn keep(mut pipe: impl Read, into: &Mutex<Vec<u8>>) {
    let mut piece = [0; 8192];
    while let Ok(read) = pipe.read(&mut piece) {
        let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { return };
        let mut kept = into.lock();
        let room = OUTPUT_LIMIT.saturating_sub(kept.len()).min(piece.len());
        kept.extend(piece.iter().take(room));
    }
}
