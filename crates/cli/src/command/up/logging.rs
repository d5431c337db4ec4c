//! Where log lines go: stderr, in the words of `tracing`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// What is logged unless told otherwise: what somebody should look at.
pub(super) const DEFAULT: &str = "warn";

/// Starts logging by a filter like `info` or `warn,keyway_dataplane=debug`.
pub(super) fn start(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::Usage(format!("--log: {error}; a level is wanted, like warn, info or debug"))
    })?;
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
    started.map_err(|error| Failure::Other(format!("cannot start logging: {error}")))
}
