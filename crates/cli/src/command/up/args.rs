//! What `keyway up` takes. Each is a flag, an environment variable and a field of the file's section `server`.

use std::path::PathBuf;

use clap::Args;
use keyway_config::check_address;

#[derive(Debug, Default, Args)]
pub(crate) struct Up {
    /// A keyway.yaml to put into effect at the start
    #[arg(short, long, env = "KEYWAY_CONFIG", value_name = "F")]
    pub(super) config: Option<PathBuf>,
    /// Where callers are answered, HOST:PORT or PORT; port 0 = any [file: server.listen] [default: 127.0.0.1:8585]
    #[arg(long, env = "KEYWAY_LISTEN", value_name = "ADDR", value_parser = address)]
    pub(super) listen: Option<String>,
    /// Where health and metrics are [file: server.ops_listen] [default: 127.0.0.1:8586]
    #[arg(long, env = "KEYWAY_OPS_LISTEN", value_name = "ADDR", value_parser = address)]
    pub(super) ops_listen: Option<String>,
    /// Where the admin API is [file: server.admin_listen] [default: 127.0.0.1:8600]
    #[arg(long, env = "KEYWAY_ADMIN_LISTEN", value_name = "ADDR", value_parser = address)]
    pub(super) admin_listen: Option<String>,
    /// Where data planes get their configuration [file: server.fleet_listen] [default: 127.0.0.1:8601]
    #[arg(long, env = "KEYWAY_FLEET_LISTEN", value_name = "ADDR", value_parser = address)]
    pub(super) fleet_listen: Option<String>,
    /// Where data planes elsewhere reach it, HOST or HOST:PORT, repeated or comma-separated: what join tokens say [file: server.fleet_name] [default: where it listens]
    #[arg(long, env = "KEYWAY_FLEET_NAME", value_name = "NAME", value_delimiter = ',')]
    pub(super) fleet_name: Vec<String>,
    /// Data planes, each a process of its own, all on one port [file: server.replicas] [default: one, in this process]
    #[arg(long, env = "KEYWAY_REPLICAS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) replicas: Option<u32>,
    /// Serving threads of each data plane [file: server.threads] [default: one a core, shared out among replicas]
    #[arg(long, env = "KEYWAY_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) threads: Option<u32>,
    /// More certificates (PEM) to trust towards providers [file: server.upstream_ca]
    #[arg(long, env = "KEYWAY_UPSTREAM_CA", value_name = "F")]
    pub(super) upstream_ca: Option<PathBuf>,
    /// Certificate chain (PEM) with which callers and operators are answered over TLS [file: server.tls_cert]
    #[arg(long, env = "KEYWAY_TLS_CERT", value_name = "F", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Its private key (PEM) [file: server.tls_key]
    #[arg(long, env = "KEYWAY_TLS_KEY", value_name = "F", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// Seconds that requests in flight get when it stops [file: server.grace] [default: 30]
    #[arg(long, env = "KEYWAY_GRACE", value_name = "S")]
    pub(super) grace: Option<u64>,
    /// What is logged to stderr: off, error, warn, info, debug, or by module [file: server.log] [default: warn]
    #[arg(long, env = "KEYWAY_LOG", value_name = "FILTER")]
    pub(super) log: Option<String>,
    /// Write addresses and tokens as JSON to this file (mode 0600) once requests are answered [file: server.ready_file]
    #[arg(long, env = "KEYWAY_READY_FILE", value_name = "F")]
    pub(super) ready_file: Option<PathBuf>,
    /// The root key, which opens every secret; made with mode 0600 at the first start [file: server.root_key_file] [default: root.key in the data directory]
    #[arg(long, env = "KEYWAY_ROOT_KEY_FILE", value_name = "FILE")]
    pub(super) root_key_file: Option<PathBuf>,
    /// Where systemd puts credentials
    #[arg(long, env = "CREDENTIALS_DIRECTORY", hide = true)]
    pub(super) credentials: Option<PathBuf>,
}

fn address(text: &str) -> Result<String, String> {
    check_address(text).map(|()| text.to_owned())
}
