//! Nodes of a real etcd on loopback, in clear or with TLS that asks for client certificates.

use std::path::{Path, PathBuf};

use super::ETCD;
use crate::process::keyway::clean;
use crate::process::{Port, Process, StartError};

/// One node of etcd.
#[derive(Debug)]
pub struct EtcdNode {
    /// Its process.
    pub process: Process,
    name: String,
    client: Port,
    peer: Port,
}

/// Files of certificates, PEM.
#[derive(Debug, Clone)]
pub struct EtcdTls {
    /// Under which both others are.
    pub ca: PathBuf,
    /// What nodes show, and its key.
    pub server: (PathBuf, PathBuf),
    /// What control planes show, and its key.
    pub client: (PathBuf, PathBuf),
}

/// Further arguments of every node, and its certificates.
pub(super) type Form<'a> = (&'a [String], Option<&'a EtcdTls>);

/// Starts so many nodes of one cluster.
pub(super) fn start(folder: &Path, nodes: usize, form: Form<'_>) -> Result<Vec<EtcdNode>, StartError> {
    let port = || Port::take().map_err(StartError::system(ETCD));
    let mut places = Vec::new();
    for number in 0..nodes {
        places.push((format!("etcd-{number}"), port()?, port()?));
    }
    let cluster = cluster(places.iter().map(|(name, _, peer)| (name.as_str(), peer)));
    let mut all = Vec::new();
    for (name, client, peer) in places {
        let process = spawn(folder, (&name, &client, &peer), &cluster, form)?;
        all.push(EtcdNode { process, name, client, peer });
    }
    Ok(all)
}

/// As etcd is told of all nodes.
pub(super) fn cluster<'a>(nodes: impl Iterator<Item = (&'a str, &'a Port)>) -> String {
    nodes.map(|(name, peer)| format!("{name}=http://{}", peer.address())).collect::<Vec<_>>().join(",")
}

fn spawn(
    folder: &Path,
    (name, client, peer): (&str, &Port, &Port),
    cluster: &str,
    (args, tls): Form<'_>,
) -> Result<Process, StartError> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (client, peer) = (format!("{scheme}://{}", client.address()), format!("http://{}", peer.address()));
    let mut command = clean(Path::new(ETCD), folder);
    command
        .args(["--name", name, "--log-level", "error", "--initial-cluster", cluster])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .arg("--data-dir")
        .arg(folder.join(name))
        .args(args);
    if let Some(EtcdTls { ca, server: (cert, key), .. }) = tls {
        command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(ca);
        command.arg("--cert-file").arg(cert).arg("--key-file").arg(key);
    }
    Process::start(name, &mut command)
}

// === impl EtcdNode ===

impl EtcdNode {
    /// `HOST:PORT` where clients go.
    #[must_use]
    pub fn client(&self) -> String {
        self.client.address()
    }

    pub(super) fn place(&self) -> (&str, &Port) {
        (&self.name, &self.peer)
    }

    /// Starts it again, after its end, where it was.
    pub(super) fn start(&mut self, folder: &Path, cluster: &str, form: Form<'_>) -> Result<(), StartError> {
        self.process = spawn(folder, (&self.name, &self.client, &self.peer), cluster, form)?;
        Ok(())
    }
}

// === impl EtcdTls ===

impl EtcdTls {
    /// As it stands in the address of a store.
    pub(super) fn query(&self) -> String {
        let (cert, key) = &self.client;
        format!("ca={}&cert={}&key={}", self.ca.display(), cert.display(), key.display())
    }
}
