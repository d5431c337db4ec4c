//! Owns state: resources, compiler, fleet stream, admin API.

pub mod api;
pub mod attest;
mod authority;
pub mod backup;
pub mod compile;
mod doctor;
pub mod fleet;
mod hex;
pub mod lead;
mod members;
pub mod observe;
mod peer;
pub(crate) mod plane;
pub mod push;
mod quota;
mod rekey;
pub mod resource;
pub mod rotation;
pub mod serve;
mod source;
pub mod store;
mod token;
mod token_file;
pub mod usage;
pub mod vault;

pub use authority::Certificates;
pub use plane::{Outcome, Plane};
pub use serve::{Initial, Issuing, Running, ServeError, Settings, serve};
pub use source::Lookup;
pub use token::Token;
pub use token_file::{private_dir, token_file};
