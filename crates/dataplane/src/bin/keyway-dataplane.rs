//! The program `keyway-dataplane`: one replica of the stateless proxy, or, with `--supervise`, a host's supervisor of several.

use clap::Parser;
use keyway_dataplane::{
    Running, Settings, StateDir,
    identity::{BadToken, IdentityError, JoinToken},
    start,
    supervise::{self, Host, REPLICA_LIMIT, Resumed, Serving, Sockets, Supervise, Supervisor, TlsFiles},
    tls_config,
};
use keyway_harden::harden;
use keyway_snapshot::Secret;
use keyway_telemetry::Otlp;
use mimalloc::MiMalloc;
use std::{
    ffi::OsString,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

// A request makes some forty small allocations; this one serves them in a twentieth less time than the system's. What
// libraries free is wiped with the feature `wipe` alone, not always as in the other programs: it took 5 MB more under load and a tenth more on slow streams.
#[cfg(not(feature = "wipe"))]
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
#[cfg(feature = "wipe")]
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<MiMalloc> = zeroizing_alloc::ZeroAlloc(MiMalloc);

/// Whoever looks at a program sees whether it wipes.
const VERSION: &str = if cfg!(feature = "wipe") {
    concat!(env!("CARGO_PKG_VERSION"), " (wipes memory)")
} else {
    env!("CARGO_PKG_VERSION")
};
/// Characters of the machine's name in a name that is made of it.
const HOST_LIMIT: usize = 50;
/// Bytes of a join token's file.
const TOKEN_LIMIT: u64 = 8 << 10;
/// The join token's name among systemd's credentials.
const CREDENTIAL: &str = "keyway-join-token";

/// Keyway's data plane: proxies API traffic with what its control plane tells it
#[derive(Debug, Parser)]
#[command(version = VERSION)]
struct Args {
    /// Where API traffic is taken, HOST:PORT or PORT; port 0 = any
    #[arg(long, env = "KEYWAY_LISTEN", default_value = "127.0.0.1:8585", value_name = "HOST:PORT", value_parser = address)]
    listen: SocketAddr,
    /// Where health, metrics and the snapshot's version are shown
    #[arg(long, env = "KEYWAY_OPS_LISTEN", default_value = "127.0.0.1:8586", value_name = "HOST:PORT", value_parser = address)]
    ops_listen: SocketAddr,
    /// The fleet port of a control plane, https://HOST:PORT; several, or given several times: where one is lost, the next is gone to; the join token says it by default
    #[arg(
        long,
        visible_alias = "control-plane",
        env = "KEYWAY_FLEET_URL",
        value_delimiter = ',',
        value_name = "URL"
    )]
    fleet_url: Vec<String>,
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
    /// MiB of memory that a replica may use [default: what its cgroup may]; near it large requests are refused, then all new ones
    #[arg(long, env = "KEYWAY_MEMORY_LIMIT", value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    memory_limit: Option<u64>,
    /// Run replicas as processes of their own, all on the one listening socket; start again what fails, and upgrade without
    /// a pause on SIGHUP
    #[arg(long, env = "KEYWAY_SUPERVISE")]
    supervise: bool,
    /// With --supervise: replicas, until the control plane says another number
    #[arg(long, env = "KEYWAY_REPLICAS", default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(REPLICA_LIMIT)))]
    replicas: u32,
    #[command(flatten)]
    otlp: Otlp,
    /// What is logged: error, warn, info, debug
    #[arg(long, env = "KEYWAY_LOG", default_value = "info", value_name = "LEVEL")]
    log: String,
    /// What a supervisor runs
    #[arg(long, hide = true)]
    replica: bool,
    /// A supervisor that replaced itself
    #[arg(long, hide = true)]
    resumed: bool,
}

/// What a supervisor gives its replicas as argument.
const REPLICA: &str = "--replica";
/// What a supervisor gives itself when it replaces itself.
const RESUMED: &str = "--resumed";

fn main() -> ExitCode {
    let args = Args::parse();
    if args.replica {
        return done(supervise::replica().map_err(|error| error.to_string()));
    }
    if let Err(error) = keyway_harden::log(&filter(&args.log)) {
        // Nothing is left to be done when even stderr is gone.
        let _ = writeln!(std::io::stderr(), "keyway-dataplane: --log {}: {error}", args.log);
        return ExitCode::FAILURE;
    }
    harden();
    done(if args.supervise { run_supervisor(args) } else { run_replica(args) })
}

