//! The two planes as processes of their own: one `keyway-controlplane`, and any number of `keyway-dataplane`. Each keeps
//! its ports and its directory over any end of its process, so that the others find it again.

mod host;
mod port;
mod replica;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

pub use self::host::Host;
pub use self::port::Port;
pub use self::replica::Replica;
use super::keyway::{begin, clean};
use super::{Process, Ran, StartError, binary};

/// How long a plane may take until it is ready. A test machine may be busy.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// What is set before the planes start.
#[derive(Debug, Default)]
#[must_use]
pub struct Setup {
    yaml: Option<String>,
    data_dir: Option<PathBuf>,
    under: Vec<String>,
    env: Vec<(String, String)>,
    elsewhere: Option<Elsewhere>,
}

/// A network of their own for the data planes.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Runs a program there, which it gets as its last arguments and must `exec`.
    pub under: Vec<String>,
    /// An address there that is reached from here.
    pub replicas_at: IpAddr,
    /// An address here that is reached from there.
    pub fleet_at: IpAddr,
}

/// A running fleet. Dropped, the replicas end first.
#[derive(Debug)]
pub struct Planes {
    /// The data planes.
    pub replicas: Vec<Replica>,
    /// The control plane.
    pub control: Process,
    /// Variables of the control plane's environment at its next start.
    pub control_env: Vec<(String, String)>,
    /// Further arguments of the control plane at its next start.
    pub control_args: Vec<String>,
    facts: Facts,
    place: Place,
}

/// What stays the same over all starts of the control plane.
#[derive(Debug)]
struct Place {
    admin: Port,
    fleet: Port,
    data_dir: PathBuf,
    config: Option<PathBuf>,
    under: Vec<String>,
    /// Of all planes at every start.
    env: Vec<(String, String)>,
    elsewhere: Option<Elsewhere>,
    folder: tempfile::TempDir,
}

/// The control plane's ready file.
#[derive(Debug, Deserialize)]
struct Facts {
    admin_url: String,
    fleet_addr: String,
    admin_token_file: PathBuf,
}

// === impl Setup ===

impl Setup {
    /// The control plane's data directory; by default one of its own that goes with it.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Runs the control plane under another program, which gets its path and arguments as its last and must `exec` it.
    pub fn under(mut self, program_and_args: &[&str]) -> Self {
        self.under = program_and_args.iter().map(|&arg| arg.to_owned()).collect();
        self
    }

    /// A variable of all planes' environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the data planes in another network than the control plane.
    pub fn elsewhere(self, elsewhere: Elsewhere) -> Self {
        Self { elsewhere: Some(elsewhere), ..self }
    }

    /// Starts the control plane and so many data planes, and waits until they are ready.
    pub fn start(self, replicas: usize) -> Result<Planes, StartError> {
        let system = || StartError::system("keyway-controlplane");
        let folder = tempfile::tempdir().map_err(system())?;
        let data_dir = self.data_dir.unwrap_or_else(|| folder.path().join("home"));
        let config = self.yaml.as_ref().map(|_| folder.path().join("keyway.yaml"));
        if let Some((path, yaml)) = config.as_ref().zip(self.yaml) {
            std::fs::write(path, yaml).map_err(StartError::system("keyway.yaml"))?;
        }
        let fleet = self.elsewhere.as_ref().map_or_else(Port::take, |there| Port::take_at(there.fleet_at));
        let (admin, fleet) = (Port::take().map_err(system())?, fleet.map_err(system())?);
        let Self { under, env, elsewhere, .. } = self;
        let place = Place { admin, fleet, data_dir, config, under, env, elsewhere, folder };
        let mut control = place.spawn(&[], &[])?;
        let facts = place.facts(&mut control)?;
        let (control_env, control_args) = (Vec::new(), Vec::new());
        let mut planes = Planes { replicas: Vec::new(), control, control_env, control_args, facts, place };
        for _ in 0..replicas {
            planes.add()?;
        }
        Ok(planes)
    }
}

// === impl Planes ===

impl Planes {
    /// With this keyway.yaml (no `${NAME}` in it), applied at every start of the control plane.
    pub fn of(yaml: impl Into<String>) -> Setup {
        Setup { yaml: Some(yaml.into()), ..Setup::default() }
    }

    /// Starts a control plane with this keyway.yaml and so many data planes.
    pub fn start(yaml: &str, replicas: usize) -> Result<Self, StartError> {
        Self::of(yaml).start(replicas)
    }

    /// Starts one more data plane and waits until it is ready.
    pub fn add(&mut self) -> Result<&mut Replica, StartError> {
        let replica = self.add_unready()?;
        replica.until_ready()?;
        Ok(replica)
    }

    /// Starts one more data plane and waits until it listens.
    pub fn add_unready(&mut self) -> Result<&mut Replica, StartError> {
        let id = format!("replica-{}", self.replicas.len() + 1);
        let token = self.folder().join(format!("{id}.join"));
        // Bound to the name, so that it also joins where an earlier fleet over the same data had one of it.
        self.join_token(&token, &["--node", &id])?;
        self.add_with(id, &token)
    }

