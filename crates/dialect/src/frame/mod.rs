//! How streams are cut into events on the wire.

pub(crate) mod sse;
