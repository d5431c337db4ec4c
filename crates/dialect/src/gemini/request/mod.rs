//! Requests, both ways.

mod calls;
mod config;
mod contents;
mod decode;
mod encode;
mod parts;

pub(super) use decode::decode;
pub(super) use encode::encode;
