//! Several control planes that share a store in a real etcd of three nodes, and replicas that know them all. Each process keeps
//! its ports and its directory over any end.

mod etcd;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use self::etcd::{EtcdNode, EtcdTls};
use super::keyway::{begin, clean};
use super::{Host, Port, Process, Ran, Replica, StartError, binary};

/// How long a process may take until it is ready. A test machine may be busy.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Debian's program.
const ETCD: &str = "etcd";
/// Of one etcd: one may be missed.
const NODES: usize = 3;

/// One control plane.
#[derive(Debug)]
pub struct Control {
    /// Its process.
    pub process: Process,
    /// Its name among the others.
    pub name: String,
    /// Further arguments of its next start.
    pub args: Vec<String>,
    /// By what address it reaches the store.
    store: String,
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
    etcd_args: Vec<String>,
    control_args: Vec<String>,
    tls: Option<EtcdTls>,
    folder: tempfile::TempDir,
}

/// What is set before everything starts.
#[derive(Debug, Default)]
#[must_use]
pub struct SharedSetup {
    yaml: String,
    etcd_args: Vec<String>,
    control_args: Vec<String>,
    tls: Option<EtcdTls>,
}

// === impl SharedSetup ===

impl SharedSetup {
    /// Further arguments of every node of etcd.
    pub fn etcd(mut self, args: &[&str]) -> Self {
        self.etcd_args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Further arguments of every control plane.
    pub fn control(mut self, args: &[&str]) -> Self {
        self.control_args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// etcd asks for client certificates, and control planes show one.
    pub fn tls(self, tls: EtcdTls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// As [`Shared::start`].
    pub fn start(self, controls: usize, replicas: usize) -> Result<Option<Shared>, StartError> {
        if Command::new(ETCD).arg("--version").output().is_err() {
            #[expect(clippy::print_stdout, reason = "a test that did not run says so")]
            {
                println!("NOT TESTED: more than one control plane needs etcd (Debian: etcd-server)");
            }
            return Ok(None);
        }
        let folder = tempfile::tempdir().map_err(StartError::system(ETCD))?;
        let Self { yaml, etcd_args, control_args, tls } = self;
        std::fs::write(folder.path().join("keyway.yaml"), yaml).map_err(StartError::system("keyway.yaml"))?;
        let etcd = etcd::start(folder.path(), NODES, (&etcd_args, tls.as_ref()))?;
        let (replicas_yet, controls_yet) = (Vec::new(), Vec::new());
        let mut all = Shared {
            replicas: replicas_yet,
            controls: controls_yet,
            etcd,
            etcd_args,
            control_args,
            tls,
            folder,
        };
        for _ in 0..controls {
            all.add_control(all.store())?;
        }
        for _ in 0..replicas {
            all.add_replica()?;
        }
        Ok(Some(all))
    }
}

// === impl Shared ===

impl Shared {
    /// Starts three nodes of etcd, so many control planes, of which the first applies this keyway.yaml, and so many data
    /// planes. `None`: etcd is not installed, and that was said.
    pub fn start(yaml: &str, controls: usize, replicas: usize) -> Result<Option<Self>, StartError> {
        Self::of(yaml).start(controls, replicas)
    }

    /// With this keyway.yaml.
    pub fn of(yaml: &str) -> SharedSetup {
        SharedSetup { yaml: yaml.to_owned(), ..SharedSetup::default() }
    }

    /// `etcd://…` of all nodes.
    #[must_use]
    pub fn store(&self) -> String {
        self.store_at(&self.etcd.iter().map(EtcdNode::client).collect::<Vec<_>>())
    }

    /// The same where its nodes are reached at these, `HOST:PORT`.
    #[must_use]
    pub fn store_at(&self, nodes: &[String]) -> String {
        let nodes = nodes.join(",");
        match &self.tls {
            None => format!("etcd://{nodes}/keyway"),
            Some(tls) => format!("etcds://{nodes}/keyway?{}", tls.query()),
        }
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
        if let Some(control) = self.controls.get_mut(at) {
            let place = (control.name.as_str(), &control.admin, &control.fleet);
            control.process = spawn(self.folder.path(), &control.store, place, (None, &control.args))?;
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
        let cluster = etcd::cluster(self.etcd.iter().map(EtcdNode::place));
        match self.etcd.get_mut(at) {
            Some(node) => node.start(self.folder.path(), &cluster, (&self.etcd_args, self.tls.as_ref())),
            None => Ok(()),
        }
    }

    /// Starts one more control plane, which reaches the store by that address, and waits until it is ready. The first applies
    /// the file.
    pub fn add_control(&mut self, store: String) -> Result<(), StartError> {
        let name = format!("cp-{}", self.controls.len());
        let port = || Port::take().map_err(StartError::system(&name));
        let (admin, fleet) = (port()?, port()?);
        let config = self.controls.is_empty().then(|| self.file("keyway.yaml"));
        let place = (name.as_str(), &admin, &fleet);
        let process = spawn(self.folder.path(), &store, place, (config, &self.control_args))?;
        let args = self.control_args.clone();
        self.controls.push(Control { process, name, args, store, admin, fleet });
        self.until_ready(self.controls.len() - 1)
    }

    /// Starts one more data plane, which knows every control plane that there is, and waits until it is ready.
    pub fn add_replica(&mut self) -> Result<&mut Replica, StartError> {
        // Each begins at another control plane.
        self.replica_at(&self.fleets(self.replicas.len()))
    }

    /// Starts one more data plane, which knows that control plane alone, and waits until it is ready.
    pub fn add_replica_of(&mut self, control: usize) -> Result<&mut Replica, StartError> {
        let fleet = self.controls.get(control).map(|control| control.fleet.address());
        self.replica_at(&fleet.unwrap_or_default())
    }

    fn replica_at(&mut self, fleets: &str) -> Result<&mut Replica, StartError> {
        let id = format!("replica-{}", self.replicas.len());
        let token = self.file(&format!("{id}.join"));
        self.join_token(&token, &id)?;
        let mut replica = Replica::start(self.folder.path(), id, (fleets, &token), (Vec::new(), None))?;
        replica.until_ready()?;
        Ok(self.replicas.push_mut(replica))
    }

    /// Starts a host's supervisor with further arguments, which begins at that control plane and joins there, and waits until it
    /// listens.
    pub fn host(&self, name: &str, first: usize, args: &[&str]) -> Result<Host, StartError> {
        self.host_at(name, &self.fleets(first), args)
    }

    /// The same, told of that control plane only.
    pub fn host_told_of(&self, name: &str, only: usize, args: &[&str]) -> Result<Host, StartError> {
        let fleet = self.controls.get(only).map(|control| control.fleet.address()).unwrap_or_default();
        self.host_at(name, &fleet, args)
    }

    fn host_at(&self, name: &str, fleets: &str, args: &[&str]) -> Result<Host, StartError> {
        let token = self.file(&format!("{name}.join"));
        self.join_token(&token, name)?;
        Host::start(self.folder.path(), name, (fleets, token.as_path()), args)
    }

    /// Where all control planes are, from that one on: `HOST:PORT,https://HOST:PORT`.
    fn fleets(&self, first: usize) -> String {
        let fleets: Vec<String> = self.controls.iter().map(|control| control.fleet.address()).collect();
        let turn = first % fleets.len().max(1);
        let turned: Vec<&str> =
            fleets.iter().cycle().skip(turn).take(fleets.len()).map(String::as_str).collect();
        turned.join(",https://")
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

fn spawn(
    folder: &Path,
    store: &str,
    (name, admin, fleet): (&str, &Port, &Port),
    (config, args): (Option<PathBuf>, &[String]),
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
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    Process::start(name, command.args(args))
}

fn ready(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.ready.json"))
}
