//! Somebody who uses the admin API and the command line, and keeps all that they see.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyway_testkit::caller::{Answer, Caller};
use keyway_testkit::process::{Ran, binary};

use super::{Evidence, Marker};
use crate::gateway::Outcome;

/// What a change of a key may take, and how often it is looked whether it is over.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// With a folder to run in, a control plane, and a token.
#[derive(Debug)]
pub struct Operator {
    /// What the places of the evidence begin with.
    pub name: &'static str,
    /// Where files are named from.
    pub folder: PathBuf,
    /// Of the admin API.
    pub url: String,
    /// For it.
    pub token: String,
    /// Variables that every command gets.
    pub env: Vec<(String, String)>,
    /// All that was seen.
    pub evidence: Evidence,
}

// === impl Operator ===

impl Operator {
    /// Runs `keyway ARGS` with `stdin`, and keeps what it prints as `NAME/cli/ARGS`.
    pub fn cli(&mut self, args: &[&str], stdin: &str) -> Outcome<Ran> {
        let input = self.folder.join(".stdin");
        File::create(&input)?.write_all(stdin.as_bytes())?;
        let mut command = Command::new(binary("keyway")?);
        command.args(args).current_dir(&self.folder).env_clear().stdin(Stdio::from(File::open(&input)?));
        command.env("KEYWAY_SERVER", &self.url).env("KEYWAY_ADMIN_TOKEN", &self.token);
        command.env("HOME", &self.folder).env("KEYWAY_HOME", self.folder.join("operator"));
        command.envs(self.env.iter().cloned());
        let output = command.output()?;
        std::fs::remove_file(input)?;
        let place = format!("{}/cli/{}", self.name, args.join(" "));
        self.evidence.add(format!("{place} stdout"), output.stdout.clone());
        self.evidence.add(format!("{place} stderr"), output.stderr.clone());
        let text = |bytes: Vec<u8>| bytes.utf8_chunks().map(|chunk| chunk.valid()).collect::<String>();
        Ok(Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    /// As `cli`, and it must end well.
    pub fn cli_ok(&mut self, args: &[&str], stdin: &str) -> Outcome<String> {
        let ran = self.cli(args, stdin)?;
        if ran.code == Some(0) { Ok(ran.stdout) } else { Err(format!("keyway {args:?}: {ran:?}").into()) }
    }

    /// One call of the admin API; headers and body are kept as `NAME/api/METHOD PATH`.
    pub async fn call(&mut self, method: &str, path: &str, body: &str) -> Outcome<Answer> {
        let token = self.token.clone();
        self.call_as(&token, method, path, body).await
    }

    /// As `call`, once the key is no longer in a state that does not allow it.
    pub async fn call_in_turn(&mut self, method: &str, path: &str, body: &str) -> Outcome<Answer> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.call(method, path, body).await?;
            if answer.status != 409 || Instant::now() > end {
                return Ok(answer);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// As `call`, with another token.
    pub async fn call_as(&mut self, token: &str, method: &str, path: &str, body: &str) -> Outcome<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: keyway\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let to: SocketAddr = self.url.trim_start_matches("http://").parse()?;
        let answer = Caller::connect(to).await?.ask(request.as_bytes()).await?;
        let shown = path.split('?').next().unwrap_or_default();
        self.keep(&format!("api/{method} {shown}"), &answer);
        Ok(answer)
    }

    /// Keeps an answer as `NAME/PLACE`.
    pub fn keep(&mut self, place: &str, answer: &Answer) {
        let mut bytes = format!("{:?}\n", answer.headers).into_bytes();
        bytes.extend_from_slice(&answer.body);
        self.evidence.add(format!("{}/{place}", self.name), bytes);
    }

    /// A token that an answer showed, as a marker.
    pub fn token_in(name: &str, text: &str) -> Outcome<Marker> {
        let mut found = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        let token = found.rfind(|word| word.starts_with("kw") && word.len() > 24);
        Ok(Marker::found(name, token.ok_or_else(|| format!("no token in the answer for {name}"))?.as_bytes()))
    }
}
