//! `keyway vault …`: the keys that the vault itself has.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use keyway_config::Span;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::args::Output;
use crate::failure::Failure;
use crate::print::{self, Table, cell};
use crate::server::Server;

/// Between two looks while waiting.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub(crate) enum Vault {
    /// Which version of the wrapping key is in use, and how many secrets are under each
    Show,
    /// Make a new version of the key that wraps the secrets, wrap every secret with it, and retire the old one
    RotateKek {
        /// Stay until no secret is under the old version and it is retired
        #[arg(long)]
        wait: bool,
        /// How long --wait stays at most; the control plane goes on by itself
        #[arg(long, value_parser = span, value_name = "SPAN", default_value = "10m")]
        timeout: Span,
    },
    /// Seal the keyring under a new root key. The next start of the control plane needs the new file
    RotateRoot {
        /// Where the new root key is to lie, on the control plane's machine; one that is there already is taken
        #[arg(long, value_name = "FILE")]
        to_file: PathBuf,
    },
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "give a time like 60s, 10m or 24h".to_owned())
}

pub(crate) async fn run(server: &Server, output: Output, verb: Vault) -> Result<(), Failure> {
    match verb {
        Vault::Show => print::result(output, &server.get("/vault").await?, table),
        Vault::RotateKek { wait, timeout } => {
            let mut view = server.post("/vault/rotate-kek", &json!({})).await?;
            let deadline = Instant::now() + Duration::from_millis(timeout.millis());
            while wait && !is_done(&view) {
                if Instant::now() >= deadline {
                    let step = cell(view.get("change").unwrap_or(&Value::Null), "step");
                    let why = format!(
                        "the wrapping key is at `{step}` after {timeout}; it goes on by itself: keyway vault show"
                    );
                    return Err(Failure::TimedOut(why));
                }
                sleep(LOOK_AGAIN).await;
                view = server.get("/vault").await?;
            }
            print::result(output, &view, table);
            if !is_done(&view) {
                print::note("It goes on by itself; watch it with: keyway vault show");
            }
        }
        Vault::RotateRoot { to_file } => {
            let made = server.post("/vault/rotate-root", &json!({ "to_file": to_file })).await?;
            let file = cell(&made, "file");
            let note = format!(
                "Root key {} in {file} is in force, and no other opens the vault. Start the control plane with \
                 --root-key-file {file} from now on, keep a copy of it elsewhere, then remove the old file; backups from \
                 before still need the old one.",
                cell(&made, "root_key")
            );
            super::client::done(output, &made, &note);
        }
    }
    Ok(())
}

fn is_done(view: &Value) -> bool {
    view.pointer("/change/step").and_then(Value::as_str) == Some("done")
}

fn table(view: &Value) -> Table {
    let mut table = Table::new(&["VERSION", "SECRETS", "STATE"], "the keyring is empty");
    let wrapping = cell(view, "wrapping");
    let step = view.pointer("/change/step").and_then(Value::as_str).unwrap_or("done");
    for (version, secrets) in view.get("secrets").and_then(Value::as_object).into_iter().flatten() {
        let state = match (*version == wrapping, step) {
            (true, "done") => "wraps".to_owned(),
            (true, step) => format!("wraps ({step})"),
            (false, _) => "goes".to_owned(),
        };
        table.row([version.clone(), secrets.to_string(), state]);
    }
    table
}
