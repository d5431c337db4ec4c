//! Which control plane to talk to and with which token: flag, then environment (both through clap), then the context
//! of `keyway login`, then what `keyway up` left on this machine.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::args::Global;
use crate::failure::Failure;
use crate::home::Home;

/// Where `keyway up` serves its admin API unless told otherwise.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:8600";
/// In the data directory: written by `keyway up`.
pub(crate) const ADMIN_TOKEN_FILE: &str = "admin.token";
/// In the data directory while `keyway up` runs: where its admin API is.
pub(crate) const ADMIN_URL_FILE: &str = "admin.url";
/// In the data directory: written by `keyway login`.
pub(crate) const CONTEXT_FILE: &str = "login.json";

/// What `keyway login` keeps, mode 0600.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) server: String,
    pub(crate) token: String,
}

/// A control plane and the right to talk to it.
pub(crate) struct Connection {
    /// Base URL without a slash at its end.
    pub(crate) server: String,
    pub(crate) token: Zeroizing<String>,
}

// === impl Connection ===

impl Connection {
    pub(crate) fn find(global: &Global) -> Result<Self, Failure> {
        let home = Home::new(global.home.clone())?;
        let login = read_login(&home)?;
        let here = home.read(ADMIN_URL_FILE)?.map(|url| url.to_string());
        let server = chosen(global, login.as_ref(), here.as_deref())?;
        if let Some(token) = given(&global.token) {
            return Ok(Self { server, token: Zeroizing::new(token.trim().to_owned()) });
        }
        // A kept token goes only to the server that it was kept for, and this machine's only to this machine.
        let kept = login.filter(|login| login.server == server).map(|login| Zeroizing::new(login.token));
        let token = match kept {
            Some(token) => Some(token),
            None if is_local(&server) || here.as_ref() == Some(&server) => home.read(ADMIN_TOKEN_FILE)?,
            None => None,
        };
        let token = token.ok_or_else(|| Failure::Answered {
            status: reqwest::StatusCode::UNAUTHORIZED,
            message: format!("there is no admin token for {server}; run `keyway login --server {server}`, or set KEYWAY_ADMIN_TOKEN"),
        })?;
        Ok(Self { server, token })
    }
}

/// The server of `keyway login`, which takes the place of a context that cannot be read.
pub(crate) fn server_for_login(global: &Global, home: &Home) -> Result<String, Failure> {
    let here = home.read(ADMIN_URL_FILE)?;
    let login = read_login(home).ok().flatten();
    chosen(global, login.as_ref(), here.as_ref().map(|url| url.as_str()))
}

/// Which server: what was given, then what `keyway login` kept, then the one of this machine.
fn chosen(global: &Global, login: Option<&Login>, here: Option<&str>) -> Result<String, Failure> {
    match (given(&global.server), login) {
        (Some(server), _) => base_url(&server),
        (None, Some(login)) => Ok(login.server.clone()),
        (None, None) => Ok(here.unwrap_or(DEFAULT_SERVER).to_owned()),
    }
}

/// A variable that is set to nothing is not set.
fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.trim().is_empty())
}

fn read_login(home: &Home) -> Result<Option<Login>, Failure> {
    let Some(text) = home.read(CONTEXT_FILE)? else { return Ok(None) };
    let login = serde_json::from_str(&text).map_err(|_| {
        Failure::Other(format!(
            "{} is not what `keyway login` writes; run it again",
            home.path(CONTEXT_FILE).display()
        ))
    })?;
    Ok(Some(login))
}

/// A server as typed, as a base URL: a scheme is added, a slash at the end taken off.
pub(crate) fn base_url(typed: &str) -> Result<String, Failure> {
    let typed = typed.trim().trim_end_matches('/').trim_end_matches("/api/v1");
    let with_scheme = match typed.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => typed.to_owned(),
        None if typed.is_empty() => {
            return Err(Failure::Usage(
                "--server is empty; give a URL like https://keyway.internal:8600".into(),
            ));
        }
        None if is_local(&format!("http://{typed}")) => format!("http://{typed}"),
        None => format!("https://{typed}"),
        Some(_) => {
            return Err(Failure::Usage(
                "--server must be an http or https URL like https://keyway.internal:8600".into(),
            ));
        }
    };
    match reqwest::Url::parse(&with_scheme) {
        // Never repeated: it may hold a password.
        Ok(url) if has_user(&url) => Err(Failure::Usage(
            "--server holds a user or a password; give a URL like https://keyway.internal:8600, and the token by --token".into(),
        )),
        Ok(_) => Ok(with_scheme),
        Err(why) => Err(Failure::Usage(format!(
            "--server is no URL: {why}; give one like https://keyway.internal:8600"
        ))),
    }
}

/// True: the URL names this machine's loopback, as whoever connects to it reads it.
pub(crate) fn is_local(server: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(server) else { return false };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    !has_user(&url) && (host == "localhost" || is_loopback)
}

fn has_user(url: &reqwest::Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}
