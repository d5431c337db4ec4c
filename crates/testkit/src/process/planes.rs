//! The two planes as processes of their own: one `keyway-controlplane`, and any number of `keyway-dataplane`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::keyway::{clean, operator};
use super::{Process, Ran, StartError, binary};

/// How long a plane may take until it is ready. A test machine may be busy.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long `/readyz` may take.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// A running fleet. Dropped, the replicas end first.
#[derive(Debug)]
pub struct Planes {
    /// The data planes that run.
    pub replicas: Vec<Replica>,
    /// The control plane.
    pub control: Process,
    facts: Facts,
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// One data plane.
#[derive(Debug)]
pub struct Replica {
    /// Its process.
    pub process: Process,
    /// Where callers send their requests, without `/v1`.
    pub base_url: String,
    /// Where `/healthz`, `/readyz`, `/metrics` and `/snapshot` are.
    pub ops_url: String,
}

/// The control plane's ready file.
#[derive(Debug, Deserialize)]
struct Facts {
    admin_url: String,
    fleet_addr: String,
    admin_token_file: PathBuf,
    fleet_token_file: PathBuf,
}

impl Planes {
    /// Starts a control plane with this keyway.yaml (no `${NAME}` in it) and so many data planes.
    pub fn start(yaml: &str, replicas: usize) -> Result<Self, StartError> {
        Self::start_with(yaml, replicas, &[])
    }

    /// As `start`, with variables for all of them.
    pub fn start_with(yaml: &str, replicas: usize, env: &[(&str, &str)]) -> Result<Self, StartError> {
        let folder = tempfile::tempdir().map_err(StartError::system("keyway-controlplane"))?;
        let (config, ready) = (folder.path().join("keyway.yaml"), folder.path().join("ready.json"));
        std::fs::write(&config, yaml).map_err(StartError::system("keyway.yaml"))?;
        let mut command = clean(&binary("keyway-controlplane")?, folder.path());
        command.envs(env.iter().copied());
        command
            .args(["--admin-listen", "127.0.0.1:0", "--fleet-listen", "127.0.0.1:0", "--config"])
            .arg(config);
        command.arg("--ready-file").arg(&ready);
        let mut control = Process::start("keyway-controlplane", &mut command)?;
        let facts = control.until(READY_LIMIT, "wrote its ready file", |_| {
            serde_json::from_slice(&std::fs::read(&ready).ok()?).ok()
        })?;
        let env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut planes = Self { replicas: Vec::new(), control, facts, folder, env };
        for _ in 0..replicas {
            planes.add()?;
        }
        Ok(planes)
    }

    /// Starts one more data plane and waits until it is ready.
    pub fn add(&mut self) -> Result<&mut Replica, StartError> {
        let id = format!("replica-{}", self.replicas.len() + 1);
        let mut command = clean(&binary("keyway-dataplane")?, self.folder.path());
        command.envs(self.env.iter().cloned());
        command
            .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--id", &id])
            .args(["--fleet-url", &format!("http://{}", self.facts.fleet_addr)])
            .arg("--fleet-token-file")
            .arg(&self.facts.fleet_token_file)
            .arg("--data-dir")
            .arg(self.folder.path().join(&id));
        let mut process = Process::start(&id, &mut command)?;
        let (base_url, ops_url) =
            process.until(READY_LIMIT, "said where it listens", |process| addresses(&process.stderr()))?;
        process.until(READY_LIMIT, "was ready", |_| is_ready(&ops_url).then_some(()))?;
        Ok(self.replicas.push_mut(Replica { process, base_url, ops_url }))
    }

    /// Where the admin API is.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.facts.admin_url
    }

    /// Where all of them run: keyway.yaml, the ready file, `home`, and a folder for each data plane.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The admin token, read from its file.
    pub fn admin_token(&self) -> std::io::Result<String> {
        Ok(std::fs::read_to_string(&self.facts.admin_token_file)?.trim().to_owned())
    }

    /// Runs `keyway ARGS` against it, as an operator who has the admin token.
    pub fn cli(&self, args: &[&str]) -> Result<Ran, StartError> {
        operator(self.folder.path(), &self.facts.admin_url, &self.facts.admin_token_file, args)
    }
}

/// Of `API traffic on http://A, ops on http://B`.
fn addresses(log: &str) -> Option<(String, String)> {
    let (_, rest) = log.split_once("API traffic on ")?;
    let (base, rest) = rest.split_once(", ops on ")?;
    let (ops, _) = rest.split_once('\n')?;
    Some((base.to_owned(), ops.trim().to_owned()))
}

/// True: `/readyz` answers 200.
fn is_ready(ops_url: &str) -> bool {
    let asked = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(ops_url.trim_start_matches("http://"))?;
        stream.set_read_timeout(Some(ASK_LIMIT))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    asked().unwrap_or(false)
}
