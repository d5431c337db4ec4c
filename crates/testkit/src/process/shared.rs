//! Several control planes that share a store in a real etcd of three nodes, and replicas that know them all. Each process keeps
//! its ports and its directory over any end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::keyway::{begin, clean};
use super::{Port, Process, Ran, Replica, StartError, binary};

/// How long a process may take until it is ready. A test machine may be busy.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Debian's program.
const ETCD: &str = "etcd";

/// One node of etcd.
#[derive(Debug)]
pub struct EtcdNode {
    /// Its process.
    pub process: Process,
    name: String,
    client: Port,
    peer: Port,
}

/// One control plane.
#[derive(Debug)]
pub struct Control {
    /// Its process.
    pub process: Process,
    /// Its name among the others.
    pub name: String,
    admin: Port,
    fleet: Port,
}

/// All of it. Dropped, replicas end first, etcd last.
#[derive(Debug)]
pub struct Shared {
    /// The data planes.
    pub replicas: Vec<Replica>,
    /// The control planes.
    pub controls: Vec<Control>,
    /// The nodes of etcd.
    pub etcd: Vec<EtcdNode>,
    folder: tempfile::TempDir,
}

// === impl Shared ===

impl Shared {
    /// Starts three nodes of etcd, so many control planes, of which the first applies this keyway.yaml, and so many data
    /// planes. `None`: etcd is not installed, and that was said.
    pub fn start(yaml: &str, controls: usize, replicas: usize) -> Result<Option<Self>, StartError> {
        if Command::new(ETCD).arg("--version").output().is_err() {
            #[expect(clippy::print_stdout, reason = "a test that did not run says so")]
            {
                println!("NOT TESTED: more than one control plane needs etcd (Debian: etcd-server)");
            }
            return Ok(None);
        }
        let folder = tempfile::tempdir().map_err(StartError::system(ETCD))?;
        std::fs::write(folder.path().join("keyway.yaml"), yaml).map_err(StartError::system("keyway.yaml"))?;
        let mut all = Self { replicas: Vec::new(), controls: Vec::new(), etcd: Vec::new(), folder };
        all.start_etcd(3)?;
        for number in 0..controls {
            all.add_control(number == 0)?;
        }
        for _ in 0..replicas {
            all.add_replica()?;
        }
        Ok(Some(all))
    }

    /// `etcd://…` of all nodes.
    #[must_use]
    pub fn store(&self) -> String {
        let nodes: Vec<String> = self.etcd.iter().map(|node| node.client.address()).collect();
        format!("etcd://{}/keyway", nodes.join(","))
    }

    /// A folder that goes with it: the files that all control planes share lie there.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The admin token, which all control planes have.
    pub fn admin_token(&self) -> std::io::Result<String> {
        Ok(std::fs::read_to_string(self.file("admin.token"))?.trim().to_owned())
    }

    /// Starts a control plane again that has ended, and does not wait for it.
    pub fn spawn_control(&mut self, at: usize) -> Result<(), StartError> {
        let store = self.store();
        if let Some(control) = self.controls.get_mut(at) {
            control.process = spawn(self.folder.path(), &store, control, false)?;
        }
        Ok(())
    }

    /// Waits until a control plane is ready.
    pub fn until_ready(&mut self, at: usize) -> Result<(), StartError> {
        let folder = self.folder.path().to_owned();
        let Some(control) = self.controls.get_mut(at) else { return Ok(()) };
        let ready = ready(&folder, &control.name);
        control.process.until(READY_LIMIT, "wrote its ready file", |_| ready.exists().then_some(()))
    }

    /// Starts a node of etcd again that has ended.
    pub fn start_node(&mut self, at: usize) -> Result<(), StartError> {
        let cluster = self.cluster();
        if let Some(node) = self.etcd.get_mut(at) {
            node.process =
                node_process(self.folder.path(), (&node.name, &node.client, &node.peer), &cluster)?;
        }
        Ok(())
    }

    fn start_etcd(&mut self, nodes: usize) -> Result<(), StartError> {
        let port = || Port::take().map_err(StartError::system(ETCD));
        let mut places = Vec::new();
        for number in 0..nodes {
            places.push((format!("etcd-{number}"), port()?, port()?));
        }
        let cluster = cluster(places.iter().map(|(name, _, peer)| (name.as_str(), peer)));
        for (name, client, peer) in places {
            let process = node_process(self.folder.path(), (&name, &client, &peer), &cluster)?;
            self.etcd.push(EtcdNode { process, name, client, peer });
        }
        Ok(())
    }

