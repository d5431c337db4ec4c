//! Replicas that serve nobody: each takes states over a stream of its own as a data plane does, checks and builds them, and
//! answers. A thousand of them fit into one process, which a thousand data planes would not.

mod node;
mod replica;
mod taken;

pub use node::{Node, stranger};
pub use replica::{Place, run};
