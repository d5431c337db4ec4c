//! Changes of a key's versions: each is one call, then as much waiting as was asked for, then the figures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use keyway_config::Span;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::{self, Instant};
use zeroize::Zeroizing;

use super::follow::Follow;
use super::name::Name;
use super::progress::Progress;
use super::view::{Step, View};
use super::wait::{Decision, Goal, limit};
use super::{Named, Stray};
use crate::args::Output;
use crate::command::secret::From;
use crate::failure::Failure;
use crate::home::write_private;
use crate::print::{self, moment};
use crate::server::{Server, segment};

/// A key that may be in wrong hands waits for its first report no longer than this.
const FIRST_REPORT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    rotate: Rotate,
    /// Share of the requests among the provider's keys [default: 1]
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    stray: Stray,
    #[command(flatten)]
    secret: From,
    /// Take the secret from the key's own source, at once: the file's `rotation.source` of the key, which says the rest too
    #[arg(long, conflicts_with_all = ["from_env", "from_file", "no_verify", "hold", "overlap", "ack_timeout"])]
    from_source: bool,
    /// Bring it into use without one real call to the provider first; the history says so
    #[arg(long)]
    no_verify: bool,
    /// Stop once it is verified; `keyway key promote` brings it into use
    #[arg(long)]
    hold: bool,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    named: Named,
    /// Which version [default: of promote the newest that waits, of rollback the one before]
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    named: Named,
    /// Which version [default: all that replicas hold]
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Let requests in flight on it finish; without this they are cut
    #[arg(long)]
    graceful: bool,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Compromise {
    #[command(flatten)]
    named: Named,
    /// Cut requests in flight on it; without this they finish
    #[arg(long)]
    cut: bool,
    /// From when on its use is listed: a time, a date, or so long ago like 7d [default: when the oldest version in use was taken in]
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// A replica that has not acknowledged after this is silent [default: the file's rotation.ack_timeout, else 2s]
    #[arg(long, value_parser = span, value_name = "SPAN")]
    ack_timeout: Option<Span>,
    /// How long requests in flight are waited for
    #[arg(long, value_parser = span, value_name = "SPAN", default_value = "60s")]
    timeout: Span,
    /// Where the signed evidence is written (0600) [default: PROVIDER-KEY-compromised-TIME.json here]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// How fast it goes.
#[derive(Debug, Args)]
struct Pace {
    /// How long the old versions stay as standby [default: the file's rotation.overlap, else 10m; of rollback 0]
    #[arg(long, value_parser = span, value_name = "SPAN")]
    overlap: Option<Span>,
    /// All replicas at once, or one first, then 10 %, 50 %, all, while it does not fail more often than the old one; else it is
    /// rolled back by itself [default: the file's rotation.strategy, else instant]
    #[arg(long, value_enum)]
    strategy: Option<Strategy>,
    /// How long each stage of `staged` is watched; up to three times as long where there are too few requests
    /// [default: the file's rotation.step_time, else 60s]
    #[arg(long, value_parser = span, value_name = "SPAN")]
    step_time: Option<Span>,
    /// Requests on the new version without which a stage of `staged` proves nothing
    /// [default: the file's rotation.step_requests, else 50]
    #[arg(long, value_name = "N")]
    step_requests: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Strategy {
    Instant,
    Staged,
}

/// How long the command stays.
#[derive(Debug, Args)]
struct Wait {
    /// Wait until the old versions are retired, replicas have acknowledged, or the change is in force; exit 5 names who does not confirm
    /// [default: committed, of revoke acked; --wait alone: retired]
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "retired", value_name = "FOR")]
    wait: Option<Goal>,
    /// A replica that has not acknowledged after this is silent [default: the file's rotation.ack_timeout, else 2s]
    #[arg(long, value_parser = span, value_name = "SPAN")]
    ack_timeout: Option<Span>,
    /// What --wait allows beyond overlap and --ack-timeout, for requests in flight to end
    #[arg(long, value_parser = span, value_name = "SPAN", default_value = "60s")]
    timeout: Span,
    /// Write the evidence, signed by the control plane, into this file (0600) at the end
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "give a time like 250ms, 60s, 10m or 24h".to_owned())
}

