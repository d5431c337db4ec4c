//! The program `keyway-controlplane`: options, token files, listeners, signals. Everything else is in the library.

use clap::Parser;
use keyway_config::{File, Server};
use keyway_controlplane::{
    Certificates, Initial, Running, Settings,
    observe::SERVICE,
    private_dir,
    resource::{Apply, Way},
    serve,
    serve::{SharedStore, Storage, Tls},
    store::{Address, IndexCheck, check_index},
    token_file,
};
use keyway_telemetry::{Exporting, Otlp};
use std::{
    alloc::System,
    cell::RefCell,
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroizing_alloc::ZeroAlloc;

// What is freed is wiped: libraries' buffers have held keys.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// Bytes of a configuration file.
const CONFIG_LIMIT: u64 = 64 << 20;
const ADMIN: &str = "127.0.0.1:8600";
const FLEET: &str = "127.0.0.1:8601";

/// Keyway's control plane: owns the configuration, serves the admin API and the fleet stream.
///
/// A flag wins over its environment variable, that over the file's section `server`.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// Where the admin API listens, HOST:PORT or PORT; field `server.admin_listen` [default: 127.0.0.1:8600]
    #[arg(long, env = "KEYWAY_ADMIN_LISTEN", value_name = "ADDR")]
    admin_listen: Option<String>,
    /// Where replicas connect, HOST:PORT or PORT; field `server.fleet_listen` [default: 127.0.0.1:8601]
    #[arg(long, env = "KEYWAY_FLEET_LISTEN", value_name = "ADDR")]
    fleet_listen: Option<String>,
    /// A keyway.yaml that is applied at start; `-` reads stdin. Secrets stand in it as they are: `${NAME}` is refused
    #[arg(long, env = "KEYWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where token files lie [default: ~/.keyway]
    #[arg(long, env = "KEYWAY_HOME", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The admin token's file, made with mode 0600 if missing [default: admin.token in the data directory]
    #[arg(long, env = "KEYWAY_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Where nodes reach the fleet port, HOST or HOST:PORT, repeated or comma-separated: what join tokens say [default: where it listens]
    #[arg(long, env = "KEYWAY_FLEET_NAME", value_name = "NAME", value_delimiter = ',')]
    fleet_name: Vec<String>,
    /// Seconds that a node's certificate lasts; it is renewed at half of it
    #[arg(long, env = "KEYWAY_NODE_CERTIFICATE_LIFE", value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(2..=31_536_000))]
    node_certificate_life: u64,
    /// Certificate chain of the admin API, PEM; required off loopback
    #[arg(long, env = "KEYWAY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, env = "KEYWAY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The root key, which opens every secret; made with mode 0600 at the first start [default: root.key in the data directory, or the systemd credential keyway-root-key]
    #[arg(long, env = "KEYWAY_ROOT_KEY_FILE", value_name = "FILE")]
    root_key_file: Option<PathBuf>,
    /// Where documents, audit log and sealed secrets lie: `etcd://HOST:PORT,HOST:PORT/PREFIX` or `etcds://…?ca=FILE&cert=FILE&key=FILE&login=FILE`, shared with other control planes [default: the data directory]
    #[arg(long, env = "KEYWAY_STORE", value_name = "URL")]
    store: Option<String>,
    /// This control plane's name among those that share the store [default: the host's name and some digits, made once]
    #[arg(long, env = "KEYWAY_NAME", value_name = "NAME", requires = "store")]
    name: Option<String>,
    /// Where replicas and other control planes reach the fleet port [default: where it listens]
    #[arg(long, env = "KEYWAY_ADVERTISE_FLEET", value_name = "URL", requires = "store")]
    advertise_fleet: Option<String>,
    /// Where the admin API is for others [default: where it listens]
    #[arg(long, env = "KEYWAY_ADVERTISE_ADMIN", value_name = "URL", requires = "store")]
    advertise_admin: Option<String>,
    /// Keep the books of usage here from now on, whichever control plane did before
    #[arg(long, requires = "store")]
    take_books: bool,
    /// Where systemd puts credentials
    #[arg(long, env = "CREDENTIALS_DIRECTORY", hide = true)]
    credentials: Option<PathBuf>,
    /// Only opens the index of the store in that directory and reads it: what a start does in a process of its own
    #[arg(long, hide = true, value_name = "DIR")]
    check_index: Option<PathBuf>,
    /// Written as JSON once requests are answered
    #[arg(long, env = "KEYWAY_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    otlp: Otlp,
    /// What is logged: error, warn, info, debug, or by module
    #[arg(long, env = "KEYWAY_LOG", default_value = "info")]
    log: String,
}

