//! What one provider or model does differently from its dialect: plain data with the dialect's usual as default.
//! Rows of the catalogue and the file fill it; codecs ask it and never look at a model's name.

mod effort;
mod laid;
#[cfg(test)]
mod tests;

pub use effort::{Effort, Efforts};
pub(crate) use laid::ByModel;
pub use laid::Contradiction;

/// Deviations from a dialect. `Quirks::default()` is the dialect as its official documents have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is there or not, whatever the others are")]
pub struct Quirks {
    /// The most tokens that the model answers with; fills in where a dialect wants a limit and the caller gave none.
    pub max_output_tokens: Option<u64>,
    /// OpenAI chat: the limit is called `max_tokens`, not `max_completion_tokens`.
    pub old_max_tokens: bool,
    /// OpenAI chat: `stream_options` is refused. Belongs to a surface, never to a model.
    pub no_stream_options: bool,
    /// OpenAI chat and Responses: `developer` is not known as a role; `system` is sent.
    pub no_developer_role: bool,
    /// OpenAI chat: thoughts are written back in this field of an assistant's message; none sends none back.
    pub reasoning_field: Option<ReasoningField>,
    /// `tool_choice` knows no `required`; `any` is sent.
    pub tool_choice_any: bool,
    /// No `tool_choice` at all.
    pub no_tool_choice: bool,
    /// `tool_choice` cannot force a call.
    pub no_forced_calls: bool,
    /// No `parallel_tool_calls`.
    pub no_parallel_calls: bool,
    /// No `strict` on tools and schemas.
    pub no_strict: bool,
    /// JSON by a schema is not known.
    pub no_json_schema: bool,
    /// Temperature, `top_p` and `top_k` are refused.
    pub no_sampling: bool,
    /// OpenAI chat and Gemini: the penalties on presence and frequency are refused.
    pub no_penalties: bool,
    /// OpenAI chat: stop sequences are refused.
    pub no_stop: bool,
    /// OpenAI chat and Responses: log probabilities are refused.
    pub no_logprobs: bool,
    /// OpenAI chat: `logit_bias` is refused.
    pub no_logit_bias: bool,
    /// OpenAI chat: one answer only; `n` is refused.
    pub no_choices: bool,
    /// OpenAI chat: the seed is called `random_seed`.
    pub random_seed: bool,
    /// OpenAI chat: `user` is refused.
    pub no_user: bool,
    /// OpenAI chat: what only OpenAI keeps or knows is refused: `metadata`, `store`, `verbosity`.
    pub no_extras: bool,
    /// OpenAI chat: `prompt_cache_key` is refused.
    pub no_cache_key: bool,
    /// OpenAI chat: ids of calls are nine letters and digits; others are sent as nine made of them.
    pub short_call_ids: bool,
    /// Reasoning cannot be asked for.
    pub no_thinking: bool,
    /// Reasoning cannot be switched off.
    pub thinking_always: bool,
    /// OpenAI chat: a message of the assistant's without thoughts is refused; a space stands for them.
    pub needs_thoughts: bool,
    /// OpenAI chat: thinking is `thinking: { type: enabled | disabled }`, not `reasoning_effort`.
    pub thinking_switch: bool,
    /// Anthropic: thinking is `adaptive` with an effort, not a budget.
    pub adaptive_thinking: bool,
    /// Gemini: how much to think is said as a budget in tokens, never as a level.
    pub thinking_budget: bool,
    /// Efforts that the model knows; the nearest is sent.
    pub efforts: Efforts,
    /// Anthropic: system text may stand amid the conversation.
    pub late_system: bool,
    /// An assistant's turn at the end is not continued.
    pub no_prefill: bool,
    /// No pictures by address.
    pub no_image_url: bool,
    /// Gemini: the first call of a turn must be signed; one of another maker says that it is not to be checked.
    pub signed_calls: bool,
    /// Gemini: calls and results have no ids.
    pub no_call_ids: bool,
    /// Gemini: a tool's result holds no media; they stand behind it in the same message.
    pub no_result_media: bool,
    /// Bedrock: the model takes no Anthropic fields in `additionalModelRequestFields`: no `thinking`, no `top_k`.
    pub no_model_fields: bool,
    /// Bedrock: the model takes no cache points.
    pub no_cache_points: bool,
    /// OpenAI chat: how cache marks are written; none drops them.
    pub cache_marks: Option<CacheMarks>,
}

/// Cache marks among OpenAI chat's relatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMarks {
    /// `prompt_cache_breakpoint`: OpenAI's own.
    Breakpoint,
    /// `cache_control`, as Anthropic's: OpenRouter and others.
    Control,
}

/// Fields in which OpenAI chat's relatives carry thoughts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningField {
    /// `reasoning_content`: DeepSeek, Moonshot and others.
    ReasoningContent,
    /// `reasoning`: Groq and others.
    Reasoning,
    /// `reasoning_details`, with seals: OpenRouter.
    Details,
}

// === impl ReasoningField ===

impl ReasoningField {
    /// The field's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReasoningContent => "reasoning_content",
            Self::Reasoning => "reasoning",
            Self::Details => "reasoning_details",
        }
    }
}

// === impl CacheMarks ===

impl CacheMarks {
    /// As rows and files write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breakpoint => "breakpoint",
            Self::Control => "control",
        }
    }
}