pub(super) async fn add(server: &Server, output: Output, add: Add) -> Result<(), Failure> {
    let Add { rotate, weight } = add;
    rotate.stray.refuse()?;
    let name = Name::new(&rotate.named.name)?;
    if rotate.from_source {
        let why = "a key that is not there yet has no source; name it in the file with its `rotation` and apply that";
        return Err(Failure::Usage(why.into()));
    }
    let mut body = rotate.body(&name)?;
    set(&mut body, "weight", weight.map(|weight| json!(weight)));
    Change { server, output, name, wait: rotate.wait, goal: Goal::Committed }.make("", body).await
}

pub(super) async fn rotate(server: &Server, output: Output, rotate: Rotate) -> Result<(), Failure> {
    rotate.stray.refuse()?;
    let name = Name::find(server, &rotate.named.name).await?;
    let (verb, body) =
        if rotate.from_source { ("/fetch", Map::new()) } else { ("/rotate", rotate.body(&name)?) };
    Change { server, output, name, wait: rotate.wait, goal: Goal::Committed }.make(verb, body).await
}

pub(super) async fn promote(
    server: &Server,
    output: Output,
    verb: &str,
    promote: Promote,
) -> Result<(), Failure> {
    let name = Name::find(server, &promote.named.name).await?;
    let mut body = promote.pace.body(&promote.wait);
    set(&mut body, "version", promote.version.map(|version| json!(version)));
    let change = Change { server, output, name, wait: promote.wait, goal: Goal::Committed };
    change.make(&format!("/{verb}"), body).await
}

pub(super) async fn revoke(server: &Server, output: Output, revoke: Revoke) -> Result<(), Failure> {
    let name = Name::find(server, &revoke.named.name).await?;
    let mut body = Map::new();
    set(&mut body, "version", revoke.version.map(|version| json!(version)));
    set(&mut body, "graceful", revoke.graceful.then(|| json!(true)));
    set(&mut body, "ack_timeout", revoke.wait.ack_timeout.map(|span| json!(span.to_string())));
    // Whoever revokes wants to know that no replica uses it any more.
    Change { server, output, name, wait: revoke.wait, goal: Goal::Acked }.make("/revoke", body).await
}

/// The drill: everything out of use, all replicas asked, and one file that says who used it for what. The file is written
/// whatever the wait comes to.
pub(super) async fn compromise(
    server: &Server,
    output: Output,
    compromise: Compromise,
) -> Result<(), Failure> {
    let Compromise { named, cut, since, ack_timeout, timeout, report } = compromise;
    let name = Name::find(server, &named.name).await?;
    let mut body = Map::new();
    set(&mut body, "cut", cut.then(|| json!(true)));
    set(&mut body, "ack_timeout", ack_timeout.map(|span| json!(span.to_string())));
    // Without a server that takes the question, nothing else is done: it is asked first.
    let since = since.map_or_else(String::new, |since| format!("?since={}", segment(&since)));
    let exposure = name.path(&format!("/exposure{since}"));
    ask_first(server, &exposure).await?;
    let wait = Wait { wait: Some(Goal::Retired), ack_timeout, timeout, report: None };
    let change = Change { server, output, name: name.clone(), wait, goal: Goal::Retired };
    let ended = change.make("/compromise", body).await;
    let (evidence, exposed) = match server.get(&exposure).await {
        Ok(evidence) => (Ok(evidence), Ok(())),
        // What was done is proven all the same.
        Err(failure) => (server.get(&name.path("/report")).await, Err(failure)),
    };
    let written = evidence.and_then(|evidence| {
        let file = report.unwrap_or_else(|| {
            let at = moment(made(&evidence)).replace(':', "");
            PathBuf::from(format!("{}-compromised-{at}.json", name.as_file()))
        });
        write(&file, &evidence)
    });
    first_of([ended, exposed, written])
}

/// Whether the question about the key's use is one, as far as that is told in time. What keeps the report from being made
/// keeps no key in use.
async fn ask_first(server: &Server, exposure: &str) -> Result<(), Failure> {
    let why = match time::timeout(FIRST_REPORT, server.get(exposure)).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(failure @ (Failure::Usage(_) | Failure::Answered { status: StatusCode::NOT_FOUND, .. }))) => {
            return Err(failure);
        }
        Ok(Err(failure)) => failure.to_string(),
        Err(_) => format!("no answer within {} s", FIRST_REPORT.as_secs()),
    };
    print::note(&format!("the report cannot be made now: {why}; the key is taken out of use all the same"));
    Ok(())
}

