//! The stateless proxy. A replica learns what to serve from its control plane and needs nothing else.
//!
//! One thread a core, each with its own runtime and its own connections to providers, all accepting from one listening
//! socket; one more thread for the control plane's stream, the ops port and the end.

#[cfg(test)]
extern crate self as keyway_dataplane;

mod answer;
mod attempt;
mod auth;
mod call;
mod caught;
mod clock;
mod control;
mod handovers;
pub mod identity;
mod ingress;
mod lease;
mod listen;
mod meter;
mod models;
mod oauth;
mod observe;
mod open;
mod ops;
mod pipeline;
mod pressure;
mod probe;
mod quota;
mod random;
mod refusal;
mod reply;
mod route;
mod run;
mod sandbox;
pub mod supervise;
mod sync;
mod translate;
mod turn;
mod upstream;
mod within;
mod worker;

pub use listen::{TlsError, tls_config};
pub use run::{Running, Settings, StartError, start};
#[cfg(feature = "simulation")]
pub use sync::SimulatedReplica;
pub use sync::{StateDir, StateDirError};
