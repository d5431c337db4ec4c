//! What a model's row tells of its deviations: limits, efforts, and what it is said not to do; and all that the catalogue
//! knows of a model.

use super::{Effort, Quirks, ReasoningField};
use crate::model::{Capability, Model};
use crate::provider::{Provider, Surface};

/// Efforts that every model knows which knows any of its own.
const USUAL: [Effort; 3] = [Effort::Low, Effort::Medium, Effort::High];

/// Further ones, each with the ability that tells of it.
const FURTHER: [(Capability, Effort); 4] = [
    (Capability::EffortNone, Effort::None),
    (Capability::EffortMinimal, Effort::Minimal),
    (Capability::EffortXhigh, Effort::Xhigh),
    (Capability::EffortMax, Effort::Max),
];

// === impl Model ===

impl Model {
    /// What its row tells; `None` where that is nothing.
    #[must_use]
    pub fn quirks(&self) -> Option<Quirks> {
        let can = |what| self.can.contains(&what).then_some(true);
        let cannot = |what| self.cannot.contains(&what).then_some(true);
        let no_thinking = cannot(Capability::Reasoning);
        let quirks = Quirks {
            max_output_tokens: self.max_output_tokens.filter(|most| *most > 0),
            no_tool_choice: cannot(Capability::ToolChoice),
            no_forced_calls: cannot(Capability::ForcedToolUse),
            no_parallel_calls: cannot(Capability::ParallelTools),
            no_json_schema: cannot(Capability::JsonSchema),
            no_sampling: cannot(Capability::SamplingParams),
            no_prefill: cannot(Capability::AssistantPrefill)
                .or(can(Capability::AssistantPrefill).map(|able| !able)),
            no_thinking,
            thinking_always: can(Capability::ThinkingAlwaysOn),
            adaptive_thinking: can(Capability::AdaptiveThinking).filter(|_| no_thinking.is_none()),
            efforts: if no_thinking.is_some() { Vec::new() } else { self.efforts() },
            reasoning_field: self.reasoning_field.as_deref().and_then(ReasoningField::from_name),
            ..Quirks::default()
        };
        (quirks != Quirks::default()).then_some(quirks)
    }

    /// Those that its row lists, else the usual ones with those of which it says more; none where nothing is said.
    fn efforts(&self) -> Vec<Effort> {
        let listed: Vec<Effort> =
            self.reasoning_efforts.iter().filter_map(|word| Effort::from_name(word)).collect();
        let told = FURTHER.iter().any(|(what, _)| self.can.contains(what) || self.cannot.contains(what));
        if !listed.is_empty() || !told {
            return listed;
        }
        let further = FURTHER.iter().filter(|(what, _)| self.can.contains(what)).map(|(_, effort)| *effort);
        USUAL.into_iter().chain(further).collect()
    }
}

// === impl Provider ===

impl Provider {
    /// What differs from this surface's dialect for a model: the surface's facts, rules for all models, the model's
    /// facts, rules that fit it. For no model the first two.
    #[must_use]
    pub fn quirks_of(&self, surface: &Surface, model: Option<&Model>) -> keyway_snapshot::Quirks {
        let no_stream_options = surface.no_stream_options;
        let mut quirks = keyway_snapshot::Quirks { no_stream_options, ..Default::default() };
        quirks.lay(&surface.quirks.to_proto());
        let whole = self.quirks.iter().filter(|rule| rule.is_for_all(surface.dialect));
        whole.for_each(|rule| quirks.lay(&rule.set.to_proto()));
        let Some(model) = model else { return quirks };
        model.quirks().iter().for_each(|own| quirks.lay(&own.to_proto()));
        let own = self.quirks.iter().filter(|rule| rule.fits(surface.dialect, &model.id));
        own.for_each(|rule| quirks.lay(&rule.set.to_proto()));
        quirks
    }
}

// === impl Effort ===

impl Effort {
    fn from_name(word: &str) -> Option<Self> {
        Some(match word {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::Xhigh,
            "max" => Self::Max,
            _ => return None,
        })
    }
}

// === impl ReasoningField ===

impl ReasoningField {
    /// Rows of models name a field as it stands in messages.
    fn from_name(word: &str) -> Option<Self> {
        Some(match word {
            "reasoning_content" => Self::ReasoningContent,
            "reasoning" => Self::Reasoning,
            "reasoning_details" => Self::ReasoningDetails,
            _ => return None,
        })
    }
}
