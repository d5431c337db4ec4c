//! All four sockets, bound before anything starts, so that a taken port changes nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::settings::{Address, Settings};
use crate::failure::Failure;

/// Connections that may wait to be accepted: the kernel shortens it to its own limit.
const BACKLOG: i32 = 4096;

/// Bound sockets.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(super) api: TcpListener,
    pub(super) ops: TcpListener,
    pub(super) admin: TcpListener,
    pub(super) fleet: TcpListener,
}

// === impl Ports ===

impl Ports {
    /// Binds all, or names every one that cannot be had.
    pub(super) fn bind(settings: &Settings) -> Result<Self, Failure> {
        let mut lines = Vec::new();
        let mut bind =
            |address: Address| bind(address.at).map_err(|error| lines.push(line(address, &error))).ok();
        let bound = (bind(settings.api), bind(settings.ops), bind(settings.admin), bind(settings.fleet));
        let (Some(api), Some(ops), Some(admin), Some(fleet)) = bound else {
            return Err(Failure::Other(lines.join("\nkeyway: ")));
        };
        Ok(Self { api, ops, admin, fleet })
    }
}

/// Without SO_REUSEPORT: one queue, whoever accepts from it.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

fn line(Address { option, at }: Address, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        let port = at.port();
        return format!(
            "port {port} is taken on {}; stop what uses it, or choose another with {option}",
            at.ip()
        );
    }
    format!("cannot listen on {at}: {error}; choose another address with {option}")
}
