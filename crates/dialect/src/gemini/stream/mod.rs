//! Streams: each event is a whole reply that holds only what is new.

mod chunks;
mod writer;

pub(super) use chunks::{Chunks, GeminiReader};
pub(super) use writer::GeminiWriter;