fn done(ended: Result<(), String>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // One plain line, whatever --log says; nothing is left to be done when even stderr is gone.
            let _ = writeln!(std::io::stderr(), "keyway-dataplane: {why}");
            ExitCode::FAILURE
        }
    }
}

fn filter(level: &str) -> String {
    format!("warn,keyway_dataplane={level}")
}

fn run_replica(args: Args) -> Result<(), String> {
    let running = start(settings(args)?).map_err(|error| error.to_string())?;
    tracing::info!("API traffic on http://{}, ops on http://{}", running.listen(), running.ops());
    let waited = wait(&running);
    if waited.is_err() {
        running.stop_now();
    }
    running.join();
    waited
}

fn run_supervisor(args: Args) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let started = if args.resumed {
        let resumed = Resumed::receive().map_err(|error| text(&error))?;
        Supervisor::resume(supervise(args)?, resumed)
    } else {
        let api = bind(args.listen, "--listen")?;
        let ops = bind(args.ops_listen, "--ops-listen")?;
        Supervisor::new(supervise(args)?, Sockets { api, ops })
    };
    let (supervisor, host) = started.map_err(|error| text(&error))?;
    let [api, ops] = supervisor.addresses().map_err(|error| text(&error))?;
    tracing::info!("API traffic on http://{api}, ops on http://{ops}");
    runtime.block_on(async {
        let mut ended = supervisor.run();
        let listening = listen_to_signals(&host);
        tokio::select! {
            ended = &mut ended => ended.map_err(|error| text(&error)),
            failed = listening => {
                host.kill();
                ended.await.and(Ok(())).map_err(|error| text(&error)).and(failed)
            }
        }
    })
}

/// SIGTERM or SIGINT: the first lets replicas finish, the second ends them at once. SIGHUP: upgrade.
async fn listen_to_signals(host: &Host) -> Result<(), String> {
    let catch = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
    let (mut term, mut int) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    let mut hangup = catch(SignalKind::hangup())?;
    let mut is_stopping = false;
    loop {
        tokio::select! {
            _ = hangup.recv() => host.upgrade(),
            () = either(&mut term, &mut int) => {
                match is_stopping {
                    false => host.stop(),
                    true => host.kill(),
                }
                is_stopping = true;
            }
        }
    }
}

fn supervise(args: Args) -> Result<Supervise, String> {
    let home = home(&args)?;
    let host = host();
    let named = args.node.clone().or_else(|| args.id.clone());
    let name = named.unwrap_or_else(|| default_id(&host, args.listen.port()));
    if name.contains('~') {
        return Err(format!(
            "--id {name}: a host's name holds no `~`, which stands before a replica's number"
        ));
    }
    warn_in_clear(&args);
    let tls = args.tls_cert.clone().zip(args.tls_key.clone()).map(|(cert, key)| TlsFiles { cert, key });
    let dir = args.state_dir.clone().unwrap_or_else(|| home.join("hosts").join(file_name(&name)));
    Ok(Supervise {
        prefix: format!("{name}~"),
        name,
        host,
        replicas: args.replicas,
        program: program()?,
        replica: vec![REPLICA.into()],
        again: Some(again()),
        fleet_url: urls(&args.fleet_url),
        identity: None,
        token: token_of(&args, Some(&StateDir::at(dir.clone())))?,
        dir,
        serving: Serving {
            threads: args.threads,
            upstream_ca: args.upstream_ca.clone(),
            tls,
            grace: Duration::from_secs(args.drain_grace),
            otlp: args.otlp.traces(),
            log: filter(&args.log),
            usage_limit: Some(args.usage_spool << 20),
            memory_limit: args.memory_limit.map(|mib| mib << 20),
            no_state: args.no_state,
        },
    })
}

/// Where a newer program will lie: as it was called, since a link may lead to another file then.
fn program() -> Result<PathBuf, String> {
    let called =
        std::env::args_os().next().map(PathBuf::from).filter(|path| path.is_absolute() && path.exists());
    let own =
        || std::env::current_exe().map_err(|error| format!("this program's file is not known: {error}"));
    called.map_or_else(own, Ok)
}

