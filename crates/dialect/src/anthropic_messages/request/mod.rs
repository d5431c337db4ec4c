//! Requests, both ways.

mod blocks;
mod decode;
mod encode;
mod messages;
mod settings;

pub(super) use decode::decode;
pub(crate) use decode::decode_unlimited;
pub(super) use encode::encode;
