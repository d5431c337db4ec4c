//! Where a secret may come from: stdin, a variable, a file. Never an argument, which every user of a machine can read.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use keyway_config::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde::Serializer;
use zeroize::Zeroizing;

use crate::environment::variable;
use crate::failure::Failure;
use crate::home::read_small;
use crate::print;

/// Bytes of a secret on stdin at most.
const SECRET_LIMIT: u64 = 64 * 1024;

/// Where to take a secret from; without either, stdin.
#[derive(Debug, Args)]
pub(crate) struct From {
    /// Take the secret from this environment variable
    #[arg(long, value_name = "NAME", conflicts_with = "from_file")]
    pub(crate) from_env: Option<String>,
    /// Take the secret from this file
    #[arg(long, value_name = "F")]
    pub(crate) from_file: Option<PathBuf>,
}

// === impl From ===

impl From {
    /// True: a place is named.
    pub(crate) fn is_named(&self) -> bool {
        self.from_env.is_some() || self.from_file.is_some()
    }

    /// The secret without spaces and line breaks round it. `what` names it in the prompt and in errors.
    pub(crate) fn read(&self, what: &str) -> Result<Zeroizing<String>, Failure> {
        let text = match (&self.from_env, &self.from_file) {
            (Some(name), _) => variable(name).map(Zeroizing::new).ok_or_else(|| {
                Failure::Usage(format!("the environment variable {name} is not set or empty; set it, or give the {what} on stdin or by --from-file F"))
            })?,
            (None, Some(path)) => read_small(path).map_err(|error| Failure::read(path, error))?,
            (None, None) => stdin(what)?,
        };
        let text = Zeroizing::new(text.trim().to_owned());
        if text.is_empty() {
            return Err(Failure::Usage(format!(
                "the {what} is empty; give it on stdin, by --from-env NAME or --from-file F"
            )));
        }
        Ok(text)
    }
}

/// A terminal gives one line, which is not shown; anything else all of it.
fn stdin(what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let stdin = io::stdin();
    let read = if stdin.is_terminal() {
        print::note(&format!("Paste the {what} and press Enter; it is not shown:"));
        let _quiet = Quiet::new();
        stdin.read_line(&mut text)
    } else {
        stdin.lock().take(SECRET_LIMIT).read_to_string(&mut text)
    };
    read.map_err(|error| Failure::read("stdin", error))?;
    Ok(text)
}

/// While it lives the terminal does not show what is typed.
struct Quiet(Option<Termios>);

impl Quiet {
    fn new() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO);
            // A terminal that cannot be quiet shows it: the secret is its owner's.
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &quiet);
        }
        Self(before)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// For the two places that a token is written to on purpose: the ready file (0600) and a replica's orders (a socket).
pub(crate) fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}
