//! Control planes that share a store, among themselves: calls that another one has to answer, and what replicas tell the one
//! that does not lead. By the fleet port, with a token that only who holds this cluster's vault can make.

mod cut;
mod desk;
mod door;
mod forward;
mod home;
mod relay;
mod relayed;
mod tls;

pub(crate) use desk::Asked;
pub(crate) use door::{PeerDoor, Reported, brought, report_elsewhere};
pub(crate) use forward::answer;
pub(crate) use relay::run;

use crate::{Plane, authority::Authority, lead::Member, store::Shared};
use home::Home;
use http::HeaderMap;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{
    io,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

/// Names the token.
const TOKEN: &str = "x-keyway-peer";
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// A peer that is silent for so long is asked whether it lives, and given up after the same time again.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// While a new leader is found, calls wait so long.
const FIND_LIMIT: Duration = Duration::from_secs(6);

/// The others.
#[derive(Debug)]
pub(crate) struct Peers {
    plane: Arc<Plane>,
    token: String,
    authority: OnceLock<Arc<Authority>>,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    /// This control plane.
    Ours,
    Others(Member),
    /// Nobody is known to lead.
    Nobody,
    /// Whoever keeps the books is not there.
    Away(String),
}

// === impl Peers ===

impl Peers {
    pub(crate) fn new(plane: Arc<Plane>) -> Self {
        let token = plane.vault().peer_token();
        Self { plane, token, authority: OnceLock::new() }
    }

    /// Whose roots the fleet ports of others are known by.
    pub(crate) fn trust(&self, authority: Arc<Authority>) {
        // Set once, at the start.
        let _ = self.authority.set(authority);
    }

    /// Whether whoever calls is one of us.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let mut all = headers.get_all(TOKEN).iter();
        let (Some(one), None) = (all.next(), all.next()) else { return false };
        // Equality of BLAKE3 hashes takes constant time.
        blake3::hash(one.as_bytes()) == blake3::hash(self.token.as_bytes())
    }

    /// Who answers what has that home.
    async fn whose(&self, home: Home) -> Whose {
        let Some(shared) = self.plane.store().shared() else { return Whose::Ours };
        match home {
            Home::Here => Whose::Ours,
            Home::Leader => self.leader(shared).await,
            Home::Books => keeper(shared),
        }
    }

    /// The leader; while there is none, or it only begins to lead, for some seconds whoever becomes it.
    async fn leader(&self, shared: &dyn Shared) -> Whose {
        let until = Instant::now() + FIND_LIMIT;
        let mut standing = shared.standing();
        let mut led = self.plane.version_changes();
        loop {
            if self.plane.leads() {
                return Whose::Ours;
            }
            let now = standing.borrow_and_update().clone();
            let other = now.leader.filter(|leader| leader.name != shared.me().name);
            if let (Some(leader), true) = (other, now.contact) {
                return Whose::Others(leader);
            }
            let rest = until.saturating_duration_since(Instant::now());
            let changed = async {
                tokio::select! { _ = standing.changed() => {}, _ = led.changed() => {} }
            };
            if rest.is_zero() || tokio::time::timeout(rest, changed).await.is_err() {
                return Whose::Nobody;
            }
        }
    }
}

fn keeper(shared: &dyn Shared) -> Whose {
    let Some(name) = shared.books() else { return Whose::Ours };
    if name == shared.me().name {
        return Whose::Ours;
    }
    match shared.members().into_iter().find(|member| member.name == name) {
        Some(member) => Whose::Others(member),
        None => Whose::Away(name),
    }
}

// === impl Peers, connections ===

impl Peers {
    /// A connection of its own: a call that takes long holds up no other.
    async fn connect(&self, to: &Member) -> Result<Channel, String> {
        // TLS is below: tonic must not look for its own.
        let plain = to.fleet.replacen("https://", "http://", 1);
        let endpoint = Endpoint::from_shared(plain).map_err(|error| error.to_string())?;
        let authority = self.authority.get().ok_or("no roots are known yet")?;
        let connector =
            TlsConnector::from(Arc::new(tls::client(authority).map_err(|error| error.to_string())?));
        let connect = tower::service_fn(move |uri: http::Uri| {
            let connector = connector.clone();
            async move { Ok::<_, io::Error>(TokioIo::new(secured(&connector, &uri).await?)) }
        });
        let endpoint = endpoint
            .connect_timeout(CONNECT_LIMIT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true);
        let limited = tokio::time::timeout(CONNECT_LIMIT, endpoint.connect_with_connector(connect)).await;
        let connected = limited.map_err(|_| "it does not take the connection".to_owned())?;
        connected.map_err(|error| {
            let mut reason: &dyn std::error::Error = &error;
            while let Some(source) = reason.source() {
                reason = source;
            }
            reason.to_string()
        })
    }
}

async fn secured(connector: &TlsConnector, uri: &http::Uri) -> io::Result<TlsStream<TcpStream>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let host = uri.host().ok_or_else(|| invalid("the address names no host"))?;
    let port = uri.port_u16().ok_or_else(|| invalid("the address names no port"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host.to_owned());
    connector.connect(name.map_err(|_| invalid("the address names no host"))?, stream).await
}
