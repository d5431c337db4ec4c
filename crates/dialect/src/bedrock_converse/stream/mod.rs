//! Streams, both ways: AWS event streams whose messages hold JSON.

mod reader;
mod writer;

pub(super) use reader::ConverseReader;
pub(super) use writer::ConverseWriter;
