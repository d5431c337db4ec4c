//! Streams, both ways.

mod event;
mod item;
mod reader;
mod writer;

pub(super) use reader::ResponsesReader;
pub(super) use writer::ResponsesWriter;
