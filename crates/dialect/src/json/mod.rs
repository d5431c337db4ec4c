//! Reads and writes the JSON of dialects, one object at a time, with the path of whatever is wrong and with every member
//! that nobody asked for left over. Nesting is bounded by the code that reads, not by the input.

mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::Malformed;
pub(crate) use read::{Fields, Value};
#[cfg(test)]
pub(crate) use read::{LIST_LIMIT, MEMBERS_LIMIT};
pub(crate) use write::Json;
