//! Streams: named events, `message_stop` at the end.

mod reader;
mod writer;

pub(super) use reader::MessagesReader;
pub(super) use writer::MessagesWriter;