/// One line: what, why, what to do.
type Fault = String;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // Nothing is left to be done when even stderr is gone.
            let _ = writeln!(io::stderr(), "keyway-controlplane: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Fault> {
    if let Some(store) = &options.check_index {
        return check_index(store).map_err(|error| error.to_string());
    }
    keyway_harden::log(&options.log).map_err(|error| format!("--log {}: {error}", options.log))?;
    keyway_harden::harden();
    let file = options.config.as_deref().map(load).transpose()?;
    let server = file.as_ref().and_then(|file| file.server.clone()).unwrap_or_default();
    let shared = shared(&options)?;
    let home = home(options.data_dir)?;
    let in_home = |given: Option<PathBuf>, name: &str| given.unwrap_or_else(|| home.join(name));
    let admin_token_file = in_home(options.admin_token_file, "admin.token");
    let token = |path: &Path| token_file(path).map_err(|error| format!("{}: {error}", path.display()));
    let Server { admin_listen, fleet_listen, .. } = server;
    let exporting = options.otlp.start(SERVICE, &instance()).map_err(|error| error.to_string())?;
    let fleet = bind("--fleet-listen", options.fleet_listen.or(fleet_listen).as_deref().unwrap_or(FLEET))?;
    let node_life = Duration::from_secs(options.node_certificate_life);
    let certificates = Certificates { node_life, addresses: addresses(&options.fleet_name, &fleet)? };
    let settings = Settings {
        admin: bind("--admin-listen", options.admin_listen.or(admin_listen).as_deref().unwrap_or(ADMIN))?,
        fleet,
        admin_token: token(&admin_token_file)?,
        certificates,
        tls: options.tls_cert.zip(options.tls_key).map(|(cert, key)| Tls { cert, key }),
        storage: Storage { shared, ..storage(home.clone(), options.root_key_file, options.credentials)? },
        initial: initial(file, options.config.as_deref()),
        tracer: exporting.as_ref().map(Exporting::tracer).unwrap_or_default(),
        environment: None,
    };
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let running = serve(settings).map_err(|error| error.to_string())?;
    // Before anyone is told that it is ready: a signal must not find the system's default.
    let signals = listen(&running)?;
    let admin_url = format!("{scheme}://{}", reachable(running.admin));
    announce(&running, &admin_url, &admin_token_file)?;
    if let Some(path) = &options.ready_file {
        let facts = serde_json::json!({
            "admin_url": admin_url,
            "fleet_addr": running.fleet.to_string(),
            "admin_token_file": admin_token_file,
            "pid": std::process::id(),
        });
        write_ready(path, &facts.to_string()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    until_signal(&running, signals);
    running.stop();
    let ended = running.join().map_err(|error| error.to_string());
    if let Some(exporting) = exporting {
        exporting.flush();
    }
    ended
}

/// Tells this process from others of its service, in traces.
fn instance() -> String {
    format!("{}-{}", host(), std::process::id())
}

fn host() -> String {
    rustix::system::uname().nodename().to_str().map_or_else(|_| "unknown".into(), str::to_owned)
}

/// What join tokens say: names that were given, else where it listens, by the host's name if that is everywhere.
fn addresses(names: &[String], fleet: &TcpListener) -> Result<Vec<String>, Fault> {
    let at = fleet.local_addr().map_err(|error| format!("a socket has no address: {error}"))?;
    let whole = |name: &String| match name.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => name.clone(),
        _ => format!("{name}:{}", at.port()),
    };
    Ok(match names {
        [] if at.ip().is_unspecified() => vec![format!("{}:{}", host(), at.port())],
        [] => vec![at.to_string()],
        names => names.iter().map(whole).collect(),
    })
}

fn storage(
    home: PathBuf,
    root_key_file: Option<PathBuf>,
    credentials: Option<PathBuf>,
) -> Result<Storage, Fault> {
    let program = std::env::current_exe().map_err(|error| format!("this program's own file: {error}"))?;
    let index_check = Some(IndexCheck { program, args: vec!["--check-index".into()] });
    Ok(Storage { home, root_key_file, credentials, index_check, shared: None })
}

fn shared(options: &Options) -> Result<Option<SharedStore>, Fault> {
    let Some(store) = &options.store else { return Ok(None) };
    let address = Address::parse(store).map_err(|error| format!("--store {error}"))?;
    Ok(Some(SharedStore {
        address,
        name: options.name.clone(),
        advertise_fleet: options.advertise_fleet.clone(),
        advertise_admin: options.advertise_admin.clone(),
        take_books: options.take_books,
    }))
}

fn home(given: Option<PathBuf>) -> Result<PathBuf, Fault> {
    let usual = || std::env::home_dir().map(|home| home.join(".keyway"));
    let home = given.or_else(usual).ok_or("no home directory is known: give --data-dir")?;
    private_dir(&home).map_err(|error| format!("{}: {error}; give another --data-dir", home.display()))?;
    Ok(home)
}

fn bind(option: &str, wanted: &str) -> Result<TcpListener, Fault> {
    let address = if wanted.contains(':') { wanted.to_owned() } else { format!("127.0.0.1:{wanted}") };
    TcpListener::bind(&address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!("{address} is taken; {option} sets another port"),
        _ => format!("{address}: {error}; {option} sets another address"),
    })
}

