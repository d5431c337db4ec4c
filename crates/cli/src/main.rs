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
mod trace;

use std::alloc::System;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use zeroizing_alloc::ZeroAlloc;

// What is freed is wiped: libraries' buffers have held keys.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    // Every verb holds at least a token; those that log do it again, so that what the system refuses is said.
    keyway_harden::harden();
    let cli = parse().unwrap_or_else(|error| explain(&error));
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::failure(&failure);
            failure.code()
        }
    }
}

fn parse() -> Result<args::Cli, clap::Error> {
    let matches = args::Cli::command().try_get_matches()?;
    let mut cli =
        args::Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut args::Cli::command()))?;
    cli.global.command = command(&matches);
    Ok(cli)
}

/// The words of the verb that was given: `keyway client rotate`.
fn command(matches: &ArgMatches) -> String {
    let (mut words, mut at) = ("keyway".to_owned(), matches);
    while let Some((word, below)) = at.subcommand() {
        words.push(' ');
        words.push_str(word);
        at = below;
    }
    words
}

/// Without a verb all of them are shown, whether or not a variable was set (clap takes one for an argument).
fn explain(error: &clap::Error) -> ! {
    if error.kind() == ErrorKind::MissingSubcommand {
        print::note(&args::Cli::command().render_help().to_string());
        std::process::exit(2);
    }
    let (given, said) = (std::env::args(), error.render());
    match print::withheld(&said.to_string(), given) {
        // A secret that was typed where a name belongs stays in the shell's history, and nowhere else.
        Some(withheld) => print::note(withheld.trim_end()),
        None => error.exit(),
    }
    std::process::exit(2);
}
