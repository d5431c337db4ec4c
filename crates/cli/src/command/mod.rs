//! The verbs, one file each.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod ca;
pub(crate) mod client;
pub(crate) mod doctor;
pub(crate) mod explain;
mod filters;
pub(crate) mod fleet;
pub(crate) mod join_token;
pub(crate) mod key;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod migrate;
pub(crate) mod model;
pub(crate) mod operator;
pub(crate) mod provider;
pub(crate) mod report;
pub(crate) mod restore;
mod secret;
pub(crate) mod team;
pub(crate) mod up;
pub(crate) mod usage;
pub(crate) mod vault;
pub(crate) mod why;

use std::future::Future;

use clap::CommandFactory;

use crate::args::{Cli, Global, Output, Verb};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::print;
use crate::server::Server;
use crate::trace::Trace;

/// Does what was asked.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { global, verb } = cli;
    match verb {
        Verb::Up(up) => up::run(&global, &up),
        Verb::Replica => up::replica(),
        Verb::CheckIndex { store } => up::check_index(&store),
        Verb::Schema => {
            print::json(&keyway_config::schema());
            Ok(())
        }
        Verb::Completion { shell } => completion(shell),
        Verb::Login(login) => block_on(login::run(&global, login)),
        Verb::Doctor(verb) => block_on(doctor::run(&global, verb)),
        Verb::Apply(apply) => ask(&global, async |server, output| apply::apply(server, output, apply).await),
        Verb::Diff(diff) => ask(&global, async |server, output| apply::diff(server, output, diff).await),
        Verb::Export => ask(&global, async |server, output| apply::export(server, output).await),
        Verb::Provider(verb) => {
            ask(&global, async |server, output| provider::run(server, output, verb).await)
        }
        Verb::Key(verb) => ask(&global, async |server, output| key::run(server, output, verb).await),
        Verb::Report(report::Report::Verify { file, public_key }) => {
            report::verify(global.output, &file, public_key.as_deref())
        }
        Verb::Report(report::Report::PublicKey) => {
            ask(&global, async |server, output| report::public_key(server, output).await)
        }
        Verb::Model(verb) => ask(&global, async |server, output| model::run(server, output, verb).await),
        Verb::Client(verb) => ask(&global, async |server, output| client::run(server, output, verb).await),
        Verb::Team(verb) => ask(&global, async |server, output| team::run(server, output, verb).await),
        Verb::Explain(verb) => ask(&global, async |server, output| explain::run(server, output, verb).await),
        Verb::Usage(verb) => ask(&global, async |server, output| usage::run(server, output, *verb).await),
        Verb::Logs(verb) => ask(&global, async |server, output| logs::run(server, output, *verb).await),
        Verb::Why(verb) => ask(&global, async |server, output| why::run(server, output, &verb).await),
        Verb::Operator(verb) => {
            ask(&global, async |server, output| operator::run(server, output, verb).await)
        }
        Verb::Audit(audit::Audit::Verify(audit::Verify { backup: Some(file), kept })) => {
            audit::verify_backup(global.output, &file, &kept)
        }
        Verb::Audit(verb) => ask(&global, async |server, output| audit::run(server, output, verb).await),
        Verb::Backup(verb) => ask(&global, async |server, output| backup::run(server, output, verb).await),
        Verb::Restore(verb) => restore::run(&global, verb),
        Verb::Migrate(verb) => migrate::run(&global, &verb),
        Verb::JoinToken(verb) => {
            ask(&global, async |server, output| join_token::run(server, output, verb).await)
        }
        Verb::Ca(verb) => ask(&global, async |server, output| ca::run(server, output, verb).await),
        Verb::Vault(verb) => ask(&global, async |server, output| vault::run(server, output, verb).await),
        Verb::Fleet(verb) => ask(&global, async |server, output| fleet::run(server, output, verb).await),
    }
}

/// Runs a verb that talks to the admin API.
fn ask(
    global: &Global,
    verb: impl AsyncFnOnce(&Server, Output) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let server = Server::new(Connection::find(global)?, Trace::new(global))?;
    let done = block_on(verb(&server, global.output));
    server.end(done.is_ok());
    done
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Other(format!("cannot start: {error}")))?;
    runtime.block_on(work)
}

fn completion(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keyway", &mut script);
    let script = String::from_utf8(script).map_err(|_| Failure::Other("the script is not text".into()))?;
    print::line(script.trim_end());
    Ok(())
}
