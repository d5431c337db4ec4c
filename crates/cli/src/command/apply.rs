//! `apply`, `diff` and `export`: the whole configuration at once.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use keyway_config::{FILE_LIMIT, File, Loaded, Model, Provider, Team, inspect, wire};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use crate::args::Output;
use crate::environment::variable;
use crate::failure::Failure;
use crate::print;
use crate::server::Server;

/// Bytes that are read of a file: one more than the loader takes, so that it says so and nothing is cut off unseen.
const READ_LIMIT: u64 = FILE_LIMIT as u64 + 1;
/// Between two looks at the replicas while waiting for them.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Which file.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The file; - reads stdin
    #[arg(short, long, env = "KEYWAY_FILE", value_name = "F")]
    file: PathBuf,
    /// Also delete what an earlier apply made and this file no longer holds
    #[arg(long)]
    prune: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    source: Source,
    /// Wait until every replica serves it; exit 5 if one does not in time
    #[arg(long)]
    wait: bool,
    /// How long --wait waits, in seconds
    #[arg(long, env = "KEYWAY_TIMEOUT", value_name = "S", default_value_t = 10)]
    timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    source: Source,
}

pub(crate) async fn apply(server: &Server, output: Output, verb: Apply) -> Result<(), Failure> {
    let answer = send(server, "/apply", &verb.source).await?;
    if output == Output::Json && !verb.wait {
        print::json(&answer);
        return Ok(());
    }
    let version = answer.get("version").and_then(Value::as_str).unwrap_or_default().to_owned();
    if output == Output::Table {
        changes(&answer);
        tokens(&answer);
        print::note(&format!("In effect as snapshot {version}."));
    }
    if !verb.wait {
        return Ok(());
    }
    let mut seen = Seen::default();
    let ended = wait(server, &version, Duration::from_secs(verb.timeout), &mut seen).await;
    // However the wait ended: the answer may hold tokens that are shown only now.
    match output {
        Output::Table => seen.note(ended.is_ok()),
        Output::Json => print::json(&seen.beside(answer)),
    }
    ended
}

pub(crate) async fn diff(server: &Server, output: Output, verb: Diff) -> Result<(), Failure> {
    let answer = send(server, "/diff", &verb.source).await?;
    match output {
        Output::Json => print::json(&answer),
        Output::Table => changes(&answer),
    }
    Ok(())
}

pub(crate) async fn export(server: &Server, output: Output) -> Result<(), Failure> {
    let file = server.get("/export").await?;
    match output {
        Output::Json => print::json(&file),
        Output::Table => print::line(print::yaml(&file).trim_end()),
    }
    Ok(())
}

/// Reads and checks the file, sends it, and leads the API's objections back to lines of the file.
async fn send(server: &Server, path: &str, source: &Source) -> Result<Value, Failure> {
    let (text, name) = read(&source.file)?;
    if source.prune && is_blank(&text) {
        // A pipe whose beginning failed is empty too.
        return Err(Failure::Other(format!(
            "{name} holds nothing, and --prune would delete all that files made; write {{}} into it if that is meant"
        )));
    }
    let Loaded { mut file, warnings, places } = match inspect(&text, &name, variable) {
        Ok(loaded) => loaded,
        Err(faulty) => {
            let problems = match present(server).await {
                Ok(present) => faulty.referring(present),
                // Without a control plane to ask, what stands in the file itself is wrong all the same.
                Err(_) => faulty.problems,
            };
            return Err(Failure::Problems(problems));
        }
    };
    for warning in &warnings {
        print::note(&format!("warning: {warning}"));
    }
    // Of the process that `keyway up` starts, not of what it serves.
    file.server = None;
    let file = wire(&file).ok_or_else(|| Failure::Other(format!("{name} cannot be written as JSON")))?;
    let body = json!({ "file": file, "prune": source.prune, "origin": name });
    let answer = server.post(path, &body).await.map_err(|failure| match failure {
        Failure::Problems(problems) => {
            Failure::Problems(problems.into_iter().map(|problem| places.locate(problem)).collect())
        }
        other => other,
    })?;
    print::warnings(&answer, &warnings, |warning| places.locate(warning));
    Ok(answer)
}

fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

/// The names that a file may refer to because the control plane has them.
async fn present(server: &Server) -> Result<File, Failure> {
    let (providers, models, teams) =
        (server.get("/providers").await?, server.get("/models").await?, server.get("/teams").await?);
    let names = |all: &Value| print::list(all).map(|one| print::cell(one, "name")).collect::<Vec<_>>();
    Ok(File {
        providers: names(&providers).into_iter().map(|name| (name, Provider::default())).collect(),
        models: names(&models).into_iter().map(|name| (name, Model::default())).collect(),
        teams: names(&teams).into_iter().map(|name| (name, Team::default())).collect(),
        ..File::default()
    })
}