    /// Starts one more data plane of that name with that join token, and waits until it listens.
    pub fn add_with(&mut self, id: String, token: &Path) -> Result<&mut Replica, StartError> {
        let folder = self.place.folder.path();
        let fleet = (self.facts.fleet_addr.as_str(), token);
        let place = (self.place.env.clone(), self.place.elsewhere.as_ref());
        let replica = Replica::start(folder, id, fleet, place)?;
        Ok(self.replicas.push_mut(replica))
    }

    /// Starts a host's supervisor with further arguments, which joins by a token of its own, and waits until it listens.
    pub fn host(&self, name: &str, args: &[&str]) -> Result<Host, StartError> {
        let token = self.place.folder.path().join(format!("{name}.token"));
        self.join_token(&token, &[])?;
        Host::start(self.place.folder.path(), name, (self.facts.fleet_addr.as_str(), token.as_path()), args)
    }

    /// Has a join token written into that file, by `keyway join-token create ARGS`.
    pub fn join_token(&self, file: &Path, args: &[&str]) -> Result<(), StartError> {
        let path = file.display().to_string();
        let all = [&["join-token", "create", "--out", &path], args].concat();
        let ran = self.cli(&all)?;
        match ran.code {
            Some(0) => Ok(()),
            _ => Err(StartError::system("keyway join-token create")(std::io::Error::other(ran.stderr))),
        }
    }

    /// Starts the control plane, which has ended, over its data and on its ports, and waits until it is ready.
    pub fn start_control(&mut self) -> Result<(), StartError> {
        self.spawn_control()?;
        self.facts = self.place.facts(&mut self.control)?;
        Ok(())
    }

    /// As `start_control`, for a start that is to fail: waits for nothing.
    pub fn spawn_control(&mut self) -> Result<(), StartError> {
        self.control = self.place.spawn(&self.control_env, &self.control_args)?;
        Ok(())
    }

    /// The file that every start of the control plane applies from now on; `None`: none.
    pub fn configure(&mut self, yaml: Option<&str>) -> std::io::Result<()> {
        let path = self.place.folder.path().join("keyway.yaml");
        yaml.map_or(Ok(()), |yaml| std::fs::write(&path, yaml))?;
        self.place.config = yaml.map(|_| path);
        Ok(())
    }

    /// Where the admin API is.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.facts.admin_url
    }

    /// `HOST:PORT` of the fleet stream.
    #[must_use]
    pub fn fleet_addr(&self) -> &str {
        &self.facts.fleet_addr
    }

    /// The admin token, read from its file.
    pub fn admin_token(&self) -> std::io::Result<String> {
        Ok(std::fs::read_to_string(&self.facts.admin_token_file)?.trim().to_owned())
    }

    /// The control plane's data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.place.data_dir
    }

    /// A folder for the test's own files; it goes with the planes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.place.folder.path()
    }

    /// Runs `keyway ARGS` against it, as an operator who has the admin token.
    pub fn cli(&self, args: &[&str]) -> Result<Ran, StartError> {
        Ran::of(self.begin(args, &[])?)
    }

    /// Starts `keyway ARGS` as `cli` does, with further variables in its environment, and does not wait for it.
    pub fn begin(&self, args: &[&str], variables: &[(&str, &str)]) -> Result<Process, StartError> {
        begin(self.folder(), &self.facts.admin_url, &self.facts.admin_token_file, (args, variables))
    }
}

// === impl Place ===

impl Place {
    fn spawn(&self, env: &[(String, String)], args: &[String]) -> Result<Process, StartError> {
        let _absent = std::fs::remove_file(self.ready());
        let program = binary("keyway-controlplane")?;
        let mut command = beneath(&self.under, &program, self.folder.path());
        command.envs(self.env.iter().chain(env).map(|(name, value)| (name, value)));
        command.args(["--admin-listen", &self.admin.address(), "--fleet-listen", &self.fleet.address()]);
        command.arg("--data-dir").arg(&self.data_dir).arg("--ready-file").arg(self.ready());
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        Process::start("keyway-controlplane", command.args(args))
    }

    fn facts(&self, control: &mut Process) -> Result<Facts, StartError> {
        let ready = self.ready();
        control.until(READY_LIMIT, "wrote its ready file", |_| {
            serde_json::from_slice(&std::fs::read(&ready).ok()?).ok()
        })
    }

    fn ready(&self) -> PathBuf {
        self.folder.path().join("ready.json")
    }
}

/// A command for the program in `folder`, under others if there are some.
fn beneath(under: &[String], program: &Path, folder: &Path) -> Command {
    let Some((outer, args)) = under.split_first() else { return clean(program, folder) };
    let mut command = clean(Path::new(outer), folder);
    command.args(args).arg(program);
    command
}
