//! Opens the index in a process of its own before this one does: sled may hang, take all memory or end the process
//! over a broken file, and then it is that process that goes.

use super::{FOLDER, Index};
use crate::store::StoreError;
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// The other process gets so long.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often it is asked whether it has ended.
const STEP: Duration = Duration::from_millis(5);

/// How to run [`check_index`] in another process.
#[derive(Debug, Clone)]
pub struct IndexCheck {
    /// What is run.
    pub program: PathBuf,
    /// Its arguments; the directory of the store comes after them.
    pub args: Vec<OsString>,
}

/// What the other process found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Bad(String),
    /// It could not be run: that says nothing of the index.
    Unknown(String),
}

/// Opens the index of the store in that directory and reads all of it. To be run in a process of its own.
///
/// # Errors
/// When it does not open or holds something that was not written so.
pub fn check_index(dir: &Path) -> Result<(), StoreError> {
    let checked = Index::open(&dir.join(FOLDER)).and_then(|index| {
        let loaded = index.load().map(|_| ());
        // This process is about to end.
        index.abandon();
        loaded
    });
    checked.map_err(|error| StoreError::Damaged(format!("index: {error}")))
}

// === impl IndexCheck ===

impl IndexCheck {
    pub(crate) fn run(&self, dir: &Path) -> Verdict {
        self.run_within(dir, DEADLINE)
    }

    pub(super) fn run_within(&self, dir: &Path, deadline: Duration) -> Verdict {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(dir).env_clear().stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let ended = command.spawn().and_then(|child| wait(child, deadline));
        match ended {
            Ok(Some(status)) if status.success() => Verdict::Good,
            Ok(Some(status)) => Verdict::Bad(format!("its check ended with {status}")),
            Ok(None) => Verdict::Bad(format!("its check took longer than {} s", deadline.as_secs())),
            Err(error) => Verdict::Unknown(format!("its check could not be run: {error}")),
        }
    }
}

/// Its end; `None` = it did not come and was brought about.
fn wait(mut child: Child, within: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(STEP);
    }
}
