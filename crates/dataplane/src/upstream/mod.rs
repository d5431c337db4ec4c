//! Plain HTTP to a provider. The only room that opens sockets to providers.
//!
//! A connection is driven by whoever uses it, in the same task (see `link`), and rests in a pool that belongs to one
//! core, so that neither a lock nor a wake-up lies between a provider's bytes and the caller's.

mod address;
mod body;
mod connect;
mod ears;
mod link;
mod pool;
mod tls;

pub(crate) use body::RequestBody;
pub(crate) use connect::{Connector, Unreachable};
pub(crate) use link::{Link, SendError};
pub(crate) use pool::{Pool, SWEEP_EVERY};
pub(crate) use tls::client_tls;
