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

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::failure(&failure);
            failure.code()
        }
    }
}