    fn cluster(&self) -> String {
        cluster(self.etcd.iter().map(|node| (node.name.as_str(), &node.peer)))
    }

    fn add_control(&mut self, first: bool) -> Result<(), StartError> {
        let name = format!("cp-{}", self.controls.len());
        let port = || Port::take().map_err(StartError::system(&name));
        let (admin, fleet) = (port()?, port()?);
        let (store, folder) = (self.store(), self.folder.path());
        let place = (name.as_str(), &admin, &fleet);
        let process = spawn_at(folder, &store, place, first)?;
        self.controls.push(Control { process, name, admin, fleet });
        self.until_ready(self.controls.len() - 1)
    }

    fn add_replica(&mut self) -> Result<(), StartError> {
        let id = format!("replica-{}", self.replicas.len());
        let fleets: Vec<String> = self.controls.iter().map(|control| control.fleet.address()).collect();
        // Each begins at another control plane.
        let turn = self.replicas.len() % fleets.len().max(1);
        let fleets: Vec<&str> =
            fleets.iter().cycle().skip(turn).take(fleets.len()).map(String::as_str).collect();
        let token = self.file(&format!("{id}.join"));
        self.join_token(&token, &id)?;
        let fleet = (fleets.join(",https://"), token.as_path());
        let mut replica = Replica::start(self.folder.path(), id, (&fleet.0, fleet.1), (Vec::new(), None))?;
        replica.until_ready()?;
        self.replicas.push(replica);
        Ok(())
    }

    fn join_token(&self, file: &Path, node: &str) -> Result<(), StartError> {
        let path = file.display().to_string();
        let args = ["join-token", "create", "--out", &path, "--node", node];
        let admin = self.controls.first().map(Control::admin_url).unwrap_or_default();
        let ran = Ran::of(begin(self.folder(), &admin, &self.file("admin.token"), (&args, &[]))?)?;
        match ran.code {
            Some(0) => Ok(()),
            _ => Err(StartError::system("keyway join-token create")(std::io::Error::other(ran.stderr))),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

// === impl Control ===

impl Control {
    /// Where its admin API is.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin.address())
    }
}

// === impl EtcdNode ===

impl EtcdNode {
    /// `HOST:PORT` where clients go.
    #[must_use]
    pub fn client(&self) -> String {
        self.client.address()
    }
}

fn cluster<'a>(nodes: impl Iterator<Item = (&'a str, &'a Port)>) -> String {
    nodes.map(|(name, peer)| format!("{name}=http://{}", peer.address())).collect::<Vec<_>>().join(",")
}

fn node_process(
    folder: &Path,
    (name, client, peer): (&str, &Port, &Port),
    cluster: &str,
) -> Result<Process, StartError> {
    let url = |port: &Port| format!("http://{}", port.address());
    let mut command = clean(Path::new(ETCD), folder);
    command
        .args(["--name", name, "--log-level", "error", "--initial-cluster", cluster])
        .args(["--listen-client-urls", &url(client), "--advertise-client-urls", &url(client)])
        .args(["--listen-peer-urls", &url(peer), "--initial-advertise-peer-urls", &url(peer)])
        .arg("--data-dir")
        .arg(folder.join(name));
    Process::start(name, &mut command)
}

fn spawn(folder: &Path, store: &str, control: &Control, first: bool) -> Result<Process, StartError> {
    spawn_at(folder, store, (&control.name, &control.admin, &control.fleet), first)
}

fn spawn_at(
    folder: &Path,
    store: &str,
    (name, admin, fleet): (&str, &Port, &Port),
    first: bool,
) -> Result<Process, StartError> {
    let ready = ready(folder, name);
    let _absent = std::fs::remove_file(&ready);
    let mut command = clean(&binary("keyway-controlplane")?, folder);
    command
        .args(["--store", store, "--name", name])
        .args(["--admin-listen", &admin.address(), "--fleet-listen", &fleet.address()])
        .arg("--data-dir")
        .arg(folder.join(name))
        .arg("--ready-file")
        .arg(&ready);
    for (flag, file) in [("--root-key-file", "root.key"), ("--admin-token-file", "admin.token")] {
        command.arg(flag).arg(folder.join(file));
    }
    if first {
        command.arg("--config").arg(folder.join("keyway.yaml"));
    }
    Process::start(name, &mut command)
}

fn ready(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.ready.json"))
}