/// The text and the name that problems are shown with; `-` is stdin.
pub(super) fn read(path: &Path) -> Result<(String, String), Failure> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        let read = io::stdin().lock().take(READ_LIMIT).read_to_string(&mut text);
        read.map_err(|error| Failure::read("stdin", error))?;
        return Ok((text, "stdin".into()));
    }
    let file = fs::File::open(path).map_err(|error| Failure::read(path, error))?;
    file.take(READ_LIMIT).read_to_string(&mut text).map_err(|error| Failure::read(path, error))?;
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.display().to_string());
    Ok((text, name))
}

/// `+ provider openai`, one a line.
fn changes(answer: &Value) {
    let changes: Vec<&Value> = answer.get("changes").map(print::list).into_iter().flatten().collect();
    if changes.is_empty() {
        print::line("no changes");
    }
    for change in changes {
        let sign = match print::cell(change, "op").as_str() {
            "create" => '+',
            "delete" => '-',
            _ => '~',
        };
        print::line(&format!("{sign} {} {}", print::cell(change, "kind"), print::cell(change, "name")));
    }
}

/// Tokens that were made for clients of the file without one. This is the only time they are seen.
fn tokens(answer: &Value) {
    for (client, token) in answer.get("tokens").and_then(Value::as_object).into_iter().flatten() {
        print::line(&format!(
            "token of client {client} (shown once): {}",
            token.as_str().unwrap_or_default()
        ));
    }
}

/// What the last look at the replicas showed.
#[derive(Debug, Default)]
struct Seen {
    /// How many serve the version; absent before the first look.
    replicas: Option<usize>,
    /// Those that are not waited for, because nothing is heard of them.
    lost: Vec<String>,
}

// === impl Seen ===

impl Seen {
    fn note(&self, well: bool) {
        if let (Some(replicas), true) = (self.replicas, well) {
            print::note(&format!("Served by {replicas} replica(s)."));
        }
        if !self.lost.is_empty() {
            let names = self.lost.join(", ");
            print::note(&format!("Not heard of: {names} (lost); what they serve is not known."));
        }
    }

    fn beside(&self, mut answer: Value) -> Value {
        if let (Some(fields), Some(replicas)) = (answer.as_object_mut(), self.replicas) {
            fields.insert("replicas".into(), json!(replicas));
            fields.insert("lost".into(), json!(self.lost));
        }
        answer
    }

    /// Takes in an answer about all replicas; gives those that have to serve `version` and do not yet.
    fn look(&mut self, fleet: &Value, version: &str) -> Vec<String> {
        let in_state = |state: &'static str| move |one: &&Value| print::cell(one, "state") == state;
        self.lost =
            print::list(fleet).filter(in_state("lost")).map(|replica| print::cell(replica, "id")).collect();
        // One that has ended or is ending takes nothing new.
        let goes_on = |one: &&Value| !in_state("lost")(one) && !in_state("draining")(one);
        let (there, late): (Vec<&Value>, Vec<&Value>) =
            print::list(fleet).filter(goes_on).partition(|replica| serves(replica, version));
        self.replicas = Some(there.len());
        late.into_iter().map(|replica| print::cell(replica, "id")).collect()
    }
}

/// Ends when every replica that is heard of serves `version` or a later one.
async fn wait(server: &Server, version: &str, limit: Duration, seen: &mut Seen) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let mut behind = vec!["no answer about replicas".to_owned()];
    loop {
        let answer = timeout_at(deadline, server.get("/fleet")).await;
        let Ok(answer) = answer else {
            let names = behind.join(", ");
            return Err(Failure::TimedOut(format!(
                "after {} s not every replica serves snapshot {version}: {names}",
                limit.as_secs()
            )));
        };
        behind = seen.look(&answer?, version);
        if behind.is_empty() {
            return Ok(());
        }
        if timeout_at(deadline, sleep(LOOK_EVERY)).await.is_err() {
            let names = behind.join(", ");
            return Err(Failure::TimedOut(format!(
                "after {} s these replicas do not serve snapshot {version}: {names}",
                limit.as_secs()
            )));
        }
    }
}

fn serves(replica: &Value, version: &str) -> bool {
    matches!((parts(&print::cell(replica, "snapshot")), parts(version)), (Some(served), Some(wanted)) if served >= wanted)
}

/// `epoch.counter`.
fn parts(version: &str) -> Option<(u64, u64)> {
    let (epoch, counter) = version.split_once('.')?;
    Some((epoch.parse().ok()?, counter.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_replicas_are_named_and_not_waited_for() {
        let replica =
            |id: &str, state: &str, snapshot: &str| json!({ "id": id, "state": state, "snapshot": snapshot });
        let fleet = json!([
            replica("a", "ready", "1.7"),
            replica("b", "lost", "1.5"),
            replica("c", "draining", "1.5"),
            replica("d", "ready", "1.6"),
        ]);
        let mut seen = Seen::default();
        assert_eq!(seen.beside(json!({ "version": "1.7" })), json!({ "version": "1.7" }));
        assert_eq!(seen.look(&fleet, "1.7"), ["d"]);
        assert_eq!(seen.beside(json!({})), json!({ "replicas": 1, "lost": ["b"] }));
        assert!(seen.look(&fleet, "1.6").is_empty());
        assert_eq!(seen.beside(json!({})), json!({ "replicas": 2, "lost": ["b"] }));
    }
}
