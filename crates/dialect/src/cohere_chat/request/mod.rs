//! Requests, both ways.

mod decode;
mod encode;
mod messages;

pub(super) use decode::{assistant, decode};
pub(super) use encode::encode;
