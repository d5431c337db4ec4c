//! `keyway provider …`: places that serve models.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::done;
use super::secret::From;
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

#[derive(Debug, Subcommand)]
pub(crate) enum Provider {
    /// Every configured provider; with --catalog every one that Keyway knows
    List {
        /// List the catalogue instead
        #[arg(long)]
        catalog: bool,
    },
    /// One provider: configured, or as the catalogue knows it
    Show {
        /// Its name
        name: String,
    },
    /// Add a provider or replace one; the key is read from stdin, --from-env or --from-file
    Add(Box<Add>),
    /// Send one small request with each key and show what came of it
    Test {
        /// Its name
        name: String,
    },
    /// Delete a provider
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// A name of the catalogue (`keyway provider list --catalog`), or any with --dialect and --base-url
    name: String,
    /// openai-chat, openai-responses, anthropic-messages, gemini, bedrock-converse or cohere-chat
    #[arg(long)]
    dialect: Option<String>,
    /// With or without its version segment
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Region, where the provider has one
    #[arg(long)]
    region: Option<String>,
    /// Send no key
    #[arg(long, conflicts_with_all = ["from_env", "from_file"])]
    no_key: bool,
    /// Allow addresses of private networks, whatever the host is called
    #[arg(long)]
    private: bool,
    #[command(flatten)]
    key: From,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Provider) -> Result<(), Failure> {
    match verb {
        Provider::List { catalog: false } => print::result(output, &server.get("/providers").await?, table),
        Provider::List { catalog: true } => {
            print::result(output, &server.get("/catalog/providers").await?, catalog_table);
        }
        Provider::Show { name } => shown(output, &show(server, &name).await?),
        Provider::Add(add) => {
            let answer = server.put(&path(&add.name), &body(&add)?).await?;
            done(output, &answer, &format!("Provider {} is set; try it: keyway provider test {0}", add.name));
        }
        Provider::Test { name } => return test(server, output, &name).await,
        Provider::Delete { name } => {
            let answer = server.delete(&path(&name)).await?;
            done(output, &answer, &format!("Provider {name} is deleted."));
        }
    }
    Ok(())
}

/// The configured one, else the catalogue's row.
async fn show(server: &Server, name: &str) -> Result<Value, Failure> {
    match server.get(&path(name)).await {
        Err(Failure::Answered { status, message }) if status == reqwest::StatusCode::NOT_FOUND => {
            let row = server.get(&format!("/catalog/providers/{}", segment(name))).await;
            row.map_err(|_| Failure::Answered { status, message })
        }
        other => other,
    }
}

/// Its fields, and its keys below them.
fn shown(output: Output, provider: &Value) {
    if output == Output::Json {
        return print::json(provider);
    }
    let mut rest = provider.clone();
    let mut take = |field| rest.as_object_mut().and_then(|fields| fields.shift_remove(field));
    let (keys, limits) = (take("keys"), take("limits"));
    let quirks = quirks(&mut rest);
    print::line(&print::fields(&rest).fitted());
    quirk_table(&quirks);
    if let Some(keys) = keys {
        print::line("");
        print::line(&key_table(&keys).fitted());
    }
    if let Some(limits) = limits.as_ref().and_then(print::limits) {
        print::line("");
        print::line(&limits.fitted());
    }
}

/// Takes out what is done differently, by dialect: of a configured provider it stands with each surface.
fn quirks(provider: &mut Value) -> Map<String, Value> {
    let lists = |all: &Map<String, Value>| !all.is_empty() && all.values().all(Value::is_array);
    let is_row = |quirks: &Value| quirks.as_object().is_some_and(lists);
    if provider.get("quirks").is_some_and(is_row) {
        let row = provider.as_object_mut().and_then(|fields| fields.shift_remove("quirks"));
        return row.and_then(|row| row.as_object().cloned()).unwrap_or_default();
    }
    let surfaces = provider.get_mut("surfaces").and_then(Value::as_array_mut);
    let taken = surfaces.into_iter().flatten().filter_map(|surface| {
        let quirks = surface.as_object_mut()?.shift_remove("quirks")?;
        Some((cell(surface, "dialect"), quirks))
    });
    taken.collect()
}

