//! Whole replies, both ways, and what their items share with streams.

mod decode;
mod encode;
mod logprobs;

pub(super) use decode::{citation, decode, is_empty, item, seconds, usage};
pub(super) use encode::{
    Run, call_item, encode, image_item, message_item, reasoning_item, refusal_part, text_part,
    write_citation, write_run,
};
pub(super) use logprobs::write_logprobs;
