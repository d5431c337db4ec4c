//! What `keyway up` was told, after flag, variable, file and default have been weighed.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use keyway_config::Server;
use keyway_dataplane::supervise::{Serving, TlsFiles};

use super::args::Up;
use super::data_plane::host;
use super::logging;
use crate::failure::Failure;

/// Seconds that requests in flight get when it stops.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// One address and the option that changes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    pub(super) option: &'static str,
    pub(super) at: SocketAddr,
}

/// Everything settled.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(super) api: Address,
    pub(super) ops: Address,
    pub(super) admin: Address,
    pub(super) fleet: Address,
    fleet_names: Vec<String>,
    /// `None` = one, in this process.
    pub(super) replicas: Option<u32>,
    /// What every data plane is started with.
    pub(super) serving: Serving,
    pub(super) ready_file: Option<PathBuf>,
    pub(super) root_key_file: Option<PathBuf>,
    pub(super) credentials: Option<PathBuf>,
}

// === impl Settings ===

impl Settings {
    /// Flags and variables (already weighed by clap) win over the file, the file over the default.
    pub(super) fn new(up: &Up, file: Server) -> Result<Self, Failure> {
        if let Some(field) = file.of_controlplane() {
            return Err(Failure::Usage(format!(
                "server.{field} is for keyway-controlplane: take it out of the file, or start the planes apart"
            )));
        }
        let address = |option, given: &Option<String>, file: Option<String>, port| {
            let text = given.clone().or(file).unwrap_or_else(|| format!("127.0.0.1:{port}"));
            Ok::<_, Failure>(Address { option, at: resolve(option, &text)? })
        };
        let cert = up.tls_cert.clone().or(file.tls_cert.map(PathBuf::from));
        let key = up.tls_key.clone().or(file.tls_key.map(PathBuf::from));
        let tls = match (cert, key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            _ => return Err(Failure::Usage("give both --tls-cert and --tls-key, or neither".into())),
        };
        let grace = up.grace.map(Duration::from_secs);
        let grace = grace.or(file.grace.map(|grace| Duration::from_millis(grace.millis())));
        Ok(Self {
            api: address("--listen", &up.listen, file.listen, 8585)?,
            ops: address("--ops-listen", &up.ops_listen, file.ops_listen, 8586)?,
            admin: address("--admin-listen", &up.admin_listen, file.admin_listen, 8600)?,
            fleet: address("--fleet-listen", &up.fleet_listen, file.fleet_listen, 8601)?,
            fleet_names: if up.fleet_name.is_empty() { file.fleet_name } else { up.fleet_name.clone() },
            replicas: up.replicas.or(file.replicas),
            serving: Serving {
                threads: up.threads.or(file.threads).map(|count| usize::try_from(count).unwrap_or(1)),
                upstream_ca: up.upstream_ca.clone().or(file.upstream_ca.map(PathBuf::from)),
                tls,
                grace: grace.unwrap_or(DEFAULT_GRACE),
                otlp: None,
                log: up.log.clone().or(file.log).unwrap_or_else(|| logging::DEFAULT.to_owned()),
                ..Serving::default()
            },
            ready_file: up.ready_file.clone().or(file.ready_file.map(PathBuf::from)),
            root_key_file: up.root_key_file.clone().or(file.root_key_file.map(PathBuf::from)),
            credentials: up.credentials.clone(),
        })
    }

    /// What join tokens say: names that were given, else where it listens, by the host's name if that is everywhere.
    pub(super) fn fleet_names(&self, at: &SocketAddr) -> Vec<String> {
        let whole = |name: &String| match name.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => name.clone(),
            _ => format!("{name}:{}", at.port()),
        };
        match self.fleet_names.as_slice() {
            [] if at.ip().is_unspecified() => vec![format!("{}:{}", host(), at.port())],
            [] => vec![at.to_string()],
            names => names.iter().map(whole).collect(),
        }
    }

    /// With a collector of traces.
    pub(super) fn traced(mut self, otlp: Option<String>) -> Self {
        self.serving.otlp = otlp;
        self
    }
}

/// `HOST:PORT`, `:PORT` or `PORT`, as it was checked when it was read; without a host 127.0.0.1.
fn resolve(option: &str, text: &str) -> Result<SocketAddr, Failure> {
    let text = text.trim();
    let full = match text.rsplit_once(':') {
        None => format!("127.0.0.1:{text}"),
        Some(("", port)) => format!("127.0.0.1:{port}"),
        Some(_) => text.to_owned(),
    };
    let unknown = |why: String| {
        Failure::Usage(format!("{text} is no address of this machine: {why}; choose another with {option}"))
    };
    let mut found = full.to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("its name has none".into()))
}
