//! Whole replies, both ways.

mod decode;
mod encode;

pub(super) use decode::{citation, decode, stamp, stamped, usage};
pub(super) use encode::{encode, write_citation, write_image, write_logprobs, write_stop, write_usage};