/// The same arguments, and that it goes on with what is there.
fn again() -> Vec<OsString> {
    let args = std::env::args_os().skip(1).filter(|arg| arg != RESUMED);
    args.chain([RESUMED.into()]).collect()
}

fn home(args: &Args) -> Result<PathBuf, String> {
    let home = args.data_dir.clone().or_else(|| std::env::home_dir().map(|home| home.join(".keyway")));
    home.ok_or_else(|| "no home directory; say where files are kept with --data-dir".to_owned())
}

/// With what to join; only where an identity is kept already it may be missing.
fn token_of(args: &Args, state: Option<&StateDir>) -> Result<Option<JoinToken>, String> {
    let token = join_token(args.join_token_file.clone(), args.credentials.clone())?;
    let is_kept = state.is_some_and(|state| state.identity_file.exists());
    if token.is_some() || is_kept { Ok(token) } else { Err(IdentityError::NotJoined.to_string()) }
}

/// This machine's name.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn warn_in_clear(args: &Args) {
    if args.tls_cert.is_none() && !args.listen.ip().is_loopback() {
        tracing::warn!(
            "client tokens cross the network in clear: give --tls-cert and --tls-key, or listen on 127.0.0.1"
        );
    }
}

fn settings(args: Args) -> Result<Settings, String> {
    let home = home(&args)?;
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => {
            Some(tls_config(certificate, key).map_err(|error| error.to_string())?)
        }
        _ => None,
    };
    warn_in_clear(&args);
    let host = host();
    let named = args.id.clone().or_else(|| args.node.clone());
    let id = named.unwrap_or_else(|| default_id(&host, args.listen.port()));
    let state = args.state_dir.clone().unwrap_or_else(|| home.join("replicas").join(file_name(&id)));
    let state =
        (!args.no_state).then(|| StateDir { usage_limit: args.usage_spool << 20, ..StateDir::at(state) });
    let token = token_of(&args, state.as_ref())?;
    let node = args.node.clone().unwrap_or_else(|| id.split('~').next().unwrap_or_default().to_owned());
    if id.strip_prefix(&node).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('~')) {
        return Err(format!("--id {id}: a replica of the node {node} is called {node} or {node}~N"));
    }
    Ok(Settings {
        id,
        host,
        supervisor: String::new(),
        hold_back: Duration::ZERO,
        listener: bind(args.listen, "--listen")?,
        ops: bind(args.ops_listen, "--ops-listen")?,
        fleet_url: urls(&args.fleet_url),
        identity: None,
        token,
        node,
        threads: args.threads,
        tls,
        upstream_ca: args.upstream_ca,
        drain_grace: Duration::from_secs(args.drain_grace),
        memory_limit: args.memory_limit.map(|mib| mib << 20),
        otlp: args.otlp.traces(),
        state,
    })
}

/// The same after a restart, where the port is; as a node may be called.
fn default_id(host: &str, port: u16) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' };
    let host: String = host.chars().map(plain).take(HOST_LIMIT).collect();
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

/// `HOST:PORT`, `:PORT` or `PORT`; without a host 127.0.0.1.
fn address(text: &str) -> Result<SocketAddr, String> {
    let full = match text.trim().rsplit_once(':') {
        None => format!("127.0.0.1:{text}"),
        Some(("", port)) => format!("127.0.0.1:{port}"),
        Some(_) => text.to_owned(),
    };
    let found = full.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| "HOST:PORT or PORT is wanted, like 127.0.0.1:8585 or 8585".to_owned())
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

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start: {error}"))
}

/// Until the replica ends by itself or by signals: the first drains, the second ends at once.
fn wait(running: &Running) -> Result<(), String> {
    let waited = runtime()?.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        if !signalled(running, &mut term, &mut int).await {
            return Ok(());
        }
        running.stop();
        if signalled(running, &mut term, &mut int).await {
            running.stop_now();
        }
        Ok::<(), std::io::Error>(())
    });
    waited.map_err(|error| format!("cannot wait for signals: {error}"))
}

/// Waits for a signal; `false` if the replica ended before.
async fn signalled(running: &Running, term: &mut Signal, int: &mut Signal) -> bool {
    tokio::select! {
        () = either(term, int) => true,
        () = running.ending() => false,
    }
}

async fn either(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// All of them in one line; absent = none was given.
fn urls(given: &[String]) -> Option<String> {
    (!given.is_empty()).then(|| given.join(","))
}
