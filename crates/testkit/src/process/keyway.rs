//! A whole Keyway: `keyway up` with every port chosen by the system and a home of its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::{Process, StartError, binary, search_path};

/// How long `keyway up` may take until it answers. A test machine may be busy.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long one CLI command may take.
const CLI_LIMIT: Duration = Duration::from_secs(60);

/// What is set before `keyway up` starts.
#[derive(Debug, Default)]
#[must_use]
pub struct Up {
    config: Option<String>,
    replicas: Option<u32>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    under: Vec<String>,
}

impl Up {
    /// The content of keyway.yaml. Without it `up` runs on its environment alone.
    pub fn config(mut self, yaml: impl Into<String>) -> Self {
        self.config = Some(yaml.into());
        self
    }

    /// Data planes as processes of their own.
    pub fn replicas(mut self, count: u32) -> Self {
        self.replicas = Some(count);
        self
    }

    /// A further argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// A variable of its environment, which is otherwise empty but for PATH, HOME, KEYWAY_HOME and NO_COLOR.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A further file in the folder that it runs in.
    pub fn file(mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.into(), content.into()));
        self
    }

    /// Runs it under another program, which gets `keyway up …` as its last arguments and must `exec` it.
    pub fn under(mut self, program_and_args: &[&str]) -> Self {
        self.under = program_and_args.iter().map(|&arg| arg.to_owned()).collect();
        self
    }

    /// Runs it and waits until its ready file is there.
    pub fn start(self) -> Result<Keyway, StartError> {
        let program = binary("keyway")?;
        let folder = tempfile::tempdir().map_err(StartError::system("keyway up"))?;
        let mut command = match self.under.split_first() {
            None => clean(&program, folder.path()),
            Some((outer, args)) => {
                let mut command = clean(Path::new(outer), folder.path());
                command.args(args).arg(&program);
                command
            }
        };
        command.arg("up").envs(self.env.iter().map(|(name, value)| (name, value)));
        for (name, content) in &self.files {
            std::fs::write(folder.path().join(name), content).map_err(StartError::system(name))?;
        }
        if let Some(yaml) = &self.config {
            let path = folder.path().join("keyway.yaml");
            std::fs::write(&path, yaml).map_err(StartError::system("keyway.yaml"))?;
            command.arg("--config").arg(path);
        }
        if let Some(count) = self.replicas {
            command.arg("--replicas").arg(count.to_string());
        }
        for port in ["--listen", "--ops-listen", "--admin-listen", "--fleet-listen"] {
            command.args([port, "127.0.0.1:0"]);
        }
        let ready = folder.path().join("ready.json");
        command.arg("--ready-file").arg(&ready).args(&self.args);
        let mut process = Process::start("keyway up", &mut command)?;
        let facts = process.until(READY_LIMIT, "wrote its ready file", |_| Facts::read(&ready))?;
        Ok(Keyway { process, facts, folder })
    }
}

/// A running `keyway up`. Dropped, it ends, and its folder goes.
pub struct Keyway {
    // Ends before its folder is removed: fields drop in this order.
    process: Process,
    facts: Facts,
    folder: tempfile::TempDir,
}

/// The ready file.
#[derive(Deserialize)]
struct Facts {
    base_url: String,
    ops_url: String,
    admin_url: String,
    fleet_addr: String,
    #[serde(default)]
    client_token: Option<String>,
    admin_token_file: PathBuf,
    pid: u32,
}

/// What one command of the CLI did.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; `None` if a signal ended it or it took longer than a minute.
    pub code: Option<i32>,
    /// All that it wrote there.
    pub stdout: String,
    /// All that it wrote there.
    pub stderr: String,
}

impl Keyway {
    /// One that is still to be started.
    pub fn up() -> Up {
        Up::default()
    }

    /// Where callers send their requests, without `/v1` and without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        let url = self.facts.base_url.trim_end_matches('/');
        url.strip_suffix("/v1").unwrap_or(url)
    }

    /// Where `/healthz`, `/readyz`, `/metrics` and `/snapshot` are.
    #[must_use]
    pub fn ops_url(&self) -> &str {
        self.facts.ops_url.trim_end_matches('/')
    }

    /// Where the admin API is.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        self.facts.admin_url.trim_end_matches('/')
    }

    /// `HOST:PORT` of the fleet stream.
    #[must_use]
    pub fn fleet_addr(&self) -> &str {
        &self.facts.fleet_addr
    }

    /// The first client's token; empty if there is none.
    #[must_use]
    pub fn client_token(&self) -> &str {
        self.facts.client_token.as_deref().unwrap_or_default()
    }

    /// The admin token, read from its file.
    pub fn admin_token(&self) -> std::io::Result<String> {
        Ok(std::fs::read_to_string(&self.facts.admin_token_file)?.trim().to_owned())
    }

    /// The id that the ready file names.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.facts.pid
    }

    /// Its folder: keyway.yaml, the ready file and, in `home`, its state.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process, to signal it or to read what it wrote.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// All that it wrote so far, for a failure's message.
    #[must_use]
    pub fn log(&self) -> String {
        format!("--- stdout\n{}\n--- stderr\n{}", self.process.stdout(), self.process.stderr())
    }

    /// Writes a file into its folder and gives the path.
    pub fn write(&self, name: &str, content: &str) -> std::io::Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    /// Runs `keyway ARGS` against it, as an operator who has the admin token.
    pub fn cli(&self, args: &[&str]) -> Result<Ran, StartError> {
        self.cli_with(args, &[])
    }

    /// As `cli`, with further variables in its environment, which holds secrets for `--from-env`.
    pub fn cli_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Result<Ran, StartError> {
        Ran::of(self.begin(args, variables)?)
    }

    /// Starts `keyway ARGS` as `cli_with` does, and does not wait for it.
    pub fn begin(&self, args: &[&str], variables: &[(&str, &str)]) -> Result<Process, StartError> {
        begin(self.folder.path(), self.admin_url(), &self.facts.admin_token_file, (args, variables))
    }
}

impl Ran {
    /// What a command came to, once it has ended.
    pub fn of(mut process: Process) -> Result<Self, StartError> {
        let status = process.wait(CLI_LIMIT).map_err(StartError::system("keyway"))?;
        Ok(Self {
            code: status.and_then(|status| status.code()),
            stdout: process.stdout(),
            stderr: process.stderr(),
        })
    }
}

impl fmt::Debug for Keyway {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Keyway").field("base_url", &self.facts.base_url).finish_non_exhaustive()
    }
}

impl Facts {
    /// `None` until the whole file is there.
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

/// Starts `keyway ARGS` in `folder` against an admin API.
pub(super) fn begin(
    folder: &Path,
    url: &str,
    token_file: &Path,
    (args, variables): (&[&str], &[(&str, &str)]),
) -> Result<Process, StartError> {
    let token = std::fs::read_to_string(token_file).map_err(StartError::system("admin token"))?;
    let mut command = clean(&binary("keyway")?, folder);
    command.args(args).env("KEYWAY_SERVER", url).env("KEYWAY_ADMIN_TOKEN", token.trim());
    command.envs(variables.iter().copied());
    Process::start("keyway", &mut command)
}

/// A command in `folder` that inherits nothing but PATH.
pub(super) fn clean(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", search_path())
        .env("HOME", folder)
        .env("NO_COLOR", "1")
        .env("KEYWAY_HOME", folder.join("home"))
        .current_dir(folder);
    command
}
