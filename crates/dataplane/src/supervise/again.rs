//! A supervisor becomes the program that is on disk and keeps everything: its process, its sockets, its replicas. What it
//! hands to itself lies in a Unix socket that is stdin, open files included, until the new program reads it.

use super::{Supervise, SuperviseError, pass, process::Process};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::Command,
};

/// What the program was handed by itself.
#[derive(Debug)]
pub struct Resumed {
    pub(super) api: TcpListener,
    pub(super) ops: TcpListener,
    pub(super) replicas: Vec<(u32, Kept, Process)>,
}

/// One replica as it was left.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    number: u32,
    id: String,
    pid: i32,
    ops: SocketAddr,
    /// It was told to finish.
    pub(super) finishes: bool,
    pub(super) restarts: u32,
}

/// Becomes the program on disk; comes back only with why not. Replicas whose socket is closed finish anyway and are reaped.
pub(super) fn replace(
    settings: &Supervise,
    (api, ops): (&TcpListener, &TcpListener),
    running: &BTreeMap<u32, Process>,
    kept_as: impl Fn(u32) -> (bool, u32),
) -> io::Error {
    let Some(args) = &settings.again else { return io::ErrorKind::Unsupported.into() };
    let handed = || {
        let mut files: Vec<BorrowedFd<'_>> = vec![api.as_fd(), ops.as_fd()];
        let mut replicas = Vec::new();
        for (number, process) in running {
            let Some(pipe) = &process.pipe else { continue };
            let (finishes, restarts) = kept_as(*number);
            let (id, pid) = (process.id.clone(), process.pid.as_raw_nonzero().get());
            replicas.push(Kept { number: *number, id, pid, ops: process.ops, finishes, restarts });
            files.push(pipe.as_fd());
        }
        let (ours, theirs) = UnixStream::pair()?;
        pass::send(&ours, &replicas, &files)?;
        rustix::stdio::dup2_stdin(&theirs)
            .map_err(io::Error::from)
            // What was sent stays in the other end when this one is closed.
            .map(|()| drop(ours))
    };
    match handed() {
        Ok(()) => Command::new(&settings.program).args(args).exec(),
        Err(error) => error,
    }
}

// === impl Resumed ===

impl Resumed {
    /// What this program handed to itself before it was replaced.
    ///
    /// # Errors
    /// It did not.
    pub fn receive() -> Result<Self, SuperviseError> {
        let not_ours = |_| SuperviseError::NotOurs;
        let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(not_ours)?;
        let stream = UnixStream::from(stdin);
        let (replicas, files) = pass::receive::<Vec<Kept>>(&stream).map_err(not_ours)?;
        let mut files = files.into_iter();
        let mut socket = || files.next().map(TcpListener::from).ok_or(SuperviseError::NotOurs);
        let (api, ops) = (socket()?, socket()?);
        let adopted = replicas.into_iter().zip(files).filter_map(|(kept, pipe)| kept.adopt(pipe));
        Ok(Self { api, ops, replicas: adopted.collect() })
    }
}

// === impl Kept ===

impl Kept {
    fn adopt(self, pipe: OwnedFd) -> Option<(u32, Self, Process)> {
        let pid = Pid::from_raw(self.pid)?;
        let process = Process { id: self.id.clone(), pid, ops: self.ops, pipe: Some(UnixStream::from(pipe)) };
        Some((self.number, self, process))
    }
}
