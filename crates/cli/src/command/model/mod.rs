//! `keyway model …`: aliases of the configuration and models of the catalogue.

mod known;
mod price;

pub(super) use price::cost;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::done;
use super::provider::quirk_table;
use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::{Server, segment};

/// As in the file.
const STRATEGIES: [&str; 7] =
    ["weighted", "priority", "least-latency", "least-cost", "least-busy", "sticky", "semantic"];

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// What can be asked for: aliases and the known models of configured providers; with --catalog every known model
    List(List),
    /// An alias with every target, its state and why; or all that is known of a model
    Show {
        /// An alias, PROVIDER/MODEL, or MODEL where one configured provider offers it
        name: String,
    },
    /// What a model or each target of an alias costs, by every rule; with counts, what such a request would
    Price(price::Price),
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
    /// List what Keyway knows, configured or not
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
    #[arg(long, value_parser = STRATEGIES, hide_possible_values = true)]
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
        Model::List(list) if list.catalog => {
            print::result(output, &server.get(&list.catalog_path()).await?, catalog_table);
        }
        Model::List(list) => return configured(server, output, &list).await,
        Model::Show { name } => return show(server, output, &name).await,
        Model::Price(verb) => return price::run(server, output, &verb).await,
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

/// Aliases first, then models, each with its price.
async fn configured(server: &Server, output: Output, list: &List) -> Result<(), Failure> {
    let all = known::configured(server, list.provider.as_deref(), list.search.as_deref()).await?;
    let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let more = all.len().saturating_sub(limit);
    print::result(output, &all.into_iter().take(limit).collect(), table);
    if more > 0 {
        print::note(&format!("{more} more; narrow them with --provider or --search, or raise --limit"));
    }
    Ok(())
}

async fn show(server: &Server, output: Output, name: &str) -> Result<(), Failure> {
    let answer = match server.get(&path(name)).await {
        Err(Failure::Answered { status, .. }) if status == reqwest::StatusCode::NOT_FOUND => {
            known::model(server, name).await?
        }
        other => other?,
    };
    if output == Output::Json {
        print::json(&answer);
        return Ok(());
    }
    let mut rest = answer.clone();
    let mut take = |field| rest.as_object_mut().and_then(|fields| fields.shift_remove(field));
    let (targets, quirks) = (take("targets"), take("quirks"));
    print::line(&print::fields(&rest).fitted());
    if let Some(Value::Object(quirks)) = quirks {
        quirk_table(&quirks);
    }
    if let Some(targets) = targets {
        print::line("");
        print::line(&target_table(&targets).fitted());
        let known = |target: &Value| print::limits(target.get("limits")?);
        for limits in print::list(&targets).filter_map(known) {
            print::line("");
            print::line(&limits.fitted());
        }
    }
    Ok(())
}

fn path(name: &str) -> String {
    format!("/models/{}", segment(name))
}

fn table(models: &Value) -> Table {
    let empty = "nothing matches; add an alias with `keyway model add NAME --target PROVIDER/MODEL`, or see --catalog";
    let mut table = Table::new(&["NAME", "KIND", "CONTEXT", "INPUT", "OUTPUT", "PRICE FROM"], empty);
    for model in print::list(models) {
        table.row([
            cell(model, "name"),
            cell(model, "kind"),
            cell(model, "context_window"),
            rate(model, "input"),
            rate(model, "output"),
            cell(model, "price_from"),
        ]);
    }
    table
}

/// USD per million tokens of one kind.
pub(super) fn rate(model: &Value, meter: &str) -> String {
    match model.get("price") {
        Some(Value::String(free)) => free.clone(),
        Some(price) => cell(price, meter),
        None => "-".into(),
    }
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

// === impl List ===

impl List {
    fn catalog_path(&self) -> String {
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
