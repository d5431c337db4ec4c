//! `keyway operator …`: who uses the admin API.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{done, show_token};
use super::join_token::until;
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    /// Every operator
    List,
    /// One operator
    Show {
        /// Its name
        name: String,
    },
    /// Make an operator; its token is the only thing on stdout and is never shown again
    Create(Create),
    /// Give an operator a new token; the old one ends at once
    Rotate {
        /// Its name
        name: String,
        #[command(flatten)]
        lasting: Lasting,
    },
    /// Refuse an operator's token until it is enabled again
    Disable {
        /// Its name
        name: String,
    },
    /// Take a disabled operator's token again
    Enable {
        /// Its name
        name: String,
    },
    /// Delete an operator; its token ends at once
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Lowercase letters, digits, '.', '_', '-'
    name: String,
    /// What it may, comma-separated or repeated: config:read, config:write, keys:read, keys:write, secrets:write, nodes:read, nodes:write, audit:read, backup:create, backup:restore, operators:read, operators:write, usage:read; admin is all, viewer all that only reads
    #[arg(long = "scope", required = true, value_delimiter = ',', value_name = "S")]
    scopes: Vec<String>,
    /// Bind it to the clients of this team
    #[arg(long)]
    team: Option<String>,
    #[command(flatten)]
    lasting: Lasting,
}

/// How long a token lasts.
#[derive(Debug, Args)]
pub(crate) struct Lasting {
    /// A span like 90d, a day like 2027-01-31, or never [default: 90d, or as long as your own]
    #[arg(long, value_name = "WHEN", value_parser = until_or_never)]
    expires: Option<String>,
}

fn until_or_never(text: &str) -> Result<String, String> {
    if text == "never" {
        Ok(text.to_owned())
    } else {
        until(text).map_err(|wanted| format!("{wanted}, or never"))
    }
}

pub(crate) async fn run(server: &Server, output: Output, verb: Operator) -> Result<(), Failure> {
    match verb {
        Operator::List => print::result(output, &server.get("/operators").await?, table),
        Operator::Show { name } => print::result(output, &server.get(&path(&name)).await?, print::fields),
        Operator::Create(create) => make(server, output, create).await?,
        Operator::Rotate { name, lasting } => {
            let body = with(json!({}), "expires", lasting.expires);
            let answer = server.post(&format!("{}/rotate", path(&name)), &body).await?;
            let note =
                format!("Operator {name} has a new token; the old one is refused. It is shown only now.");
            show_token(output, &answer, &note);
        }
        Operator::Disable { name } => {
            let answer = server.post(&format!("{}/disable", path(&name)), &json!({})).await?;
            done(output, &answer, &format!("Operator {name} is disabled."));
        }
        Operator::Enable { name } => {
            let answer = server.post(&format!("{}/enable", path(&name)), &json!({})).await?;
            done(output, &answer, &format!("Operator {name} is enabled."));
        }
        Operator::Delete { name } => {
            let answer = server.delete(&path(&name)).await?;
            done(output, &answer, &format!("Operator {name} is deleted."));
        }
    }
    Ok(())
}

async fn make(server: &Server, output: Output, create: Create) -> Result<(), Failure> {
    let Create { name, scopes, team, lasting } = create;
    let body = with(json!({ "name": name, "scopes": scopes }), "team", team);
    let answer = server.post("/operators", &with(body, "expires", lasting.expires)).await?;
    let expires = cell(&answer, "expires");
    let note = match expires.as_str() {
        "never" => format!("Operator {name} is made, without end. Its token is shown only now."),
        until => format!("Operator {name} is made, until {until}. Its token is shown only now."),
    };
    show_token(output, &answer, &note);
    Ok(())
}

fn with(mut body: Value, field: &str, value: Option<String>) -> Value {
    if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
        fields.insert(field.to_owned(), Value::from(value));
    }
    body
}

fn path(name: &str) -> String {
    format!("/operators/{}", segment(name))
}

fn table(operators: &Value) -> Table {
    let headings = &["NAME", "STATE", "TEAM", "SCOPES", "EXPIRES", "LAST USED"];
    let empty = "no operators but the first token; make one with `keyway operator create NAME --scope S`";
    let mut table = Table::new(headings, empty);
    for one in print::list(operators) {
        table.row(["name", "state", "team", "scopes", "expires", "last_used"].map(|field| cell(one, field)));
    }
    table
}
