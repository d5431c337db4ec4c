//! The program `keyway-controlplane`: options, token files, listeners, signals. Everything else is in the library.

mod options;

use clap::Parser;
use keyway_config::{File, Loaded};
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
use keyway_telemetry::Exporting;
use options::Options;
use std::{
    alloc::System,
    cell::RefCell,
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroizing_alloc::ZeroAlloc;

// What is freed is wiped: libraries' buffers have held keys.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// Bytes of a configuration file.
const CONFIG_LIMIT: u64 = 64 << 20;
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
    keyway_harden::harden();
    let loaded = options.config.as_deref().map(load).transpose()?;
    let (file, warnings) = loaded.map(|loaded| (loaded.file, loaded.warnings)).unzip();
    let options = options.with(file.as_ref().and_then(|file| file.server.clone()).unwrap_or_default())?;
    keyway_harden::log(options.log()).map_err(|error| format!("--log {}: {error}", options.log()))?;
    warnings.into_iter().flatten().for_each(|warning| tracing::warn!("{warning}"));
    let shared = shared(&options)?;
    let node_life = options.node_life();
    let home = home(options.data_dir)?;
    let in_home = |given: Option<PathBuf>, name: &str| given.unwrap_or_else(|| home.join(name));
    let admin_token_file = in_home(options.admin_token_file, "admin.token");
    let token = |path: &Path| token_file(path).map_err(|error| format!("{}: {error}", path.display()));
    let exporting = options.otlp.start(SERVICE, &instance()).map_err(|error| error.to_string())?;
    let fleet = bind("--fleet-listen", options.fleet_listen.as_deref().unwrap_or(options::FLEET))?;
    let certificates = Certificates { node_life, addresses: addresses(&options.fleet_name, &fleet)? };
    let settings = Settings {
        admin: bind("--admin-listen", options.admin_listen.as_deref().unwrap_or(options::ADMIN))?,
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

fn load(path: &Path) -> Result<Loaded, Fault> {
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
    loaded.map_err(lines)
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
