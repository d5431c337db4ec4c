//! Requests, both ways.

mod blocks;
mod decode;
mod encode;
mod messages;
mod settings;

pub(super) use decode::decode;
pub(super) use encode::encode;
