//! Wire formats: what the data plane must know of requests, replies and streams without decoding them.
//! Pure: bytes in, bytes and verdicts out; no sockets, no clock. Where caller and target speak one dialect, bodies pass
//! unchanged but for the model name, and this crate only looks on.

pub mod fault;
pub mod multipart;
pub mod reply;
pub mod rewrite;
pub mod scan;
pub mod stream;
pub mod usage;
