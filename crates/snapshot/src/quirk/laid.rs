//! Quirks as they travel, laid one over the other: what is said wins over what is wider, what is not said leaves it.

use super::{CacheMarks, Effort, Quirks, ReasoningField};
use crate::{Dialect, Invalid, Pattern};
use foldhash::{HashMap, HashMapExt};
use keyway_proto::snapshot::v1::{self as wire, Kind};

/// Two quirks that cannot hold at one time, or one that says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Contradiction(&'static str);

/// What single models of a provider do differently.
#[derive(Debug, Default)]
pub(crate) struct ByModel {
    offers: HashMap<Box<str>, wire::Quirks>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    models: Pattern,
    /// Unspecified = every one.
    dialect: Dialect,
    said: wire::Quirks,
}

/// One list of what is there or not, so that none is forgotten where quirks are laid and shown.
macro_rules! flags {
    ($($name:ident)*) => {
        impl Quirks {
            fn lay_flags(&mut self, over: &wire::Quirks) {
                $(self.$name = over.$name.unwrap_or(self.$name);)*
            }

            fn flags(&self) -> impl Iterator<Item = &'static str> {
                [$((stringify!($name), self.$name)),*].into_iter().filter_map(|(name, held)| held.then_some(name))
            }
        }
    };
}

flags! {
    old_max_tokens no_developer_role tool_choice_any no_tool_choice no_parallel_calls no_strict no_json_schema
    no_sampling no_penalties no_stop no_logprobs no_logit_bias no_choices random_seed no_user no_extras no_cache_key no_call_ids short_call_ids
    no_forced_calls no_thinking thinking_always needs_thoughts thinking_switch adaptive_thinking thinking_budget signed_calls late_system no_prefill no_image_url
    no_result_media no_model_fields no_cache_points
}

// === impl Quirks ===

impl Quirks {
    /// Lays what is said over what holds already. Words of a newer control plane are not said.
    pub fn lay(&mut self, over: &wire::Quirks) {
        self.lay_flags(over);
        self.max_output_tokens = over.max_output_tokens.or(self.max_output_tokens);
        let efforts = over.efforts().filter_map(effort);
        self.efforts =
            Some(efforts.collect()).filter(|said: &super::Efforts| !said.is_empty()).unwrap_or(self.efforts);
        self.reasoning_field = match over.reasoning_field() {
            wire::ReasoningField::Unspecified => self.reasoning_field,
            wire::ReasoningField::None => None,
            wire::ReasoningField::ReasoningContent => Some(ReasoningField::ReasoningContent),
            wire::ReasoningField::Reasoning => Some(ReasoningField::Reasoning),
            wire::ReasoningField::ReasoningDetails => Some(ReasoningField::Details),
        };
        self.cache_marks = match over.cache_marks() {
            wire::CacheMarks::Unspecified => self.cache_marks,
            wire::CacheMarks::None => None,
            wire::CacheMarks::Breakpoint => Some(CacheMarks::Breakpoint),
            wire::CacheMarks::Control => Some(CacheMarks::Control),
        };
    }

    /// What differs from the dialect, in the words of rows and files: `no_sampling`, `efforts: low, high`.
    #[must_use]
    pub fn held(&self) -> Vec<String> {
        let mut all: Vec<String> = self.flags().map(str::to_owned).collect();
        all.extend(self.no_stream_options.then(|| "no_stream_options".to_owned()));
        let mut more =
            |name, value: Option<String>| all.extend(value.map(|value| format!("{name}: {value}")));
        more("max_output_tokens", self.max_output_tokens.map(|most| most.to_string()));
        more("efforts", (!self.efforts.is_empty()).then(|| self.efforts.to_string()));
        more("reasoning_field", self.reasoning_field.map(|field| field.as_str().to_owned()));
        more("cache_marks", self.cache_marks.map(|marks| marks.as_str().to_owned()));
        all
    }

    /// Whether what is said in one place can hold.
    ///
    /// # Errors
    /// The two that contradict each other.
    pub fn check(said: &wire::Quirks) -> Result<(), Contradiction> {
        let is = |flag: Option<bool>| flag == Some(true);
        let thinks = is(said.adaptive_thinking) || is(said.thinking_switch) || is(said.thinking_budget);
        Err(Contradiction(if said.max_output_tokens == Some(0) {
            "`max_output_tokens` must be more than 0"
        } else if is(said.no_tool_choice) && is(said.tool_choice_any) {
            "`no_tool_choice` and `tool_choice_any` cannot both hold"
        } else if is(said.no_thinking) && (thinks || !said.efforts.is_empty()) {
            "`no_thinking` leaves nothing to say of thinking; remove it or the other"
        } else if is(said.no_model_fields) && is(said.adaptive_thinking) {
            "`no_model_fields` leaves no place for `adaptive_thinking`"
        } else {
            return Ok(());
        }))
    }
}

fn effort(said: wire::Effort) -> Option<Effort> {
    Some(match said {
        wire::Effort::Unspecified => return None,
        wire::Effort::None => Effort::None,
        wire::Effort::Minimal => Effort::Minimal,
        wire::Effort::Low => Effort::Low,
        wire::Effort::Medium => Effort::Medium,
        wire::Effort::High => Effort::High,
        wire::Effort::Xhigh => Effort::Xhigh,
        wire::Effort::Max => Effort::Max,
    })
}

// === impl ByModel ===

impl ByModel {
    pub(crate) fn build(from: &wire::Provider) -> Result<Self, Invalid> {
        let bad = |field: String, reason: String| Invalid::new(Kind::Provider, &from.name, field, reason);
        let checked = |said: &wire::Quirks, field: String| {
            Quirks::check(said).map_err(|why| bad(field, why.to_string())).map(|()| said.clone())
        };
        let mut by_model =
            Self { offers: HashMap::new(), rules: Vec::with_capacity(from.model_quirks.len()) };
        for (at, offer) in from.offers.iter().enumerate() {
            let Some(said) = &offer.quirks else { continue };
            by_model.offers.insert(offer.id.as_str().into(), checked(said, format!("offers[{at}].quirks"))?);
        }
        for (at, rule) in from.model_quirks.iter().enumerate() {
            if rule.models.is_empty() {
                return Err(bad(format!("model_quirks[{at}].models"), "names no model".to_owned()));
            }
            let Some(said) = &rule.quirks else { continue };
            let said = checked(said, format!("model_quirks[{at}].quirks"))?;
            by_model.rules.push(Rule { models: Pattern::new(&rule.models), dialect: rule.dialect(), said });
        }
        Ok(by_model)
    }

    /// All that is said of a model where this dialect is spoken, the widest first.
    pub(crate) fn of<'a>(
        &'a self,
        model: &'a str,
        dialect: Dialect,
    ) -> impl Iterator<Item = &'a wire::Quirks> {
        let here = move |rule: &&Rule| rule.dialect == Dialect::Unspecified || rule.dialect == dialect;
        let rules = self.rules.iter().filter(here).filter(move |rule| rule.models.matches(model));
        self.offers.get(model).into_iter().chain(rules.map(|rule| &rule.said))
    }
}
