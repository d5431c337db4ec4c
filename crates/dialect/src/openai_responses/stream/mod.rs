//! Streams, both ways.

mod event;
mod item;
mod reader;
mod writer;

pub(super) use item::Item;
pub(super) use reader::ResponsesReader;
#[cfg(test)]
pub(super) use writer::KEPT_LIMIT;
pub(super) use writer::ResponsesWriter;