/// What is done differently, by dialect; nothing where nothing is.
pub(super) fn quirk_table(by_dialect: &Map<String, Value>) {
    if by_dialect.is_empty() {
        return;
    }
    let mut table = Table::new(&["DIALECT", "QUIRKS"], "none");
    for dialect in by_dialect.keys() {
        let held = by_dialect.get(dialect).map(print::list).into_iter().flatten();
        let held: Vec<&str> = held.filter_map(Value::as_str).collect();
        table.row([dialect.clone(), held.join("; ")]);
    }
    print::line("");
    print::line(&table.fitted());
}

fn body(add: &Add) -> Result<Value, Failure> {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.into(), value);
        }
    };
    set("dialect", add.dialect.as_ref().map(|dialect| json!(dialect)));
    set("base_url", add.base_url.as_ref().map(|url| json!(url)));
    set("region", add.region.as_ref().map(|region| json!(region)));
    set("network", add.private.then(|| json!("private")));
    if add.no_key {
        set("auth", Some(json!("none")));
    } else {
        set("api_key", Some(json!(add.key.read(&format!("key of {}", add.name))?.as_str())));
    }
    Ok(Value::Object(fields))
}

async fn test(server: &Server, output: Output, name: &str) -> Result<(), Failure> {
    let answer = server.post(&format!("{}/test", path(name)), &json!({})).await?;
    print::result(output, &answer, |answer| {
        let mut table = Table::new(
            &["KEY", "VERSION", "RESULT", "STATUS", "LATENCY", "REASON"],
            "this provider has no key to test",
        );
        for key in print::list(answer) {
            let latency = key
                .get("latency_ms")
                .and_then(Value::as_f64)
                .map_or_else(|| "-".into(), |ms| format!("{ms:.0} ms"));
            let result = match cell(key, "verdict").as_str() {
                "verified" => "ok".to_owned(),
                other => other.to_owned(),
            };
            table.row([
                cell(key, "key"),
                cell(key, "version"),
                result,
                cell(key, "status"),
                latency,
                cell(key, "reason"),
            ]);
        }
        table
    });
    if print::list(&answer).all(is_ok) {
        return Ok(());
    }
    Err(Failure::Other(format!("not every key of {name} is proven to work; see the results above")))
}

fn is_ok(key: &Value) -> bool {
    key.get("ok") == Some(&Value::Bool(true))
}

fn path(name: &str) -> String {
    format!("/providers/{}", segment(name))
}

fn table(providers: &Value) -> Table {
    let empty = "no providers but the built-in sandbox; add one with `keyway provider add NAME`";
    let mut table = Table::new(&["NAME", "DIALECT", "BASE URL", "KEYS"], empty);
    for provider in print::list(providers) {
        table.row([
            cell(provider, "name"),
            cell(provider, "dialect"),
            cell(provider, "base_url"),
            keys(provider),
        ]);
    }
    table
}

fn key_table(keys: &Value) -> Table {
    let headings = &["KEY", "QUOTA", "WEIGHT", "VERSION", "STATE", "SECRET", "FINGERPRINT"];
    let mut table = Table::new(headings, "no keys; give it one with `keyway provider add NAME`");
    for key in print::list(keys) {
        for version in key.get("versions").map(print::list).into_iter().flatten() {
            let of_version = |field| cell(version, field);
            let version =
                [of_version("version"), of_version("state"), of_version("secret"), of_version("fingerprint")];
            table.row(["name", "quota", "weight"].map(|field| cell(key, field)).into_iter().chain(version));
        }
    }
    table
}

/// Names of the keys; what else is known of them is in `show`.
fn keys(provider: &Value) -> String {
    let keys = provider.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<String> =
        keys.iter().map(|key| key.as_str().map_or_else(|| cell(key, "name"), str::to_owned)).collect();
    if names.is_empty() { "-".into() } else { names.join(", ") }
}

fn catalog_table(rows: &Value) -> Table {
    let mut table = Table::new(&["NAME", "DIALECT", "BASE URL", "KEY FROM"], "the catalogue is empty");
    for row in print::list(rows) {
        table.row([cell(row, "id"), cell(row, "dialect"), cell(row, "base_url"), cell(row, "env")]);
    }
    table
}
