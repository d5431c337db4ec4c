//! One `keyway-dataplane`, which can end and start again where it was.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Elsewhere, Port, READY_LIMIT, beneath};
use crate::process::{Process, StartError, binary};

/// How long the ops port may take.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// Bytes of an answer of the ops port that are read.
const ANSWER_LIMIT: u64 = 1 << 20;

/// One data plane.
#[derive(Debug)]
pub struct Replica {
    /// Its process.
    pub process: Process,
    /// Its name in the fleet.
    pub id: String,
    /// Where callers send their requests, without `/v1`.
    pub base_url: String,
    /// Where `/healthz`, `/readyz`, `/metrics` and `/snapshot` are.
    pub ops_url: String,
    listen: Port,
    ops: Port,
    folder: PathBuf,
    fleet_addr: String,
    join_token_file: PathBuf,
    env: Vec<(String, String)>,
    under: Vec<String>,
}

// === impl Replica ===

impl Replica {
    pub(crate) fn start(
        folder: &Path,
        id: String,
        fleet: (&str, &Path),
        (env, elsewhere): (Vec<(String, String)>, Option<&Elsewhere>),
    ) -> Result<Self, StartError> {
        let port = || {
            let port = Port::take().map_err(StartError::system(&id))?;
            Ok(match elsewhere {
                Some(elsewhere) => port.elsewhere(elsewhere.replicas_at),
                None => port,
            })
        };
        let under = elsewhere.map(|elsewhere| elsewhere.under.clone()).unwrap_or_default();
        let (listen, ops) = (port()?, port()?);
        let (fleet_addr, join_token_file) = (fleet.0.to_owned(), fleet.1.to_owned());
        let url = |port: &Port| format!("http://{}", port.address());
        let (base_url, ops_url, folder) = (url(&listen), url(&ops), folder.to_owned());
        let process = spawn((&folder, &env, &under), &id, (&fleet_addr, &join_token_file), (&listen, &ops))?;
        let mut replica = Self {
            process,
            id,
            base_url,
            ops_url,
            listen,
            ops,
            folder,
            fleet_addr,
            join_token_file,
            env,
            under,
        };
        replica.until_listening()?;
        Ok(replica)
    }

    /// Starts it again, after its end, where it was, and waits until it listens.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        self.spawn_again()?;
        self.until_listening()
    }

    /// As `start_again`, and waits for nothing.
    pub fn spawn_again(&mut self) -> Result<(), StartError> {
        let fleet = (self.fleet_addr.as_str(), self.join_token_file.as_path());
        let place = (self.folder.as_path(), self.env.as_slice(), self.under.as_slice());
        self.process = spawn(place, &self.id, fleet, (&self.listen, &self.ops))?;
        Ok(())
    }

    /// Waits until `/readyz` answers 200.
    pub fn until_ready(&mut self) -> Result<(), StartError> {
        let ops = self.ops.address();
        let ready = |_: &Process| matches!(get(&ops, "/readyz"), Ok((200, _))).then_some(());
        self.process.until(READY_LIMIT, "was ready", ready)
    }

    /// What its ops port answers to `path`: status and body.
    pub fn ops(&self, path: &str) -> std::io::Result<(u16, String)> {
        get(&self.ops.address(), path)
    }

    /// Where callers connect.
    pub fn address(&self) -> Result<SocketAddr, std::net::AddrParseError> {
        self.listen.address().parse()
    }

    /// Where its last good state lies.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.folder.join(&self.id).join("replicas").join(&self.id)
    }

    fn until_listening(&mut self) -> Result<(), StartError> {
        let said = |process: &Process| process.stderr().contains("API traffic on ").then_some(());
        self.process.until(READY_LIMIT, "said where it listens", said)
    }
}

fn spawn(
    (folder, env, under): (&Path, &[(String, String)], &[String]),
    id: &str,
    (fleet_addr, join_token_file): (&str, &Path),
    (listen, ops): (&Port, &Port),
) -> Result<Process, StartError> {
    let mut command = beneath(under, &binary("keyway-dataplane")?, folder);
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command
        .args(["--listen", &listen.address(), "--ops-listen", &ops.address(), "--id", id])
        .args(["--fleet-url", &format!("https://{fleet_addr}")])
        .arg("--join-token-file")
        .arg(join_token_file)
        .arg("--data-dir")
        .arg(folder.join(id));
    Process::start(id, &mut command)
}

/// Status and body of one GET.
pub(super) fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ASK_LIMIT))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_LIMIT).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("no HTTP answer"))?;
    Ok((status, body.to_owned()))
}
