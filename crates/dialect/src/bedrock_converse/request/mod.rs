//! Requests, both ways.

mod decode;
mod encode;
mod media;
mod messages;
mod model;
mod parts;
mod tools;

pub(super) use decode::decode;
pub(super) use encode::encode;
pub(super) use parts::content;
