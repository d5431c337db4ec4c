//! Wire formats: what the data plane must know of requests, replies and streams without decoding them.
//! Pure: bytes in, bytes and verdicts out; no sockets, no clock. Where caller and target speak one dialect, bodies pass
//! unchanged but for the model name, and this crate only looks on (`scan`, `rewrite`, `stream`, `reply`); where they
//! differ, a `codec` of each reads and writes them by way of the canonical model (`canon`).

mod bedrock_converse;
pub mod canon;
pub mod codec;
mod cohere_chat;
pub mod fault;
mod frame;
mod gemini;
pub mod grammar;
mod json;
pub mod losses;
pub mod multipart;
pub mod operation;
pub mod quirk;
pub mod reply;
pub mod rewrite;
pub mod scan;
pub mod stream;
pub mod usage;

mod anthropic_messages;
mod openai_chat;
mod openai_responses;

pub use json::Malformed;
