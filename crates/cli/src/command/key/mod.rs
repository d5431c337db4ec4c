//! `keyway key …`: provider keys and their versions. A secret comes from stdin, a variable or a file; as an argument it is
//! refused, because every user of a machine can read arguments.

mod change;
mod figures;
mod follow;
mod name;
mod progress;
mod shown;
#[cfg(test)]
mod tests;
mod view;
mod wait;

use clap::{Args, Subcommand};
use serde_json::json;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::args::Output;
use crate::failure::Failure;
use crate::print;
use crate::server::Server;
use name::Name;

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Every key: its versions, where each is in its life, how it is used
    List,
    /// One key
    Show(Named),
    /// Give a provider a new key; the secret is read from stdin, --from-env or --from-file
    Add(Box<change::Add>),
    /// Replace a key's secret while requests run; the new one is read from stdin, --from-env or --from-file
    Rotate(Box<change::Rotate>),
    /// Bring a version into use that is there already
    #[command(disable_version_flag = true)]
    Promote(change::Promote),
    /// Bring the version before back into use
    #[command(disable_version_flag = true)]
    Rollback(change::Promote),
    /// Take versions out of use at once, everywhere
    #[command(disable_version_flag = true)]
    Revoke(change::Revoke),
    /// Take all of a key that may be in wrong hands out of use, everywhere, and write down who used it for what
    Compromise(change::Compromise),
    /// Erase the secret of a version that is not in use, for good
    #[command(disable_version_flag = true)]
    Destroy {
        #[command(flatten)]
        named: Named,
        /// Which version
        #[arg(long, value_name = "N")]
        version: u32,
    },
    /// Let a key's secrets go to one more address, after its provider moved
    AllowOrigin {
        #[command(flatten)]
        named: Named,
        /// Scheme, host and port: `https://api.example.com`
        origin: String,
    },
    /// What happened to a key, and how each replica uses each version
    History {
        #[command(flatten)]
        named: Named,
        /// Write the same, signed by the control plane, into this file (0600)
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
}

/// Which key.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// PROVIDER/KEY; PROVIDER alone means its only key, or the one named `default`
    name: String,
}

/// What should not be there: a secret that was typed as an argument.
#[derive(Debug, Args)]
pub(crate) struct Stray {
    #[arg(hide = true, num_args = 0.., allow_hyphen_values = false)]
    stray: Vec<OsString>,
}

pub(crate) async fn run(server: &Server, output: Output, verb: Key) -> Result<(), Failure> {
    match verb {
        Key::List => print::result(output, &server.get("/keys").await?, shown::list),
        Key::Show(named) => {
            let name = Name::find(server, &named.name).await?;
            shown::one(output, &server.get(&name.path("")).await?);
        }
        Key::Add(add) => return change::add(server, output, *add).await,
        Key::Rotate(rotate) => return change::rotate(server, output, *rotate).await,
        Key::Promote(promote) => return change::promote(server, output, "promote", promote).await,
        Key::Rollback(promote) => return change::promote(server, output, "rollback", promote).await,
        Key::Revoke(revoke) => return change::revoke(server, output, revoke).await,
        Key::Compromise(compromise) => return change::compromise(server, output, compromise).await,
        Key::Destroy { named, version } => {
            let name = Name::find(server, &named.name).await?;
            let answer = server.post(&name.path("/destroy"), &json!({ "version": version })).await?;
            let note = format!("The secret of version {version} of {name} is erased.");
            super::client::done(output, &answer, &note);
        }
        Key::AllowOrigin { named, origin } => {
            let name = Name::find(server, &named.name).await?;
            let answer = server.post(&name.path("/allow-origin"), &json!({ "origin": origin })).await?;
            super::client::done(output, &answer, &format!("Secrets of {name} may go to {origin} too."));
        }
        Key::History { named, report } => {
            let name = Name::find(server, &named.name).await?;
            shown::history(output, &server.get(&name.path("/history")).await?);
            if let Some(file) = report {
                change::report(server, &name, &file).await?;
            }
        }
    }
    Ok(())
}

// === impl Stray ===

impl Stray {
    fn refuse(&self) -> Result<(), Failure> {
        if self.stray.is_empty() { Ok(()) } else { Err(secret_typed()) }
    }
}

/// Never says what it was.
fn secret_typed() -> Failure {
    Failure::Usage(
        "a secret is never an argument, where every user of this machine can read it; give it on stdin, by --from-env NAME or \
         --from-file F, and take the one that you typed out of your shell's history"
            .into(),
    )
}
