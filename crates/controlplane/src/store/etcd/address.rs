//! Where an etcd is and what under it is ours: `etcd://HOST:PORT,HOST:PORT/PREFIX`, or `etcds://…` with TLS. Files of
//! certificates and of the login are named in the query; a password never stands in an address.

use crate::{store::StoreError, vault::private_file};
use std::{fmt, fs, path::PathBuf, time::Duration};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use zeroize::Zeroizing;

/// A node that does not take the connection within this time is passed over.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// A connection that is silent for so long is asked whether it lives, and given up after the same time again.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// What is ours, unless the address says so.
const PREFIX: &str = "keyway";
/// Nodes of one etcd.
const NODES: usize = 9;

/// An etcd, and the part of it that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    nodes: Vec<String>,
    /// With its `/` at the end.
    prefix: String,
    tls: bool,
    ca: Option<PathBuf>,
    cert: Option<(PathBuf, PathBuf)>,
    login: Option<PathBuf>,
}

/// Name and password; never printed.
pub(super) struct Login {
    pub(super) name: String,
    pub(super) password: Zeroizing<String>,
}

// === impl Address ===

impl Address {
    /// Whether that text names an etcd at all.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with("etcd://") || text.starts_with("etcds://")
    }

    /// Reads `etcd://HOST:PORT[,HOST:PORT…][/PREFIX]`; with `etcds` also `?ca=FILE&cert=FILE&key=FILE`; `login=FILE`
    /// names a file of mode 0600 with `NAME:PASSWORD`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let bad = |why: &str| {
            StoreError::Unusable(format!(
                "{text}: {why}; write etcd://HOST:PORT,HOST:PORT/PREFIX, or etcds:// with ?ca=FILE"
            ))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("no address of an etcd"))?;
        let tls = match scheme {
            "etcd" => false,
            "etcds" => true,
            _ => return Err(bad("no address of an etcd")),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, PREFIX));
        let prefix = prefix.trim_matches('/');
        let nodes: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        let has_port = |node: &String| {
            node.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        if nodes.len() > NODES || !nodes.iter().all(has_port) {
            return Err(bad("each node is HOST:PORT, and there are one to nine"));
        }
        if prefix.is_empty() || hosts.contains('@') {
            return Err(bad("the prefix is not empty, and a login stands in a file: ?login=FILE"));
        }
        let mut address =
            Self { nodes, prefix: format!("{prefix}/"), tls, ca: None, cert: None, login: None };
        let (mut cert, mut key) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| bad("its query is no name=value"))?;
            let file = Some(PathBuf::from(value));
            match name {
                "ca" if tls => address.ca = file,
                "cert" if tls => cert = file,
                "key" if tls => key = file,
                "login" => address.login = file,
                _ => return Err(bad("its query knows ca, cert and key (with etcds) and login")),
            }
        }
        address.cert = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(bad("cert and key go together")),
        };
        Ok(address)
    }

    /// What every key of ours begins with; ends in `/`.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How each node is reached.
    pub(super) fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        let tls = if self.tls { Some(self.tls()?) } else { None };
        let scheme = if self.tls { "https" } else { "http" };
        let endpoint = |node: &String| {
            let made = Endpoint::from_shared(format!("{scheme}://{node}"));
            let made = made.and_then(|made| match tls.clone() {
                Some(tls) => made.tls_config(tls),
                None => Ok(made),
            });
            let made = made.map_err(|error| StoreError::Unusable(format!("{node}: {error}")))?;
            Ok(made
                .connect_timeout(CONNECT_LIMIT)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEPALIVE)
                .keep_alive_timeout(KEEPALIVE)
                .keep_alive_while_idle(true))
        };
        self.nodes.iter().map(endpoint).collect()
    }

    fn tls(&self) -> Result<ClientTlsConfig, StoreError> {
        let read = |path: &PathBuf| fs::read(path).map_err(|error| StoreError::unusable(path, &error));
        let mut tls = ClientTlsConfig::new();
        if let Some(ca) = &self.ca {
            tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
        }
        if let Some((cert, key)) = &self.cert {
            let key_text = Zeroizing::new(read(key)?);
            tls = tls.identity(Identity::from_pem(read(cert)?, key_text.as_slice()));
        }
        Ok(tls)
    }

    /// Who we are at etcd, read from its file.
    pub(super) fn login(&self) -> Result<Option<Login>, StoreError> {
        let Some(path) = &self.login else { return Ok(None) };
        let text = private_file(path).map_err(|error| StoreError::Unusable(error.to_string()))?;
        let text = std::str::from_utf8(&text).ok().and_then(|text| text.trim_end().split_once(':'));
        let (name, password) = text.ok_or_else(|| {
            StoreError::Unusable(format!("{}: one line NAME:PASSWORD is wanted", path.display()))
        })?;
        Ok(Some(Login { name: name.to_owned(), password: Zeroizing::new(password.to_owned()) }))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "etcds" } else { "etcd" };
        write!(f, "{scheme}://{}/{}", self.nodes.join(","), self.prefix.trim_end_matches('/'))
    }
}

// === impl Login ===

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_says() {
        let one = Address::parse("etcd://a:1,b:2/team/keyway/").unwrap();
        assert_eq!((one.nodes.len(), one.prefix()), (2, "team/keyway/"));
        assert_eq!(one.to_string(), "etcd://a:1,b:2/team/keyway");
        assert_eq!(Address::parse("etcd://a:1").unwrap().prefix(), "keyway/");
        let tls = Address::parse("etcds://a:1/k?ca=/c.pem&cert=/x.pem&key=/x.key&login=/l").unwrap();
        assert!(tls.ca.is_some() && tls.cert.is_some() && tls.login.is_some());
        for bad in [
            "a:1",
            "http://a:1",
            "etcd://",
            "etcd://a",
            "etcd://a:0",
            "etcd://a:1,b",
            "etcd://a:1//",
            "etcd://u:p@a:1",
            "etcd://a:1?ca=/c",
            "etcds://a:1?cert=/c",
            "etcd://a:1?password=x",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
