//! How streams are cut into events on the wire.

pub(crate) mod aws;
pub(crate) mod sse;