/// The first failure; those behind it are only said.
fn first_of(all: [Result<(), Failure>; 3]) -> Result<(), Failure> {
    let mut failures = all.into_iter().filter_map(Result::err);
    let first = failures.next();
    failures.for_each(|failure| print::failure(&failure));
    first.map_or(Ok(()), Err)
}

/// When a report was made, milliseconds since 1970.
fn made(report: &Value) -> u64 {
    let text = report.get("evidence").and_then(Value::as_str).unwrap_or_default();
    let evidence: Option<Value> = serde_json::from_str(text).ok();
    evidence.and_then(|evidence| evidence.get("at")?.as_u64()).unwrap_or_default()
}

/// Writes what proves the newest change, signed.
pub(super) async fn report(server: &Server, name: &Name, file: &Path) -> Result<(), Failure> {
    write(file, &server.get(&name.path("/report")).await?)
}

fn write(file: &Path, report: &Value) -> Result<(), Failure> {
    write_private(file, &format!("{report}\n"))?;
    print::note(&format!("The signed report is in {}.", file.display()));
    Ok(())
}

/// One change that is to be made and followed.
struct Change<'a> {
    server: &'a Server,
    output: Output,
    name: Name,
    wait: Wait,
    /// Without --wait.
    goal: Goal,
}

// === impl Change ===

impl Change<'_> {
    async fn make(self, verb: &str, body: Map<String, Value>) -> Result<(), Failure> {
        let Self { server, output, name, wait, goal } = self;
        let first = server.post(&name.path(verb), &Value::Object(body)).await?;
        let goal = wait.wait.unwrap_or(goal);
        let mut progress = Progress::new(output, wait.wait.is_some_and(|goal| goal != Goal::Committed));
        let timeout = Duration::from_millis(wait.timeout.millis());
        let deadline = Instant::now() + limit(&View::read(&first)?, goal, timeout);
        let follow = Follow { server, name: &name, goal, deadline, events: None };
        let (last, decision) = follow.run(first, &mut progress).await?;
        let view = View::read(&last)?;
        progress.ended(output, &last, &view);
        if output == Output::Table && decision == Decision::Done {
            print::note(&next(&view));
        }
        if let Some(file) = &wait.report {
            report(server, &name, file).await?;
        }
        decision.end(&view, goal)
    }
}

/// What there is to know or to do now.
fn next(view: &View) -> String {
    let key = &view.key;
    let version = view.version.unwrap_or_default();
    match view.outcome.as_str() {
        "verified" => format!(
            "Version {version} of {key} waits; to bring it into use: keyway key promote {key} --version {version}"
        ),
        "running" if view.step == Step::Trial => {
            format!(
                "Version {version} of {key} is tried on some replicas; watch it with: keyway key show {key}"
            )
        }
        "running" => format!("It goes on by itself; watch it with: keyway key show {key}"),
        "revoked" => format!("No replica uses what was revoked of {key}."),
        _ => format!("Version {version} of {key} is in use."),
    }
}

// === impl Rotate ===

impl Rotate {
    fn body(&self, name: &Name) -> Result<Map<String, Value>, Failure> {
        let mut body = self.pace.body(&self.wait);
        set(&mut body, "verify", self.no_verify.then(|| json!(false)));
        set(&mut body, "hold", self.hold.then(|| json!(true)));
        let secret: Zeroizing<String> = self.secret.read(&format!("new secret of {name}"))?;
        set(&mut body, "secret", Some(json!(secret.as_str())));
        Ok(body)
    }
}

// === impl Pace ===

impl Pace {
    fn body(&self, wait: &Wait) -> Map<String, Value> {
        let mut body = Map::new();
        let strategy = self.strategy.map(|strategy| match strategy {
            Strategy::Instant => json!("instant"),
            Strategy::Staged => json!("staged"),
        });
        set(&mut body, "strategy", strategy);
        set(&mut body, "step_time", self.step_time.map(|span| json!(span.to_string())));
        set(&mut body, "step_requests", self.step_requests.map(|count| json!(count)));
        set(&mut body, "overlap", self.overlap.map(|span| json!(span.to_string())));
        set(&mut body, "ack_timeout", wait.ack_timeout.map(|span| json!(span.to_string())));
        body
    }
}

fn set(body: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value);
    }
}
