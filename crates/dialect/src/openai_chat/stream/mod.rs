//! Streams: chunks without names, `[DONE]` at the end.

mod chunk;
mod reader;
mod writer;

pub(super) use reader::ChatReader;
pub(super) use writer::ChatWriter;
