//! `keyway.yaml`: its types, its loader, its JSON Schema.
//!
//! Pure: text in, values out. Reads no file, no environment and no clock; the shells hand those in.

mod check;
mod file;
mod load;
mod nearest;
mod path;
mod problem;
mod secrets;
#[cfg(test)]
mod tests;
mod wire;
mod yaml;

pub use check::{check, check_address, check_name, check_secret, crowded, references, warnings};
pub use file::{
    Auth, AwsIam, Budget, Cache, Client, Dialect, Expiry, File, Key, KeyRotation, Limits, Model, NamedAuth,
    Network, Open, Percent, Period, Price, Provider, Rates, Rotation, RotationStrategy, Secret, Server,
    SigV4, Size, Source, SourcePlace, Span, Strategy, Target, Team, Timeouts, Tokens, Usage, Usd,
    VaultAppRole, VaultAuth, VaultKubernetes, VaultSource, WhenSpoolFull,
};
pub use keyway_catalog::Quirks;
pub use load::{Faulty, Loaded, Places, inspect, load, read_json};
pub use nearest::nearest;
pub use problem::{Place, Problem};
pub use secrets::{looks_like_secret, plain_secret, secret_pattern};
pub use wire::{schema, wire};
pub use yaml::FILE_LIMIT;
