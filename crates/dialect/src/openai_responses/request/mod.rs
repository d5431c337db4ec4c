//! Requests, both ways.

mod decode;
mod encode;
mod input;
mod items;
mod parts;
mod pen;
mod tools;

pub(super) use decode::decode;
pub(super) use encode::encode;
