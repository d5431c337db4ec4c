//! The section `server`: what the process that is started with the file would refuse.

use super::At;
use crate::Server;

/// As the flags of the same names.
const REPLICAS: u32 = 64;
const THREADS: u32 = 1024;
/// Of a node's certificate, seconds: a year at most.
const LIFE: std::ops::RangeInclusive<u64> = 2..=31_536_000;

pub(super) fn check(at: &mut At<'_>, server: &Server) {
    let addresses = [
        ("listen", &server.listen),
        ("ops_listen", &server.ops_listen),
        ("admin_listen", &server.admin_listen),
        ("fleet_listen", &server.fleet_listen),
    ];
    for (name, text) in addresses {
        at.report_field(name, text.as_deref().map_or(Ok(()), address));
    }
    for (name, count, limit) in
        [("replicas", server.replicas, REPLICAS), ("threads", server.threads, THREADS)]
    {
        if count.is_some_and(|count| !(1..=limit).contains(&count)) {
            at.field(name).report(format!("must be from 1 to {limit}"));
        }
    }
    if server.node_certificate_life.is_some_and(|life| !LIFE.contains(&(life.millis() / 1000))) {
        at.field("node_certificate_life").report("must be from 2s to 365d");
    }
}

/// Of something that listens: `HOST:PORT`, `:PORT` or `PORT`. Whether the host has an address is not looked at.
///
/// # Errors
/// What is wanted.
pub fn address(text: &str) -> Result<(), String> {
    let text = text.trim();
    let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
    match port.parse::<u16>() {
        Ok(_) => Ok(()),
        Err(_) => Err("HOST:PORT or PORT is wanted, like 127.0.0.1:8585 or 8585".into()),
    }
}
