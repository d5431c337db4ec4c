//! `keyway model …`: aliases of the configuration and models of the catalogue.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::done;
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Aliases; with --catalog, --provider or --search models that Keyway knows, with prices
    List(List),
    /// One alias with every target, its state and why; or a model of the catalogue
    Show {
        /// An alias, or PROVIDER/MODEL
        name: String,
    },
    /// What a model costs, in USD per million tokens
    Price {
        /// PROVIDER/MODEL
        name: String,
    },
    /// Add an alias or replace one
    Add(Add),
    /// Delete an alias
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// List the catalogue
    #[arg(long)]
    catalog: bool,
    /// Only this provider's models
    #[arg(long, value_name = "P")]
    provider: Option<String>,
    /// Only models whose name holds this
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Rows at most
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What callers will ask for
    name: String,
    /// PROVIDER/MODEL, or PROVIDER/MODEL=WEIGHT; repeat for several
    #[arg(long = "target", required = true, value_name = "T")]
    targets: Vec<String>,
    /// weighted, or priority: targets are tried in the order given
    #[arg(long)]
    strategy: Option<String>,
    /// Tried when every target failed; repeat for several
    #[arg(long, value_name = "NAME")]
    fallback: Vec<String>,
    /// Attempts after the first
    #[arg(long)]
    retries: Option<u32>,
    /// For a reply that is not a stream, like 60s
    #[arg(long, value_name = "D")]
    timeout: Option<String>,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Model) -> Result<(), Failure> {
    match verb {
        Model::List(list) if list.is_catalog() => {
            print::result(output, &server.get(&list.path()).await?, catalog_table);
        }
        Model::List(_) => print::result(output, &server.get("/models").await?, table),
        Model::Show { name } => return show(server, output, &name).await,
        Model::Price { name } => print::result(output, &server.get(&catalog_path(&name)).await?, price),
        Model::Add(add) => {
            let answer = server.put(&path(&add.name), &add.body()?).await?;
            done(output, &answer, &format!("Model {} is set.", add.name));
        }
        Model::Delete { name } => {
            let answer = server.delete(&path(&name)).await?;
            done(output, &answer, &format!("Model {name} is deleted."));
        }
    }
    Ok(())
}

async fn show(server: &Server, output: Output, name: &str) -> Result<(), Failure> {
    let answer = match server.get(&path(name)).await {
        Err(failure @ Failure::Answered { status, .. }) if status == reqwest::StatusCode::NOT_FOUND => {
            if !name.contains('/') {
                return Err(failure);
            }
            server.get(&catalog_path(name)).await?
        }
        other => other?,
    };
    if output == Output::Json {
        print::json(&answer);
        return Ok(());
    }
    let mut rest = answer.clone();
    let targets = rest.as_object_mut().and_then(|fields| fields.shift_remove("targets"));
    print::line(&print::fields(&rest).fitted());
    if let Some(targets) = targets {
        print::line("");
        print::line(&target_table(&targets).fitted());
    }
    Ok(())
}

fn path(name: &str) -> String {
    format!("/models/{}", segment(name))
}

/// A model's id may hold slashes; they stay slashes.
fn catalog_path(name: &str) -> String {
    let segments: Vec<String> = name.split('/').map(segment).collect();
    format!("/catalog/models/{}", segments.join("/"))
}

fn table(models: &Value) -> Table {
    let empty = "no aliases; add one with `keyway model add NAME --target PROVIDER/MODEL`, or see --catalog";
    let mut table = Table::new(&["NAME", "STRATEGY", "TARGETS", "FALLBACK"], empty);
    for model in print::list(models) {
        let targets = model.get("targets").map(print::list).into_iter().flatten();
        let names: Vec<String> =
            targets.map(|target| format!("{}/{}", cell(target, "provider"), cell(target, "model"))).collect();
        table.row([cell(model, "name"), cell(model, "strategy"), names.join(" "), cell(model, "fallback")]);
    }
    table
}

fn target_table(targets: &Value) -> Table {
    let mut table = Table::new(&["TARGET", "WEIGHT", "PRIORITY", "STATE", "WHY"], "no targets");
    for target in print::list(targets) {
        let name = format!("{}/{}", cell(target, "provider"), cell(target, "model"));
        table.row([
            name,
            cell(target, "weight"),
            cell(target, "priority"),
            cell(target, "state"),
            cell(target, "why"),
        ]);
    }
    table
}

fn catalog_table(models: &Value) -> Table {
    let mut table = Table::new(&["MODEL", "MODE", "CONTEXT", "INPUT", "OUTPUT"], "no model matches");
    for model in print::list(models) {
        table.row([
            format!("{}/{}", cell(model, "provider"), cell(model, "id")),
            cell(model, "mode"),
            cell(model, "context_window"),
            cell(model, "price.input"),
            cell(model, "price.output"),
        ]);
    }
    table
}

fn price(model: &Value) -> Table {
    let unknown = "its price is not known; requests are counted as unpriced until a file gives `prices`";
    let mut table = Table::new(&["PER MILLION TOKENS", "USD"], unknown);
    for (meter, usd) in model.get("price").and_then(Value::as_object).into_iter().flatten() {
        table.row([meter.replace('_', " "), usd.as_str().map_or_else(|| usd.to_string(), str::to_owned)]);
    }
    table
}

// === impl List ===

impl List {
    fn is_catalog(&self) -> bool {
        self.catalog || self.provider.is_some() || self.search.is_some()
    }

    fn path(&self) -> String {
        let mut path = format!("/catalog/models?limit={}", self.limit);
        for (name, value) in [("provider", &self.provider), ("search", &self.search)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", segment(value)));
            }
        }
        path
    }
}

// === impl Add ===

impl Add {
    fn body(&self) -> Result<Value, Failure> {
        let by_order = self.strategy.as_deref() == Some("priority");
        let targets =
            self.targets.iter().enumerate().map(|(place, text)| target(text, by_order.then_some(place)));
        let mut fields = Map::new();
        fields.insert("targets".into(), Value::Array(targets.collect::<Result<_, _>>()?));
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.into(), value);
            }
        };
        set("strategy", self.strategy.as_ref().map(|strategy| json!(strategy)));
        set("fallback", (!self.fallback.is_empty()).then(|| json!(self.fallback)));
        set("retries", self.retries.map(|retries| json!(retries)));
        set("timeout", self.timeout.as_ref().map(|timeout| json!(timeout)));
        Ok(Value::Object(fields))
    }
}

/// `provider/model` or `provider/model=weight`.
fn target(text: &str, priority: Option<usize>) -> Result<Value, Failure> {
    let (name, weight) = match text.rsplit_once('=') {
        Some((name, weight)) => {
            let weight = weight.parse::<u32>().map_err(|_| {
                Failure::Usage(format!("--target {text}: after = a whole number is wanted, the weight"))
            })?;
            (name, Some(weight))
        }
        None => (text, None),
    };
    let Some((provider, model)) = name.split_once('/') else {
        return Err(Failure::Usage(format!(
            "--target {text}: PROVIDER/MODEL is wanted, like openai/gpt-4o-mini"
        )));
    };
    let mut target = json!({ "provider": provider, "model": model });
    if let Some(fields) = target.as_object_mut() {
        fields.extend(weight.map(|weight| ("weight".to_owned(), json!(weight))));
        fields.extend(priority.map(|place| ("priority".to_owned(), json!(place))));
    }
    Ok(target)
}
