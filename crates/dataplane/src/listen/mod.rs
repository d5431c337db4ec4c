//! Connections from callers: accepted by every core from one shared socket, served, drained.

mod accept;
mod conn;
mod pulse;
mod room;
mod strangers;
mod tls;

pub(crate) use accept::{Accept, serve};
pub(crate) use conn::Caller;
pub(crate) use pulse::{Pulse, Pulses};
pub(crate) use room::room;

pub(crate) use strangers::Strangers;
pub use tls::{TlsError, tls_config};
