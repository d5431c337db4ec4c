//! The program `keyway`: reads its arguments, does one verb, ends with that verb's exit code.

mod args;
mod command;
mod connection;
mod environment;
mod failure;
mod home;
mod misuse;
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

use crate::failure::Failure;

// What is freed is wiped: libraries' buffers have held keys.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    // Every verb holds at least a token; those that log do it again, so that what the system refuses is said.
    keyway_harden::harden();
    let cli = parse().unwrap_or_else(|error| explain(&error));
    match command::run(cli) {
        Ok(()) if print::is_whole() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(failure) => {
            print::failure(&failure);
            failure.code()
        }
    }
}

fn parse() -> Result<args::Cli, clap::Error> {
    let matches = misuse::without_empty(args::Cli::command()).try_get_matches()?;
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

/// Help and version go as clap gives them. Without a verb all of them are shown, whether or not a variable was set (clap
/// takes one for an argument). What is wrong is one line.
fn explain(error: &clap::Error) -> ! {
    let (mut command, given) = (args::Cli::command(), print::arguments());
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        ErrorKind::MissingSubcommand => print::note(&misuse::help(&mut command, &given)),
        _ => print::failure(&Failure::Usage(misuse::line(error, &mut command, &given))),
    }
    std::process::exit(2);
}
