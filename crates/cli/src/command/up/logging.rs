//! Where log lines go: stderr, as deep as is asked for.

use crate::failure::Failure;

/// What is logged unless told otherwise: what somebody should look at.
pub(super) const DEFAULT: &str = "warn";

/// Starts logging by a filter like `info` or `warn,keyway_dataplane=debug`.
pub(super) fn start(filter: &str) -> Result<(), Failure> {
    keyway_harden::log(filter).map_err(|error| Failure::Usage(format!("--log: {error}")))
}
