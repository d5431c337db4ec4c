//! One step of a streamed answer. Which orders are legal stands in `grammar`.

use super::{CallKind, Citation, Raw, Seal, Stop};
use crate::fault::Fault;
use crate::usage::Usage;
use keyway_proto::snapshot::v1::Dialect;

/// One step of a streamed answer.
#[derive(Clone, Debug)]
pub enum Event {
    /// Always the first.
    Start {
        /// The provider's id of the reply.
        id: Option<String>,
        /// The model that answers.
        model: Option<String>,
        /// Unix seconds.
        created: Option<u64>,
        /// What is known of the usage so far.
        usage: Option<Usage>,
    },
    /// A block begins. Blocks are numbered from 0 over the whole stream.
    Open {
        /// Which answer it belongs to, from 0.
        choice: u32,
        /// Its number.
        block: u32,
        /// What it is.
        head: Head,
    },
    /// More of an open block.
    Delta {
        /// Its number.
        block: u32,
        /// What comes.
        delta: Delta,
    },
    /// A block has ended.
    Close {
        /// Its number.
        block: u32,
    },
    /// Probabilities of tokens of an answer: a JSON array as OpenAI chat's `logprobs.content`.
    Logprobs {
        /// Which answer.
        choice: u32,
        /// The array.
        raw: Raw,
    },
    /// An answer has ended.
    Stop {
        /// Which.
        choice: u32,
        /// Why.
        stop: Stop,
    },
    /// The counts so far, which replace earlier ones.
    Usage(Usage),
    /// The tier that serves it.
    Tier(String),
    /// The provider broke off. Nothing follows.
    Fault(Box<Fault>),
    /// The reply is complete. Nothing follows.
    End,
}

/// What a block is, known at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// Text of the answer.
    Text,
    /// The model's words for not answering.
    Refusal,
    /// What it thinks.
    Reasoning {
        /// The item's id.
        id: Option<String>,
    },
    /// A call of a tool; its text is the arguments.
    Call {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// What the arguments are.
        kind: CallKind,
    },
    /// A picture; its text is base64.
    Image {
        /// Such as `image/png`.
        media_type: String,
    },
    /// Sound; its text is base64.
    Sound {
        /// By which a later turn refers to it.
        id: Option<String>,
    },
    /// A piece that only this dialect has, whole.
    Other {
        /// The dialect that has it.
        dialect: Dialect,
        /// The piece.
        raw: Raw,
    },
}

/// More of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// More of its text: answer, refusal, thoughts, arguments, base64, by the block's head.
    Text(String),
    /// What its maker wants back; once, in blocks of reasoning.
    Seal(Seal),
    /// A source; in blocks of text.
    Citation(Box<Citation>),
    /// What sound says.
    Transcript(String),
    /// Unix seconds until which a sound's id holds.
    Expires(u64),
}
