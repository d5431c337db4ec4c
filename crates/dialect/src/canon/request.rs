//! What a caller asks for.

use super::{Block, CacheMark, Extra, Raw, Tool, ToolChoice};
use keyway_proto::snapshot::v1::Dialect;
use keyway_snapshot::Effort;
use std::collections::HashMap;

/// A request for an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The caller's dialect.
    pub origin: Dialect,
    /// The model as asked for.
    pub model: String,
    /// True if the answer shall stream.
    pub stream: bool,
    /// True if the stream shall tell its usage, where a dialect lets callers choose.
    pub include_usage: bool,
    /// The conversation, system text included, in the caller's order.
    pub turns: Vec<Turn>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it calls; none is the dialect's usual.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several tools at once.
    pub parallel_calls: Option<bool>,
    /// The most tokens of the answer, reasoning included.
    pub max_tokens: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// How many answers; none is one.
    pub choices: Option<u32>,
    /// Whether tokens' probabilities are told.
    pub logprobs: Option<Logprobs>,
    /// The form of the answer.
    pub format: Format,
    /// `low`, `medium`, `high`.
    pub verbosity: Option<String>,
    /// How much the model thinks.
    pub thinking: Thinking,
    /// Sound as an answer: the dialect's settings for it.
    pub sound: Option<Raw>,
    /// The tier asked for, in the caller's words.
    pub service_tier: Option<String>,
    /// Who the end user is.
    pub user: Option<String>,
    /// Labels, as a JSON object.
    pub metadata: Option<Raw>,
    /// Whether the provider keeps the answer.
    pub store: Option<bool>,
    /// What the provider chooses caches by.
    pub cache_key: Option<String>,
    /// A mark on the whole request: the provider finds the place.
    pub cache: Option<CacheMark>,
    /// Members of the outermost object that the model does not know.
    pub extra: Vec<Extra>,
}

/// What one party said.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Who.
    pub role: Role,
    /// What, in order.
    pub blocks: Vec<Block>,
    /// The speaker's name.
    pub name: Option<String>,
    /// Its place in the caller's list of messages; none for system text that stands outside it.
    pub at: Option<u32>,
    /// Members that the model does not know.
    pub extra: Vec<Extra>,
}

/// Who speaks. Results of tools are blocks of a user's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions above all.
    System,
    /// Instructions of the application, where a dialect tells them from the system's.
    Developer,
    /// The user, and tools.
    User,
    /// The model.
    Assistant,
}

/// How tokens are drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 is the likeliest token.
    pub temperature: Option<f64>,
    /// The share of likelihood that is drawn from.
    pub top_p: Option<f64>,
    /// The number of tokens that are drawn from.
    pub top_k: Option<u64>,
    /// For the same answer again.
    pub seed: Option<i64>,
    /// Against tokens that are there already.
    pub presence_penalty: Option<f64>,
    /// Against tokens that are there often.
    pub frequency_penalty: Option<f64>,
    /// Token id to bias, a JSON object.
    pub logit_bias: Option<Raw>,
}

/// Probabilities of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logprobs {
    /// How many likeliest tokens are told at each place.
    pub top: u32,
}

/// The form of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text.
    #[default]
    Text,
    /// Some JSON object.
    Object,
    /// JSON by a schema.
    Schema {
        /// The schema's name.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// JSON Schema.
        schema: Raw,
        /// True if the answer must follow it to the letter.
        strict: Option<bool>,
    },
}

/// How much the model thinks, and what of it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thinking {
    /// Whether it thinks at all, and what bounds it.
    pub mode: Option<ThinkingMode>,
    /// How hard it tries.
    pub effort: Option<Effort>,
    /// What is shown of it: `summarized`, `omitted`, `auto`, `concise`, `detailed`.
    pub shown: Option<String>,
    /// True if the caller asks for thoughts in sealed form, to give them back in the next turn.
    pub sealed: bool,
}

/// Whether the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingMode {
    /// It does not.
    Off,
    /// As it finds needful.
    Adaptive,
    /// Up to so many tokens.
    Budget(u64),
}

// === impl Request ===

impl Request {
    /// A request that says nothing yet.
    #[must_use]
    pub fn new(origin: Dialect, model: impl Into<String>) -> Self {
        Self {
            origin,
            model: model.into(),
            stream: false,
            include_usage: false,
            turns: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_calls: None,
            max_tokens: None,
            stop: Vec::new(),
            sampling: Sampling::default(),
            choices: None,
            logprobs: None,
            format: Format::Text,
            verbosity: None,
            thinking: Thinking::default(),
            sound: None,
            service_tier: None,
            user: None,
            metadata: None,
            store: None,
            cache_key: None,
            cache: None,
            extra: Vec::new(),
        }
    }

    /// The names of the tools that calls went to, by the calls' ids, for dialects whose results must say them.
    #[must_use]
    pub fn called(&self) -> HashMap<&str, &str> {
        let mut names = HashMap::new();
        for block in self.turns.iter().flat_map(|turn| &turn.blocks) {
            if let super::Part::Call(call) = &block.part {
                names.entry(call.id.as_str()).or_insert(call.name.as_str());
            }
        }
        names
    }
}

// === impl Turn ===

impl Turn {
    /// A turn with nothing said about it.
    #[must_use]
    pub fn new(role: Role, blocks: Vec<Block>) -> Self {
        Self { role, blocks, name: None, at: None, extra: Vec::new() }
    }
}
