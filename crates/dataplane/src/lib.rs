//! The stateless proxy.
