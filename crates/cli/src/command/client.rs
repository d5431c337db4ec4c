//! `keyway client …`: who calls the gateway.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::secret::From;
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

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
    /// Give a client a new token; the old one ends at once
    Rotate {
        /// Its name
        name: String,
    },
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
pub(crate) struct Create {
    /// Lowercase letters, digits, '.', '_', '-'
    name: String,
    /// What it may ask for: names or patterns, comma-separated or repeated [default: all]
    #[arg(long, value_delimiter = ',', value_name = "M")]
    models: Option<Vec<String>>,
    /// Its team
    #[arg(long)]
    team: Option<String>,
    #[command(flatten)]
    token: From,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Client) -> Result<(), Failure> {
    match verb {
        Client::List => print::result(output, &server.get("/clients").await?, table),
        Client::Show { name } => print::result(output, &server.get(&path(&name)).await?, print::fields),
        Client::Create(create) => return make(server, output, create).await,
        Client::Rotate { name } => {
            let answer = server.post(&format!("{}/rotate", path(&name)), &json!({})).await?;
            show_token(
                output,
                &answer,
                &format!("Client {name} has a new token; the old one is refused. It is shown only now."),
            );
        }
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

async fn make(server: &Server, output: Output, create: Create) -> Result<(), Failure> {
    let mut body = json!({ "name": create.name });
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
            fields.insert(name.into(), value);
        }
    };
    set("models", create.models.map(|models| json!(models)));
    set("team", create.team.map(|team| json!(team)));
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
    Ok(())
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
