//! Every argument. Each setting is a flag and an environment variable; `--help` names both.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use keyway_telemetry::Otlp;

use crate::command::{
    apply, audit, backup, ca, client, doctor, explain, fleet, join_token, key, login, logs, migrate, model,
    operator, provider, report, restore, team, up, usage, vault, why,
};

/// A hidden verb.
pub(crate) const CHECK_INDEX: &str = "check-index";

/// Self-hosted AI gateway: one place for provider keys, many clients.
#[derive(Debug, Parser)]
#[command(name = "keyway", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Base URL of the control plane's admin API [default: what `keyway login` wrote, else that of `keyway up` on this machine, else http://127.0.0.1:8600]
    #[arg(long, global = true, env = "KEYWAY_SERVER", value_name = "URL", help_heading = "Connection")]
    pub(crate) server: Option<String>,
    /// Admin token [default: what `keyway login` wrote, else the one that `keyway up` left in the data directory]
    #[arg(
        long,
        global = true,
        env = "KEYWAY_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "T",
        help_heading = "Connection"
    )]
    pub(crate) token: Option<String>,
    /// Data directory [default: ~/.keyway]
    #[arg(long, global = true, env = "KEYWAY_HOME", value_name = "DIR", help_heading = "Connection")]
    pub(crate) home: Option<PathBuf>,
    /// How results are printed
    #[arg(
        long,
        global = true,
        env = "KEYWAY_OUTPUT",
        value_enum,
        default_value_t,
        help_heading = "Connection"
    )]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) otlp: Otlp,
    /// The words of the verb: `keyway client rotate`.
    #[arg(skip)]
    pub(crate) command: String,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people, fitted to the terminal.
    #[default]
    Table,
    /// For programs: the admin API's own JSON.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a whole Keyway: control plane and data plane; needs no configuration
    Up(Box<up::Up>),
    /// What `up --replicas` runs
    #[command(hide = true)]
    Replica,
    /// Opens the index of a store and reads it: what `up` does in a process of its own before it opens it
    #[command(hide = true, name = CHECK_INDEX)]
    CheckIndex {
        /// The store's directory
        store: PathBuf,
    },
    /// Put a keyway.yaml into effect
    Apply(apply::Apply),
    /// Show what apply would change; changes nothing
    Diff(apply::Diff),
    /// Print the whole configuration without secrets, as a keyway.yaml
    Export,
    /// Print the JSON Schema of keyway.yaml
    Schema,
    /// Places that serve models
    #[command(subcommand)]
    Provider(provider::Provider),
    /// Provider keys: their versions, rotated while requests run
    #[command(subcommand)]
    Key(key::Key),
    /// Reports that a control plane signed: check one, without it
    #[command(subcommand)]
    Report(report::Report),
    /// Models and aliases
    #[command(subcommand)]
    Model(model::Model),
    /// Who calls the gateway
    #[command(subcommand)]
    Client(client::Client),
    /// Groups of clients
    #[command(subcommand)]
    Team(team::Team),
    /// Show which targets a request would try and why; sends nothing
    Explain(explain::Explain),
    /// What was used and what it cost, by whom and by what
    Usage(Box<usage::Usage>),
    /// Requests one by one, newest first; -f follows them
    Logs(Box<logs::Logs>),
    /// Show why a request went the way it went, and what it cost
    Why(why::Why),
    /// Running data planes
    #[command(subcommand)]
    Fleet(fleet::Fleet),
    /// Tokens with which hosts and data planes join
    #[command(subcommand)]
    JoinToken(join_token::JoinToken),
    /// The roots of nodes' certificates
    #[command(subcommand)]
    Ca(ca::Ca),
    /// The keys that seal provider keys
    #[command(subcommand)]
    Vault(vault::Vault),
    /// Who uses the admin API, and what each may
    #[command(subcommand)]
    Operator(operator::Operator),
    /// Who changed what
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Write a copy of everything into a file; secrets stay sealed in it
    Backup(backup::Backup),
    /// Put a backup in place of what the data directory holds; no control plane may run there
    Restore(restore::Restore),
    /// Copies everything from a data directory into an etcd, or back; no control plane runs meanwhile
    Migrate(migrate::Migrate),
    /// Look for what is wrong or soon will be: connection, clocks, store, keys, replicas
    Doctor(doctor::Doctor),
    /// Keep server and token for later commands
    Login(login::Login),
    /// Print a completion script for a shell
    Completion {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}
