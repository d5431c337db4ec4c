//! The program `keyway-dataplane`: one replica of the stateless proxy.

use clap::Parser;
use keyway_dataplane::{
    Running, Settings, StateDir,
    identity::{BadToken, IdentityError, JoinToken},
    start, tls_config,
};
use keyway_harden::harden;
use keyway_snapshot::Secret;
use keyway_telemetry::Otlp;
use mimalloc::MiMalloc;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

// A request makes some forty small allocations; this one serves them in a twentieth less time than the system's. What
// libraries free is not wiped here, as the other programs do: it took 5 MB more under load and a tenth more on slow streams.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Bytes of a join token's file.
const TOKEN_LIMIT: u64 = 8 << 10;
/// The join token's name among systemd's credentials.
const CREDENTIAL: &str = "keyway-join-token";

/// Keyway's data plane: proxies API traffic with what its control plane tells it
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where API traffic is taken
    #[arg(long, env = "KEYWAY_LISTEN", default_value = "127.0.0.1:8585", value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Where health, metrics and the snapshot's version are shown
    #[arg(long, env = "KEYWAY_OPS_LISTEN", default_value = "127.0.0.1:8586", value_name = "HOST:PORT")]
    ops_listen: SocketAddr,
    /// The control plane's fleet port, https://HOST:PORT; the join token says it by default
    #[arg(long, env = "KEYWAY_FLEET_URL", value_name = "URL")]
    fleet_url: Option<String>,
    /// File with a token of `keyway join-token create`, `-` reads stdin [default: the systemd credential keyway-join-token]; needed once, as what it gives is kept
    #[arg(long, env = "KEYWAY_JOIN_TOKEN_FILE", value_name = "FILE")]
    join_token_file: Option<PathBuf>,
    /// Where systemd puts credentials
    #[arg(long, env = "CREDENTIALS_DIRECTORY", hide = true)]
    credentials: Option<PathBuf>,
    /// The name to join as; unique in the fleet, made from the replica's by default
    #[arg(long, env = "KEYWAY_NODE", value_name = "NAME")]
    node: Option<String>,
    /// Where files are kept
    #[arg(long, env = "KEYWAY_HOME", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the last good state is kept, sealed, for a start without the control plane; of this replica alone
    #[arg(long, env = "KEYWAY_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Keep nothing on disk, whatever --state-dir says: a start then waits for the control plane
    #[arg(long, env = "KEYWAY_NO_STATE")]
    no_state: bool,
    /// MiB of usage that wait there for the control plane; beyond them requests are summed up, and none is lost
    #[arg(long, env = "KEYWAY_USAGE_SPOOL", default_value_t = StateDir::USAGE_MIB, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    usage_spool: u64,
    /// This replica's name, unique in the fleet; made from host and port by default, so that it finds its state again
    #[arg(long, env = "KEYWAY_REPLICA_ID", value_name = "NAME")]
    id: Option<String>,
    /// Serving threads; one a core by default
    #[arg(long, env = "KEYWAY_THREADS", value_name = "N")]
    threads: Option<usize>,
    /// Certificate chain for HTTPS, PEM
    #[arg(long, env = "KEYWAY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key for HTTPS, PEM
    #[arg(long, env = "KEYWAY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Further certificates to trust towards providers, PEM
    #[arg(long, env = "KEYWAY_UPSTREAM_CA", value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// Seconds that running requests get when this replica drains
    #[arg(long, env = "KEYWAY_DRAIN_GRACE", default_value_t = 120, value_name = "SECONDS")]
    drain_grace: u64,
    #[command(flatten)]
    otlp: Otlp,
    /// What is logged: error, warn, info, debug
    #[arg(long, env = "KEYWAY_LOG", default_value = "info", value_name = "LEVEL")]
    log: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = keyway_harden::log(&format!("warn,keyway_dataplane={}", args.log)) {
        // Nothing is left to be done when even stderr is gone.
        let _ = writeln!(std::io::stderr(), "keyway-dataplane: --log {}: {error}", args.log);
        return ExitCode::FAILURE;
    }
    harden();
    match settings(args).and_then(|settings| start(settings).map_err(|error| error.to_string())) {
        Ok(running) => wait(running),
        Err(why) => {
            tracing::error!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn settings(args: Args) -> Result<Settings, String> {
    let home = args.data_dir.or_else(|| std::env::home_dir().map(|home| home.join(".keyway")));
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => {
            Some(tls_config(certificate, key).map_err(|error| error.to_string())?)
        }
        _ => None,
    };
    if tls.is_none() && !args.listen.ip().is_loopback() {
        tracing::warn!(
            "client tokens cross the network in clear: give --tls-cert and --tls-key, or listen on 127.0.0.1"
        );
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let id = args.id.unwrap_or_else(|| default_id(&host, args.listen.port()));
    let replicas = home.map(|home| home.join("replicas").join(file_name(&id)));
    let state = args.state_dir.or(replicas).filter(|_| !args.no_state).map(StateDir::at);
    let state = state.map(|state| StateDir { usage_limit: args.usage_spool << 20, ..state });
    let token = join_token(args.join_token_file, args.credentials)?;
    let kept = state.as_ref().is_some_and(|state| state.identity_file.exists());
    if token.is_none() && !kept {
        return Err(IdentityError::NotJoined.to_string());
    }
    let node = args.node.unwrap_or_else(|| id.split('~').next().unwrap_or_default().to_owned());
    Ok(Settings {
        id,
        host,
        listener: bind(args.listen, "--listen")?,
        ops: bind(args.ops_listen, "--ops-listen")?,
        fleet_url: args.fleet_url,
        identity: None,
        token,
        node,
        threads: args.threads,
        tls,
        upstream_ca: args.upstream_ca,
        drain_grace: Duration::from_secs(args.drain_grace),
        otlp: args.otlp.traces(),
        state,
    })
}

/// The same after a restart, where the port is.
fn default_id(host: &str, port: u16) -> String {
    match port {
        0 => format!("{host}-{}", std::process::id()),
        port => format!("{host}-{port}"),
    }
}

/// A replica's name as that of a directory: no part of it leads elsewhere.
fn file_name(id: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    let name: String = id.chars().map(|char| if plain(char) || char == '.' { char } else { '_' }).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

fn bind(address: SocketAddr, option: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("{address} is taken by another program; choose another with {option}")
        }
        _ => format!("cannot listen on {address}: {error}; choose another with {option}"),
    })
}

