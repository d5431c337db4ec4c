//! The program itself, which can be killed, and what lies in its spool then.

use crate::plane::Plane;
use keyway_dataplane::StateDir;
use keyway_proto::fleet::v1::Frame;
use prost::Message;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};
use tempfile::TempDir;

/// One run of `keyway-dataplane`.
pub(crate) struct Process {
    child: Child,
    pub(crate) listen: SocketAddr,
}

impl Process {
    /// Starts it with a state directory in `home`.
    pub(crate) fn start(home: &TempDir, plane: &Plane) -> Self {
        let state = StateDir::at(home.path().join("state"));
        plane.identity.write(&state.identity_file).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_keyway-dataplane"))
            .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--id", "r", "--threads", "2"])
            .args(["--fleet-url", &plane.url, "--state-dir"])
            .arg(&state.dir)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.by_ref().map_while(Result::ok).find(|line| line.contains("API traffic on")).unwrap();
        let listen = said.split("http://").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
        let listen = listen.parse().unwrap();
        // Read to its end, so that the program never waits for us.
        thread::spawn(move || lines.for_each(drop));
        Self { child, listen }
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already where it was killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every whole frame that lies there, read by the format and not by the program.
pub(crate) fn spooled(home: &TempDir) -> Vec<Frame> {
    let mut frames = Vec::new();
    for file in files(&home.path().join("state/usage")) {
        let bytes = fs::read(file).unwrap();
        let mut rest = bytes.as_slice();
        while rest.len() > 24 {
            let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let end = 24 + word(0) as usize;
            if rest.len() < end || crc32fast::hash(&rest[8..end]) != word(4) {
                break;
            }
            frames.push(Frame::decode(&rest[24..end]).unwrap());
            rest = &rest[end..];
        }
    }
    frames
}

fn files(usage: &Path) -> Vec<PathBuf> {
    let dirs = fs::read_dir(usage).unwrap().map(|dir| dir.unwrap().path());
    dirs.flat_map(|dir| fs::read_dir(dir).unwrap().map(|file| file.unwrap().path())).collect()
}
