//! Plain HTTP to a provider. The only room that opens sockets to providers.
//!
//! A connection is driven by whoever uses it, in the same task (see `link`), and rests in a pool that belongs to one
//! core, so that neither a lock nor a wake-up lies between a provider's bytes and the caller's. What goes over it is
//! decided in `wire`.

mod address;
mod connect;
mod link;
mod pool;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub(crate) use connect::{Connector, Unreachable};
pub(crate) use link::{Broken, Link};
pub(crate) use pool::{Pool, SWEEP_EVERY};
pub(crate) use tls::client_tls;
pub(crate) use wire::BadReply;
