//! Written by `cargo xtask catalog`: every file of catalog/, and what the import counted.

use crate::rows::Files;

pub(crate) const FILES: &[Files] = &[Files {
    id: "sandbox",
    provider: include_str!("../../../catalog/providers/sandbox.toml"),
    models: include_str!("../../../catalog/models/sandbox.toml"),
}];
