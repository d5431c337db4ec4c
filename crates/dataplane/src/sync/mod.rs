//! How a replica learns what to serve: a session (pure) over a stream to the control plane (the link), and what it holds.

mod held;
mod link;
mod session;

pub(crate) use held::{Held, State};
pub(crate) use link::{Link, LinkSettings, LinkStatus};
