//! `keyway client …`: who calls the gateway.

use std::time::Duration;

use clap::{Args, Subcommand};
use keyway_config::Span;
use serde_json::{Value, json};

use super::secret::From;
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

/// Between two looks at a client that changes its token.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    /// Every client
    List,
    /// One client
    Show {
        /// Its name
        name: String,
    },
    /// Make a client; its token is the only thing on stdout and is never shown again
    Create(Create),
    /// Give a client a new token; the old one ends at once, or after --overlap
    Rotate(Rotate),
    /// Refuse a client's token until it is enabled again
    Disable {
        /// Its name
        name: String,
    },
    /// Take a disabled client's token again
    Enable {
        /// Its name
        name: String,
    },
    /// Delete a client; its token ends at once
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// Its name
    name: String,
    /// A new key pair for callers that sign with SigV4, in place of a token; the old pair ends at once
    #[arg(long, conflicts_with_all = ["overlap", "wait"])]
    sigv4: bool,
    /// Both tokens are valid until callers are seen on the new one alone, at most for so long: 24h
    #[arg(long, value_parser = span, value_name = "SPAN")]
    overlap: Option<Span>,
    /// The old one ends once it was not used for so long and the new one was [default: 10m, or a quarter of --overlap if that is shorter]
    #[arg(long, value_parser = span, value_name = "SPAN", requires = "overlap")]
    quiet: Option<Span>,
    /// Wait until the old token has ended; exit 5 names who used it to the last
    #[arg(long, requires = "overlap")]
    wait: bool,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "give a time like 60s, 10m or 24h".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Lowercase letters, digits, '.', '_', '-'
    name: String,
    /// What it may ask for: names or patterns, comma-separated or repeated [default: all]
    #[arg(long, value_delimiter = ',', value_name = "M")]
    models: Option<Vec<String>>,
    /// Its team
    #[arg(long)]
    team: Option<String>,
    /// Also make a key pair for callers that sign with SigV4 (boto3); it is shown after the token, once
    #[arg(long)]
    sigv4: bool,
    #[command(flatten)]
    token: From,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Client) -> Result<(), Failure> {
    match verb {
        Client::List => print::result(output, &server.get("/clients").await?, table),
        Client::Show { name } => print::result(output, &server.get(&path(&name)).await?, print::fields),
        Client::Create(create) => return make(server, output, create).await,
        Client::Rotate(Rotate { name, sigv4: true, .. }) => {
            let answer = server.post(&format!("{}/key-pair", path(&name)), &json!({})).await?;
            let note =
                format!("Client {name} has a new key pair; the old one is refused. It is shown only now.");
            match output {
                Output::Json => print::json(&answer),
                Output::Table => {
                    print::note(&note);
                    show_pair(&cell(&answer, "access_key_id"), &answer);
                }
            }
        }
        Client::Rotate(rotate) => return handover(server, output, rotate).await,
        Client::Disable { name } => {
            let answer = server.post(&format!("{}/disable", path(&name)), &json!({})).await?;
            done(output, &answer, &format!("Client {name} is disabled."));
        }
        Client::Enable { name } => {
            let answer = server.post(&format!("{}/enable", path(&name)), &json!({})).await?;
            done(output, &answer, &format!("Client {name} is enabled."));
        }
        Client::Delete { name } => {
            let answer = server.delete(&path(&name)).await?;
            done(output, &answer, &format!("Client {name} is deleted."));
        }
    }
    Ok(())
}

/// A new token, and as much waiting for the end of the old one as was asked for.
async fn handover(server: &Server, output: Output, rotate: Rotate) -> Result<(), Failure> {
    let Rotate { name, overlap, quiet, wait, .. } = rotate;
    let lasts = overlap.filter(|overlap| overlap.millis() > 0);
    if wait && lasts.is_none() {
        let why = "without an --overlap above 0 the old token ends at once: there is nothing to --wait for";
        return Err(Failure::Usage(why.into()));
    }
    let text = |span: Span| Value::String(span.to_string());
    let named = [("overlap", overlap.map(text)), ("quiet", quiet.map(text))];
    let body: serde_json::Map<String, Value> =
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let answer = server.post(&format!("{}/rotate", path(&name)), &Value::Object(body)).await?;
    let old = match lasts {
        Some(overlap) => {
            format!("is taken for {overlap} at most, until callers are seen on the new one alone")
        }
        None => "is refused".to_owned(),
    };
    show_token(
        output,
        &answer,
        &format!("Client {name} has a new token; the old one {old}. It is shown only now."),
    );
    if wait { handed_over(server, &name).await } else { Ok(()) }
}

