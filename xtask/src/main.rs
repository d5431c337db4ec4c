//! The project's own commands: `cargo xtask --help`.

mod bench;
mod catalog;
mod docs;
mod r#gen;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "xtask", about = "Keyway's own commands")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run every check and test; the README's test command and all that CI does
    Test(test::Args),
    /// Write the generated code from proto/ (no protoc needed), and docs/dialects.md
    Gen(r#gen::Args),
    /// Rewrite catalog/ from a folder that holds providers.json and models.json
    Catalog(catalog::Args),
    /// Measure speed against a bare proxy and nginx, and print ratios
    Bench(Box<bench::Args>),
}

#[expect(clippy::print_stderr, reason = "where a command says why it failed")]
fn main() -> ExitCode {
    let done = match Args::parse().verb {
        Verb::Test(args) => test::run(&args),
        Verb::Gen(args) => r#gen::run(&args),
        Verb::Catalog(args) => catalog::run(&args),
        Verb::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
