//! The program `keyway`: reads its arguments, does one verb, ends with that verb's exit code.

mod args;
mod command;
mod connection;
mod environment;
mod failure;
mod home;
mod print;
mod server;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    let cli = args::Cli::try_parse().unwrap_or_else(|error| explain(&error));
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::failure(&failure);
            failure.code()
        }
    }
}

/// Without a verb all of them are shown, whether or not a variable was set (clap takes one for an argument).
fn explain(error: &clap::Error) -> ! {
    if error.kind() == ErrorKind::MissingSubcommand {
        print::note(&args::Cli::command().render_help().to_string());
        std::process::exit(2);
    }
    error.exit()
}
