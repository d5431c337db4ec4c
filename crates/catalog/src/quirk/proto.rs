//! Quirks as the snapshot carries them.

use super::{CacheMarks, Effort, Quirks, ReasoningField, Rule};
use keyway_proto::snapshot::v1::{self as wire, Dialect};
use keyway_snapshot::Pattern;

// === impl Quirks ===

impl Quirks {
    /// What a relative of OpenAI's chat is told where nothing is known of it: the words that all of them know.
    #[must_use]
    pub fn of_relative() -> Self {
        Self {
            old_max_tokens: Some(true),
            no_developer_role: Some(true),
            no_extras: Some(true),
            no_cache_key: Some(true),
            ..Self::default()
        }
    }

    /// As the snapshot carries it. `no_stream_options` stands on the surface there.
    #[must_use]
    pub fn to_proto(&self) -> wire::Quirks {
        wire::Quirks {
            max_output_tokens: self.max_output_tokens,
            old_max_tokens: self.old_max_tokens,
            no_developer_role: self.no_developer_role,
            tool_choice_any: self.tool_choice_any,
            no_tool_choice: self.no_tool_choice,
            no_parallel_calls: self.no_parallel_calls,
            no_strict: self.no_strict,
            no_json_schema: self.no_json_schema,
            no_sampling: self.no_sampling,
            no_penalties: self.no_penalties,
            no_stop: self.no_stop,
            no_logprobs: self.no_logprobs,
            no_logit_bias: self.no_logit_bias,
            no_choices: self.no_choices,
            random_seed: self.random_seed,
            no_user: self.no_user,
            no_extras: self.no_extras,
            no_cache_key: self.no_cache_key,
            no_call_ids: self.no_call_ids,
            short_call_ids: self.short_call_ids,
            no_thinking: self.no_thinking,
            thinking_switch: self.thinking_switch,
            adaptive_thinking: self.adaptive_thinking,
            thinking_budget: self.thinking_budget,
            efforts: self.efforts.iter().map(|effort| effort.to_proto().into()).collect(),
            reasoning_field: self.reasoning_field.map_or(0, |field| field.to_proto().into()),
            signed_calls: self.signed_calls,
            late_system: self.late_system,
            no_prefill: self.no_prefill,
            no_image_url: self.no_image_url,
            no_result_media: self.no_result_media,
            no_model_fields: self.no_model_fields,
            no_cache_points: self.no_cache_points,
            no_forced_calls: self.no_forced_calls,
            thinking_always: self.thinking_always,
            needs_thoughts: self.needs_thoughts,
            cache_marks: self.cache_marks.map_or(0, |marks| marks.to_proto().into()),
        }
    }
}

// === impl Rule ===

impl Rule {
    /// As the snapshot carries it; `None` for one about all models, which stands on the surface there.
    #[must_use]
    pub fn to_proto(&self) -> Option<wire::ModelQuirks> {
        let (quirks, dialect) = (Some(self.set.to_proto()), self.dialect.into());
        Some(wire::ModelQuirks { models: self.models.clone()?, quirks, dialect })
    }

    /// Whether it holds for the whole surface of this dialect.
    #[must_use]
    pub fn is_for_all(&self, dialect: Dialect) -> bool {
        self.models.is_none() && self.is_on(dialect)
    }

    /// Whether it is about some models, and this one among them where this dialect is spoken.
    #[must_use]
    pub fn fits(&self, dialect: Dialect, model: &str) -> bool {
        self.is_on(dialect)
            && self.models.as_deref().is_some_and(|models| Pattern::new(models).matches(model))
    }

    fn is_on(&self, dialect: Dialect) -> bool {
        self.dialect == Dialect::Unspecified || self.dialect == dialect
    }
}

impl ReasoningField {
    fn to_proto(self) -> wire::ReasoningField {
        match self {
            Self::None => wire::ReasoningField::None,
            Self::ReasoningContent => wire::ReasoningField::ReasoningContent,
            Self::Reasoning => wire::ReasoningField::Reasoning,
            Self::ReasoningDetails => wire::ReasoningField::ReasoningDetails,
        }
    }
}

impl CacheMarks {
    fn to_proto(self) -> wire::CacheMarks {
        match self {
            Self::None => wire::CacheMarks::None,
            Self::Breakpoint => wire::CacheMarks::Breakpoint,
            Self::Control => wire::CacheMarks::Control,
        }
    }
}

impl Effort {
    fn to_proto(self) -> wire::Effort {
        match self {
            Self::None => wire::Effort::None,
            Self::Minimal => wire::Effort::Minimal,
            Self::Low => wire::Effort::Low,
            Self::Medium => wire::Effort::Medium,
            Self::High => wire::Effort::High,
            Self::Xhigh => wire::Effort::Xhigh,
            Self::Max => wire::Effort::Max,
        }
    }
}
