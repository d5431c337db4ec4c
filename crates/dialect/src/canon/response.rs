//! What a model answers.

use super::{Block, Raw};
use crate::usage::Usage;

/// A whole reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// The provider's id of it.
    pub id: Option<String>,
    /// The model that the provider says has answered.
    pub model: Option<String>,
    /// Unix seconds.
    pub created: Option<u64>,
    /// The answers; one unless more were asked for.
    pub choices: Vec<Choice>,
    /// What it used; none if the provider did not say.
    pub usage: Option<Usage>,
    /// The tier that served it, in the provider's words.
    pub service_tier: Option<String>,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// What it is made of, in order.
    pub blocks: Vec<Block>,
    /// Why it ended; none only while it has not.
    pub stop: Option<Stop>,
    /// Probabilities of its tokens, in pieces: each a JSON array as OpenAI chat's `logprobs.content`.
    pub logprobs: Vec<Raw>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// In the model's words.
    pub reason: StopReason,
    /// The text that ended it.
    pub sequence: Option<String>,
    /// In the provider's words.
    pub native: Option<String>,
    /// What the provider says about it: for a refusal its category and explanation, a JSON object.
    pub detail: Option<Raw>,
}

/// Reasons for an answer's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It was complete.
    End,
    /// A stop sequence.
    Sequence,
    /// The most tokens of an answer.
    Length,
    /// The model's window is full.
    ContextFull,
    /// Tools were called.
    Call,
    /// A filter.
    Filtered,
    /// The model would not.
    Refused,
    /// A pause: send the conversation again to go on.
    Paused,
    /// A call that cannot be read.
    BrokenCall,
    /// Something else.
    Other,
}

// === impl Stop ===

impl Stop {
    /// A stop with the provider's word for it.
    #[must_use]
    pub fn new(reason: StopReason, native: Option<&str>) -> Self {
        Self { reason, sequence: None, native: native.map(str::to_owned), detail: None }
    }
}