/// Waits for the end of the old token.
async fn handed_over(server: &Server, name: &str) -> Result<(), Failure> {
    let mut first = First::default();
    loop {
        match server.get(&path(name)).await {
            Ok(client) => {
                if let Some(ended) = first.end(&client, name) {
                    return ended;
                }
            }
            // A control plane that is away for a while goes on where it was.
            Err(failure) if failure.is_passing() => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Which change of tokens is waited for: the first one that is seen.
#[derive(Debug, Default)]
struct First {
    begun: Option<Value>,
    /// A control plane that does not lead learns of a change a moment later.
    was_absent: bool,
}

// === impl First ===

impl First {
    /// How the change ended; `None` = it goes on.
    fn end(&mut self, client: &Value, name: &str) -> Option<Result<(), Failure>> {
        let Some(handover) = client.get("handover").filter(|handover| !handover.is_null()) else {
            let is_over = self.begun.is_some() || std::mem::replace(&mut self.was_absent, true);
            return is_over.then(|| Err(replaced(name)));
        };
        let begun = handover.get("begun").cloned().unwrap_or_default();
        if *self.begun.get_or_insert_with(|| begun.clone()) != begun {
            return Some(Err(replaced(name)));
        }
        let end = handover.get("ended").filter(|end| !end.is_null())?;
        if end.get("over") != Some(&Value::Bool(true)) {
            print::note(&format!("Callers of {name} use the new token alone; the old one has ended."));
            return Some(Ok(()));
        }
        let (last, from) = (cell(end, "last_use_old"), cell(end, "sources"));
        let last = last.parse().map_or_else(|_| "-".to_owned(), print::moment);
        Some(Err(Failure::TimedOut(format!(
            "the old token of {name} has ended by its time; it was last used {last}, from {from}"
        ))))
    }
}

fn replaced(name: &str) -> Failure {
    Failure::Other(format!(
        "another change of the token of {name} took the place of this one; see `keyway client show {name}`"
    ))
}

async fn make(server: &Server, output: Output, create: Create) -> Result<(), Failure> {
    let mut body = json!({ "name": create.name });
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
            fields.insert(name.into(), value);
        }
    };
    set("models", create.models.map(|models| json!(models)));
    set("team", create.team.map(|team| json!(team)));
    set("make_key_pair", create.sigv4.then_some(Value::Bool(true)));
    let own = create.token.is_named();
    if own {
        set("token", Some(json!(create.token.read("client token")?.as_str())));
    }
    let answer = server.post("/clients", &body).await?;
    match (own, output) {
        (true, Output::Table) => {
            print::note(&format!("Client {} is made, with the token you gave.", create.name))
        }
        _ => show_token(
            output,
            &answer,
            &format!("Client {} is made. Its token is shown only now.", create.name),
        ),
    }
    if let (true, Output::Table, Some(pair)) = (create.sigv4, output, answer.get("sigv4")) {
        print::note("Its key pair is shown only now.");
        show_pair(&cell(pair, "access_key_id"), &answer);
    }
    Ok(())
}

/// As AWS's own tools read it from the environment.
fn show_pair(access_key_id: &str, answer: &Value) {
    print::line(&format!("AWS_ACCESS_KEY_ID={access_key_id}"));
    print::line(&format!("AWS_SECRET_ACCESS_KEY={}", cell(answer, "secret_access_key")));
}

/// The token alone on stdout, so that `$(keyway client create x)` is the token.
pub(super) fn show_token(output: Output, answer: &Value, note: &str) {
    match output {
        Output::Json => print::json(answer),
        Output::Table => {
            print::note(note);
            print::line(answer.get("token").and_then(Value::as_str).unwrap_or_default());
        }
    }
}

/// For calls whose answer holds nothing that people look for.
pub(super) fn done(output: Output, answer: &Value, note: &str) {
    print::warnings(answer, &[], |warning| warning);
    match output {
        Output::Json => print::json(answer),
        Output::Table => print::note(note),
    }
}

fn path(name: &str) -> String {
    format!("/clients/{}", segment(name))
}

fn table(clients: &Value) -> Table {
    let mut table = Table::new(
        &["NAME", "TEAM", "MODELS", "STATE"],
        "no clients; make one with `keyway client create NAME`",
    );
    for client in print::list(clients) {
        let models = if client.get("models").is_none_or(Value::is_null) {
            "all".into()
        } else {
            cell(client, "models")
        };
        let state = match client.get("state") {
            Some(_) => cell(client, "state"),
            None if client.get("disabled") == Some(&Value::Bool(true)) => "disabled".into(),
            None => "enabled".into(),
        };
        table.row([cell(client, "name"), cell(client, "team"), models, state]);
    }
    table
}
