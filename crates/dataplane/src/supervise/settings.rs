//! What a supervisor is started with, and what goes wrong.

use crate::identity::{Identity, IdentityError, JoinToken};
use serde::{Deserialize, Serialize};
use std::{ffi::OsString, io, net::TcpListener, path::PathBuf, time::Duration};

/// What a supervisor is started with.
#[derive(Debug)]
pub struct Supervise {
    /// Its name in the fleet.
    pub name: String,
    /// What stands before a number to make a replica's id: `NAME~`.
    pub prefix: String,
    /// The machine's name.
    pub host: String,
    /// Replicas, until the control plane says another number.
    pub replicas: u32,
    /// The program's own file, and the arguments that make it a replica.
    pub program: PathBuf,
    /// See `program`.
    pub replica: Vec<OsString>,
    /// With these arguments the program becomes this supervisor again; `None` = it does not replace itself.
    pub again: Option<Vec<OsString>>,
    /// `https://host:port` of the control plane's fleet port; `None` = as the join token or the identity says.
    pub fleet_url: Option<String>,
    /// Given by who started it, who also keeps it; `None` = it lies beside `dir`, or comes by the token.
    pub identity: Option<Identity>,
    /// With what to join, where there is no identity yet.
    pub token: Option<JoinToken>,
    /// Its own; below it each replica has a directory.
    pub dir: PathBuf,
    /// What every replica is started with.
    pub serving: Serving,
}

/// What it answers on; bound already.
#[derive(Debug)]
pub struct Sockets {
    /// API traffic; inherited by every replica.
    pub api: TcpListener,
    /// Health and metrics of all.
    pub ops: TcpListener,
}

/// What every replica is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Serving {
    /// Serving threads of each; `None` = the machine's cores are shared out.
    pub threads: Option<usize>,
    /// More certificates to trust towards providers, PEM.
    pub upstream_ca: Option<PathBuf>,
    /// TLS towards callers.
    pub tls: Option<TlsFiles>,
    /// What requests in flight get when a replica ends.
    pub grace: Duration,
    /// Collector of traces.
    pub otlp: Option<String>,
    /// What is logged, a filter.
    pub log: String,
    /// Bytes of usage that wait on disk for the control plane; `None` = as many as usual.
    pub usage_limit: Option<u64>,
    /// Bytes of memory that each may use; `None` = as many as their group of processes may.
    pub memory_limit: Option<u64>,
    /// Nothing is kept on disk.
    pub no_state: bool,
}

/// Where certificate and key are, PEM.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TlsFiles {
    /// The chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a supervisor ended, or a replica under it did not start.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// The system refused something.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
    /// Its directory cannot be used.
    #[error("cannot use {0}: {1}; give another --state-dir")]
    Dir(PathBuf, io::Error),
    /// Another supervisor runs there.
    #[error("{0} is in use by another supervisor; give each its own --state-dir")]
    InUse(PathBuf),
    /// A replica's process was started by hand.
    #[error("this is how a supervisor starts its replicas; start `keyway-dataplane` without it")]
    NotOurs,
    /// What is logged cannot be understood.
    #[error("--log: {0}")]
    Log(#[from] keyway_harden::LogError),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] crate::TlsError),
    /// Who this host is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The replica did not start.
    #[error(transparent)]
    Start(#[from] crate::StartError),
}

// === impl Serving ===

impl Default for Serving {
    fn default() -> Self {
        Self {
            threads: None,
            upstream_ca: None,
            tls: None,
            grace: Duration::from_secs(120),
            otlp: None,
            log: "warn".to_owned(),
            usage_limit: None,
            memory_limit: None,
            no_state: false,
        }
    }
}