/// The join token, wherever it is; a file that is gone is no fault, as the token is needed only once.
fn join_token(given: Option<PathBuf>, credentials: Option<PathBuf>) -> Result<Option<JoinToken>, String> {
    let credential = || credentials.map(|dir| dir.join(CREDENTIAL)).filter(|path| path.exists());
    let Some(path) = given.or_else(credential) else { return Ok(None) };
    let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let read = if path == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().take(TOKEN_LIMIT).read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(&path)
    };
    let text = match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => Secret::new(read.map_err(|error| fault(&error))?),
    };
    let text = std::str::from_utf8(text.expose()).map_err(|_| fault(&BadToken))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    JoinToken::parse(text).map(Some).map_err(|error| fault(&error))
}

/// Until the replica ends by itself or by signals: the first drains, the second ends at once.
fn wait(running: Running) -> ExitCode {
    tracing::info!("API traffic on http://{}, ops on http://{}", running.listen(), running.ops());
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot wait for signals");
            return ExitCode::FAILURE;
        }
    };
    let waited = runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        if !signalled(&running, &mut term, &mut int).await {
            return Ok(());
        }
        running.stop();
        if signalled(&running, &mut term, &mut int).await {
            running.stop_now();
        }
        Ok::<(), std::io::Error>(())
    });
    if let Err(error) = waited {
        tracing::error!(%error, "cannot wait for signals");
        running.stop_now();
    }
    running.join();
    ExitCode::SUCCESS
}

/// Waits for a signal; `false` if the replica ended before.
async fn signalled(running: &Running, term: &mut Signal, int: &mut Signal) -> bool {
    tokio::select! {
        _ = term.recv() => true,
        _ = int.recv() => true,
        () = running.ending() => false,
    }
}
