//! Requests, both ways.

mod decode;
mod encode;
mod media;
mod messages;
mod parts;
mod settings;

pub(super) use decode::decode;
pub(super) use encode::encode;
