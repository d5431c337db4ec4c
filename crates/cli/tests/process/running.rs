//! A running `keyway up` with a home of its own, and the command line against it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take on a machine that may be busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The program under test, with nothing of this process's environment.
pub(crate) fn keyway(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyway"));
    command.env_clear().env("KEYWAY_HOME", home).env("PATH", "/usr/bin:/bin");
    command
}

/// Waits until `found` gives something.
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What one command did.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A running `keyway up`; killed when dropped.
pub(crate) struct Up {
    pub(crate) process: Child,
    pub(crate) facts: Value,
    pub(crate) home: PathBuf,
    folder: tempfile::TempDir,
}

impl Up {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), arguments)
    }

    pub(crate) fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let (home, ready) = (folder.path().join("home"), folder.path().join("ready.json"));
        let mut command = keyway(&home);
        command.arg("up").arg("--ready-file").arg(&ready);
        for port in ["--listen", "--ops-listen", "--admin-listen", "--fleet-listen"] {
            command.args([port, "0"]);
        }
        let log = |name| Stdio::from(fs::File::create(folder.path().join(name)).expect("a log"));
        let process = command.args(arguments).stdout(log("out")).stderr(log("err")).spawn().expect("starts");
        let mut up = Self { process, facts: Value::Null, home, folder };
        let read = |up: &mut Self| {
            let ended = up.process.try_wait().expect("a child");
            assert!(ended.is_none(), "ended with {ended:?}: {}", up.text("err"));
            serde_json::from_slice(&fs::read(&ready).ok()?).ok()
        };
        up.facts = until("the ready file", || read(&mut up));
        up
    }

    /// A fact of the ready file.
    pub(crate) fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().expect("a fact")
    }

    /// `out` or `err` so far.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect("a log")
    }

    /// A file beside the home.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    /// Runs a verb as someone on this machine would, with `input` on stdin and further variables.
    pub(crate) fn with(&self, variables: &[(&str, &str)], input: &str, arguments: &[&str]) -> Ran {
        let mut command = keyway(&self.home);
        command.env("KEYWAY_SERVER", self.fact("admin_url")).envs(variables.iter().copied()).args(arguments);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A verb that reads nothing may have closed it already.
        let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("ends").into()
    }

    /// Runs a verb.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.with(&[], "", arguments)
    }

    /// Runs a verb that must succeed and gives its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        serde_json::from_str(&ran.stdout).expect("JSON")
    }

    /// Signals it and waits; gives the exit code, and the folder for another start.
    pub(crate) fn stop(mut self, signal: &str) -> (Option<i32>, tempfile::TempDir) {
        self.signal(signal);
        let status = until("the end", || self.process.try_wait().expect("a child"));
        let code = status.code();
        assert!(code.is_some(), "{status}: {}", self.text("err"));
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"));
        (code, folder)
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(signal, u64::from(self.process.id()));
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn kill(signal: &str, pid: u64) {
    let sent = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().expect("kill");
    assert!(sent.success(), "{pid}");
}
