//! `keyway up`: a whole Keyway by one command. Order: check everything that can fail, bind all ports, start the control
//! plane with its first state, start data planes, wait until all of them serve it, and only then say so.

mod announce;
mod args;
mod data_plane;
mod first;
mod found;
mod identity;
mod logging;
mod outside;
mod ports;
mod ready;
mod serving;
mod settings;
mod signals;
#[cfg(test)]
mod tests;
mod tokens;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keyway_controlplane::{
    Certificates,
    observe::SERVICE,
    serve::{Storage, Tls},
    store::IndexCheck,
};
use keyway_telemetry::Exporting;

use self::announce::Announcement;
use self::first::First;
use self::ports::Ports;
use self::ready::Facts;
use self::serving::Planes;
use self::settings::Settings;
use self::tokens::Tokens;
use crate::args::{CHECK_INDEX, Global};
use crate::connection::{ADMIN_TOKEN_FILE, ADMIN_URL_FILE};
use crate::failure::Failure;
use crate::home::Home;
use crate::print;
pub(crate) use args::Up;

/// Runs until a signal ends it.
pub(crate) fn run(global: &Global, up: &Up) -> Result<(), Failure> {
    let home = Home::new(global.home.clone())?;
    let file = first::read(up.config.as_deref(), &home)?;
    let settings = Settings::new(up, file.server())?.traced(global.otlp.traces());
    settings.ready_file.as_deref().map_or(Ok(()), ready::prepare)?;
    logging::start(&settings.serving.log)?;
    keyway_harden::harden();
    let ports = Ports::bind(&settings)?;
    home.make()?;
    let tokens = Tokens::keep(&home)?;
    let (mut first, initial) = First::new(file, &tokens)?;
    let Ports { api, ops, admin, fleet } = ports;
    let bound = |error| Failure::Other(format!("a socket has no address: {error}"));
    let (api_at, ops_at) = (api.local_addr().map_err(bound)?, ops.local_addr().map_err(bound)?);
    let fleet_at = fleet.local_addr().map_err(bound)?;
    warn_in_clear(&settings, api_at);
    let exporting = traces(global)?;
    let control = keyway_controlplane::serve(keyway_controlplane::Settings {
        admin,
        fleet,
        admin_token: tokens.admin.clone(),
        certificates: Certificates::at(settings.fleet_names(&fleet_at)),
        tls: settings
            .serving
            .tls
            .as_ref()
            .map(|files| Tls { cert: files.cert.clone(), key: files.key.clone() }),
        storage: storage(&home, &settings)?,
        initial,
        tracer: exporting.as_ref().map(Exporting::tracer).unwrap_or_default(),
        environment: Some(crate::environment::variable),
    });
    let control = control.map_err(|error| first.explain(error))?;
    first.started(&control);
    let facts = Facts {
        base_url: url(settings.serving.tls.is_some(), api_at),
        ops_url: url(false, ops_at),
        admin_url: url(settings.serving.tls.is_some(), control.admin),
        fleet_addr: reachable(control.fleet).to_string(),
        client_token: first.client_token.clone(),
        admin_token_file: home.path(ADMIN_TOKEN_FILE).display().to_string(),
        pid: std::process::id(),
    };
    home.write(ADMIN_URL_FILE, &facts.admin_url)?;
    let planes = Planes {
        api,
        ops,
        control,
        replicas: settings.replicas,
        serving: settings.serving,
        states: home.path(REPLICAS),
        program: own_file()?,
    };
    let ended = planes.run(|| {
        let announcement = Announcement {
            facts: &facts,
            home: home.directory(),
            client: first::CLIENT,
            found: &first.found,
            configured: first.configured(),
            model: &first.model,
            replicas: settings.replicas,
        };
        print::line(&announcement.text());
        settings.ready_file.as_deref().map_or(Ok(()), |path| facts.write(path))
    });
    if let Some(exporting) = exporting {
        exporting.flush();
    }
    let cleared = settings.ready_file.as_deref().map_or(Ok(()), ready::clear);
    ended.and(cleared).and(ready::clear(&home.path(ADMIN_URL_FILE)))
}

fn warn_in_clear(settings: &Settings, api_at: SocketAddr) {
    if settings.serving.tls.is_none() && !api_at.ip().is_loopback() {
        print::note(&format!(
            "warning: {api_at} is answered without TLS; give --tls-cert and --tls-key, or let only a proxy reach it"
        ));
    }
}

/// In the data directory: what replicas keep.
const REPLICAS: &str = "replicas";

/// What the hidden verb does.
pub(crate) fn check_index(store: &Path) -> Result<(), Failure> {
    keyway_controlplane::store::check_index(store).map_err(|error| Failure::Other(error.to_string()))
}

fn storage(home: &Home, settings: &Settings) -> Result<Storage, Failure> {
    let program = own_file()?;
    Ok(Storage {
        home: home.directory().to_owned(),
        root_key_file: settings.root_key_file.clone(),
        credentials: settings.credentials.clone(),
        index_check: Some(IndexCheck { program, args: vec![CHECK_INDEX.into()] }),
        shared: None,
    })
}

fn own_file() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::Other(format!("this program's own file is not known: {error}")))
}

/// What the hidden verb that starts a replica does.
pub(crate) fn replica() -> Result<(), Failure> {
    keyway_dataplane::supervise::replica().map_err(|error| Failure::Other(error.to_string()))
}

/// The way of the control plane's spans; the data planes have their own.
fn traces(global: &Global) -> Result<Option<Exporting>, Failure> {
    let instance = format!("{}-{}", data_plane::host(), std::process::id());
    global.otlp.start(SERVICE, &instance).map_err(|error| Failure::Other(error.to_string()))
}

fn url(tls: bool, at: SocketAddr) -> String {
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{}", reachable(at))
}

/// An address that listens everywhere is reached over loopback.
fn reachable(at: SocketAddr) -> SocketAddr {
    if !at.ip().is_unspecified() {
        return at;
    }
    let loopback = if at.is_ipv4() {
        std::net::Ipv4Addr::LOCALHOST.into()
    } else {
        std::net::Ipv6Addr::LOCALHOST.into()
    };
    SocketAddr::new(loopback, at.port())
}
