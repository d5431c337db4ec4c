//! Streams, both ways: server-sent events whose data names their type.

mod reader;
mod writer;

pub(super) use reader::CohereReader;
pub(super) use writer::CohereWriter;
