//! One `keyway-dataplane --supervise`: a host with several replicas, which can end and start again where it was.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Port, READY_LIMIT, replica};
use crate::process::keyway::clean;
use crate::process::{Process, StartError, binary};

/// A host.
#[derive(Debug)]
pub struct Host {
    /// The supervisor.
    pub process: Process,
    /// The supervisor's name in the fleet; its replicas are `NAME~1` and so on.
    pub name: String,
    listen: Port,
    ops: Port,
    folder: PathBuf,
    program: PathBuf,
    args: Vec<String>,
}

// === impl Host ===

impl Host {
    /// Starts one with so many replicas, and waits until it listens. Its program is a copy of its own, so that a test can
    /// put another in its place.
    pub(crate) fn start(
        folder: &Path,
        name: &str,
        (fleet_addr, join_token_file): (&str, &Path),
        args: &[&str],
    ) -> Result<Self, StartError> {
        let system = || StartError::system("keyway-dataplane --supervise");
        let (listen, ops) = (Port::take().map_err(system())?, Port::take().map_err(system())?);
        let (folder, program) = (folder.join(name), folder.join(format!("{name}-program")));
        std::fs::copy(binary("keyway-dataplane")?, &program).map_err(system())?;
        let (url, token) = (format!("https://{fleet_addr}"), join_token_file.display().to_string());
        let (at, ops_at, home) = (listen.address(), ops.address(), folder.display().to_string());
        let own = ["--supervise", "--listen", &at, "--ops-listen", &ops_at, "--id", name];
        let joins = ["--fleet-url", &url, "--join-token-file", &token, "--data-dir", &home];
        let args = [&own[..], &joins[..], args].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
        std::fs::create_dir_all(&folder).map_err(system())?;
        let process = spawn(&program, &folder, name, &args)?;
        let mut host = Self { process, name: name.to_owned(), listen, ops, folder, program, args };
        host.until_listening()?;
        Ok(host)
    }

    /// Starts it again, after its end, where it was, and waits until it listens.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        self.process = spawn(&self.program, &self.folder, &self.name, &self.args)?;
        self.until_listening()
    }

    /// Puts another file in place of its program, as a package manager does.
    pub fn replace_program(&self, with: &Path) -> std::io::Result<()> {
        let coming = self.program.with_extension("new");
        std::fs::copy(with, &coming)?;
        std::fs::rename(coming, &self.program)
    }

    /// Where its program is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Waits until one replica is ready.
    pub fn until_ready(&mut self) -> Result<(), StartError> {
        let ops = self.ops.address();
        let ready = |_: &Process| matches!(replica::get(&ops, "/readyz"), Ok((200, _))).then_some(());
        self.process.until(READY_LIMIT, "had a replica that was ready", ready)
    }

    /// What the ops port of all replicas answers to `path`: status and body.
    pub fn ops(&self, path: &str) -> std::io::Result<(u16, String)> {
        replica::get(&self.ops.address(), path)
    }

    /// Where callers connect.
    pub fn address(&self) -> Result<SocketAddr, std::net::AddrParseError> {
        self.listen.address().parse()
    }

    fn until_listening(&mut self) -> Result<(), StartError> {
        let said = |process: &Process| process.stderr().contains("API traffic on ").then_some(());
        self.process.until(READY_LIMIT, "said where it listens", said)
    }
}

fn spawn(program: &Path, folder: &Path, name: &str, args: &[String]) -> Result<Process, StartError> {
    Process::start(name, clean(program, folder).args(args))
}
