//! `keyway.yaml`: its types, its loader, its JSON Schema.
//!
//! Pure: text in, values out. Reads no file, no environment and no clock; the shells hand those in.

mod file;
mod wire;

pub use file::{
    Auth, Budget, Cache, Client, Dialect, Expiry, File, Key, Limits, Model, NamedAuth, Network, Open, Period,
    Price, Provider, Rates, Secret, Server, SigV4, Span, Strategy, Target, Team, Timeouts, Usd,
};
pub use wire::{schema, wire};
