//! The canonical model: what requests and replies mean, in no dialect. A superset of meanings, not of spellings.
//!
//! **Requests.** A `Request` is settings, tools and `Turn`s of `Block`s, in the caller's order. System and developer
//! text are turns too, wherever they stand; a tool's result is a block of a user turn. Turns, blocks and tools know
//! where they stood in the caller's body, so that a fault can name the field in the caller's own words.
//! What no dialect of ours knows rides in `extra`, at its level: the same dialect writes it back, another reports it.
//!
//! **Replies.** A stream is a sequence of `Event`s whose order `grammar` fixes; a whole reply is a `Response`, the fold
//! of its stream. Blocks of one choice never overlap: readers of dialects that interleave put them in order (`sequence`).
//!
//! **Seals.** Signatures and encrypted reasoning mean something only to who made them. A `Seal` knows its maker, travels
//! through another dialect's fields wrapped in a text that names the maker, and goes only to that maker again.
//!
//! **Losses.** What a target cannot express is a value: harmless things are dropped and listed as `Lost`, others refuse
//! the request (`losses`). Nothing is lost silently. The model grows only with a fixture.

mod event;
mod fold;
mod part;
mod raw;
mod request;
mod response;
mod seal;
mod sequence;
mod tool;

#[cfg(test)]
mod tests;

pub use event::{Delta, Event, Head};
pub use fold::{Fold, unfold};
pub use keyway_snapshot::Effort;
pub use part::{Block, CacheMark, Citation, Document, Media, Part, Reasoning, Sound, Source};
pub use raw::{Extra, Raw};
pub use request::{Format, Logprobs, Request, Role, Sampling, Thinking, ThinkingMode, Turn};
pub use response::{Choice, Response, Stop, StopReason};
pub use seal::{Seal, SealKind, holds_foreign_seals};
pub(crate) use sequence::Sequence;
pub use sequence::{BLOCKS_LIMIT, CHOICES_LIMIT, HELD_LIMIT};
pub use tool::{Call, CallKind, Tool, ToolBody, ToolChoice, ToolResult, safe_id, short_id};