/// An address that listens everywhere is reached over loopback.
fn reachable(mut at: SocketAddr) -> SocketAddr {
    if at.ip().is_unspecified() {
        at.set_ip(if at.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    at
}

fn load(path: &Path) -> Result<File, Fault> {
    let name = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let text = read(path).map_err(|error| format!("{name}: {error}"))?;
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |variable: &str| {
        asked.borrow_mut().insert(variable.to_owned());
        None
    };
    let loaded = keyway_config::load(&text, &name, lookup);
    if let Some(variable) = asked.borrow().first() {
        return Err(format!(
            "{name}: ${{{variable}}} is not replaced here, so that no secret is in this process's environment; \
             start without it and use `keyway apply -f`, or pipe the file with its secrets to `--config -`"
        ));
    }
    let lines = |problems: Vec<keyway_config::Problem>| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let loaded = loaded.map_err(lines)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(loaded.file)
}

fn read(path: &Path) -> io::Result<zeroize::Zeroizing<String>> {
    let mut text = zeroize::Zeroizing::new(String::new());
    if path == Path::new("-") {
        io::stdin().take(CONFIG_LIMIT).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(CONFIG_LIMIT).read_to_string(&mut text)?;
    }
    Ok(text)
}

fn initial(file: Option<File>, path: Option<&Path>) -> Vec<Initial> {
    let origin = path.map(|path| path.display().to_string()).unwrap_or_default();
    let apply = file.map(|file| Apply { file, prune: false, origin });
    apply.map(|apply| Initial { apply, by: Way::File }).into_iter().collect()
}

fn announce(running: &Running, admin_url: &str, token: &Path) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").map_err(|error| format!("stdout: {error}"));
    say(format!("admin API  {admin_url} (token in {})", token.display()))?;
    if running.plane.is_none() {
        return say("sealed     see the message above; replicas serve what they have".to_owned());
    }
    say(format!("fleet      {}", running.fleet))?;
    for shown in running.initial.iter().flat_map(|outcome| &outcome.tokens) {
        say(format!("client {} has the token {} (shown once)", shown.client, shown.token.expose()))?;
    }
    Ok(())
}

/// Whole or not at all, for its owner only.
fn write_ready(path: &Path, facts: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(facts.as_bytes())?;
    std::fs::rename(&part, path)
}

fn listen(running: &Running) -> Result<[Signal; 2], Fault> {
    let _inside = running.runtime().enter();
    let listen = |kind| signal(kind).map_err(|error| format!("signals: {error}"));
    Ok([listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?])
}

/// Waits for SIGTERM or SIGINT; a second one ends the process at once.
fn until_signal(running: &Running, [mut term, mut int]: [Signal; 2]) {
    running.runtime().block_on(async {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            std::process::exit(1);
        });
    });
}
