//! Quirks as rows and files write them: every field may be left out, which says nothing. What each means stands with
//! `keyway_snapshot::Quirks`.

mod of_model;
mod proto;

use crate::names::read_dialect;
use keyway_proto::snapshot::v1::Dialect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a provider or a model does differently from its dialect. What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// The most tokens that an answer may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// OpenAI chat: the limit is called `max_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_max_tokens: Option<bool>,
    /// OpenAI chat: `stream_options` is refused. Not for single models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_stream_options: Option<bool>,
    /// OpenAI chat, Responses: there is no role `developer`; `system` is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_developer_role: Option<bool>,
    /// OpenAI chat: the field in which thoughts are sent back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_field: Option<ReasoningField>,
    /// `tool_choice` is `any` where the dialect says `required`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice_any: Option<bool>,
    /// `tool_choice` is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_tool_choice: Option<bool>,
    /// `tool_choice` cannot force a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_forced_calls: Option<bool>,
    /// `parallel_tool_calls` is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_parallel_calls: Option<bool>,
    /// `strict` of tools and schemas is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_strict: Option<bool>,
    /// JSON by a schema cannot be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_json_schema: Option<bool>,
    /// Temperature, `top_p`, `top_k` are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_sampling: Option<bool>,
    /// OpenAI chat, Gemini: the penalties on presence and frequency are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_penalties: Option<bool>,
    /// OpenAI chat: `stop` is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_stop: Option<bool>,
    /// OpenAI chat, Responses: `logprobs` are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_logprobs: Option<bool>,
    /// OpenAI chat: `logit_bias` is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_logit_bias: Option<bool>,
    /// OpenAI chat: `n` is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_choices: Option<bool>,
    /// OpenAI chat: the seed is called `random_seed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_seed: Option<bool>,
    /// OpenAI chat: `user` is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_user: Option<bool>,
    /// OpenAI chat: `metadata`, `store`, `verbosity` are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_extras: Option<bool>,
    /// OpenAI chat: `prompt_cache_key` is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_cache_key: Option<bool>,
    /// OpenAI chat: ids of calls must be nine letters and digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_call_ids: Option<bool>,
    /// Thinking cannot be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_thinking: Option<bool>,
    /// Thinking cannot be switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_always: Option<bool>,
    /// OpenAI chat: a message of the assistant's without thoughts is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_thoughts: Option<bool>,
    /// OpenAI chat: thinking is `thinking: { type: enabled | disabled }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_switch: Option<bool>,
    /// Anthropic: thinking is `adaptive`, never a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_thinking: Option<bool>,
    /// Gemini: thinking is a budget, never a level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_budget: Option<bool>,
    /// Efforts of reasoning that are known; the nearest is sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub efforts: Vec<Effort>,
    /// Gemini: the first call of a turn must be signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_calls: Option<bool>,
    /// Anthropic: system text may stand amid the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_system: Option<bool>,
    /// An assistant's turn at the end is not continued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_prefill: Option<bool>,
    /// Pictures by address are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_image_url: Option<bool>,
    /// Gemini: calls and results have no ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_call_ids: Option<bool>,
    /// Gemini: a tool's result holds no media.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_result_media: Option<bool>,
    /// Bedrock: `additionalModelRequestFields` takes none of Anthropic's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_model_fields: Option<bool>,
    /// Bedrock: cache points are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_cache_points: Option<bool>,
    /// OpenAI chat: how cache marks are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_marks: Option<CacheMarks>,
}

/// Where OpenAI chat's relatives carry thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the fields' own")]
pub enum ReasoningField {
    /// Thoughts are not sent back.
    None,
    ReasoningContent,
    Reasoning,
    ReasoningDetails,
}

/// How OpenAI chat's relatives write cache marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheMarks {
    /// Not at all.
    None,
    /// `prompt_cache_breakpoint`, as OpenAI.
    Breakpoint,
    /// `cache_control`, as Anthropic.
    Control,
}

/// How hard a model tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

/// What a row says of its models, or of some of them, and how that is known.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Where this dialect is spoken; unspecified = on every surface.
    #[serde(default, deserialize_with = "read_dialect")]
    pub dialect: Dialect,
    /// The provider's own name of a model; `*` stands for any characters. Absent = all.
    pub models: Option<String>,
    /// How it is known.
    pub source: String,
    /// What differs.
    pub set: Quirks,
}
