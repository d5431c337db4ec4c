//! A disk that fails where a test says.

use super::{Disk, Space, System};
use parking_lot::Mutex;
use std::{fs::File, io, path::Path};

/// Which call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Write,
    Sync,
    Truncate,
    SyncFolder,
}

/// How it fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Strike {
    Error(rustix::io::Errno),
    /// Only so many bytes are written.
    Short(usize),
    /// So many bytes are written, and then this process is gone.
    Kill(usize),
}

/// The system's disk with faults to come.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    /// Which call, after how many good ones of its kind, how.
    plan: Mutex<Vec<(Call, usize, Strike)>>,
    pub(crate) space: Mutex<Option<Space>>,
}

// === impl Faulty ===

impl Faulty {
    pub(crate) fn plan(&self, faults: &[(Call, usize, Strike)]) {
        self.plan.lock().extend_from_slice(faults);
    }

    fn strike(&self, call: Call) -> Option<Strike> {
        let mut plan = self.plan.lock();
        let at = plan.iter().position(|planned| planned.0 == call)?;
        match plan[at].1.checked_sub(1) {
            Some(left) => {
                plan[at].1 = left;
                None
            }
            None => Some(plan.remove(at).2),
        }
    }

    fn pass(&self, call: Call) -> io::Result<()> {
        match self.strike(call) {
            Some(Strike::Error(errno)) => Err(errno.into()),
            Some(Strike::Kill(_)) => die(),
            Some(Strike::Short(_)) | None => Ok(()),
        }
    }
}

/// As kill -9 from outside: nothing is flushed, closed or said.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    unreachable!("nobody outlives SIGKILL")
}

impl Disk for Faulty {
    fn open(&self, path: &Path) -> io::Result<File> {
        self.pass(Call::Open)?;
        System.open(path)
    }

    fn write(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<usize> {
        match self.strike(Call::Write) {
            Some(Strike::Error(errno)) => Err(errno.into()),
            Some(Strike::Short(length)) => System.write(file, at, &bytes[..length.min(bytes.len())]),
            Some(Strike::Kill(length)) => {
                let _ = System.write(file, at, &bytes[..length.min(bytes.len())]);
                die()
            }
            None => System.write(file, at, bytes),
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.pass(Call::Sync)?;
        System.sync(file)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        self.pass(Call::Truncate)?;
        System.truncate(file, length)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.pass(Call::SyncFolder)?;
        System.sync_folder(folder)
    }

    fn space(&self, folder: &Path) -> io::Result<Space> {
        let told = *self.space.lock();
        told.map_or_else(|| System.space(folder), Ok)
    }
}
