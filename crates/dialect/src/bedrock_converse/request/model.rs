//! `additionalModelRequestFields`: what models take beyond Converse, in the words of Anthropic's.

use super::super::wire::DIALECT;
use crate::canon::{Effort, Part, Request, Role, ThinkingMode, ToolChoice};
use crate::codec::Target;
use crate::json::{Fields, Json, Malformed, Value};
use crate::losses::{Losses, Spot, Thing, Unsupported};

/// The object that holds them, and objects in it.
pub(super) const FIELDS: &str = "additionalModelRequestFields";
const THINKING: &str = "additionalModelRequestFields.thinking";
/// The fewest tokens of a budget that models take.
const BUDGET_FLOOR: u64 = 1024;
/// Tokens that an answer is supposed to have where nobody says how many: Bedrock's own default for these models.
const USUAL_LIMIT: u64 = 4096;

// Reading.

pub(super) fn read(mut fields: Fields<'_>, request: &mut Request) -> Result<(), Malformed> {
    request.sampling.top_k = fields.count("top_k")?;
    let older = fields.with("reasoning_config", Value::fields)?.map(|config| ("reasoning_config", config));
    let thinking = fields.with("thinking", Value::fields)?.map(|config| ("thinking", config)).or(older);
    if let Some((name, mut config)) = thinking {
        thinking_mode(&mut config, request).map_err(|bad| bad.within(name))?;
        config.leave(THINKING, &mut request.extra);
    }
    if fields.peek("tool_choice").is_some_and(Value::is_object) {
        let off = fields.with("tool_choice", |value| value.fields()?.flag("disable_parallel_tool_use"))?;
        request.parallel_calls = off.flatten().map(|off| !off);
    }
    fields.leave(FIELDS, &mut request.extra);
    Ok(())
}

fn thinking_mode(config: &mut Fields<'_>, request: &mut Request) -> Result<(), Malformed> {
    let budget = config.count("budget_tokens")?;
    request.thinking.mode = match (config.need("type", Value::text)?.as_str(), budget) {
        ("disabled", _) => Some(ThinkingMode::Off),
        ("enabled", Some(tokens)) => Some(ThinkingMode::Budget(tokens)),
        ("enabled", None) => return Err(Malformed::missing("budget_tokens")),
        ("adaptive", _) => Some(ThinkingMode::Adaptive),
        _ => return Err(Malformed::new("must be enabled, adaptive or disabled").within("type")),
    };
    request.thinking.shown = config.text("display")?;
    Ok(())
}

// Writing.

/// How a request's thinking goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// What `thinking` says.
    pub(super) mode: Option<ThinkingMode>,
    /// What `outputConfig.effort` says.
    pub(super) effort: Option<Effort>,
}

// === impl Plan ===

impl Plan {
    /// True if the model will think: it then takes neither sampling nor a forced call.
    pub(super) fn thinks(self) -> bool {
        matches!(self.mode, Some(ThinkingMode::Adaptive | ThinkingMode::Budget(_)))
    }
}

/// What the target can be told of the request's thinking. An effort is said as a budget to models that know no efforts.
pub(super) fn plan(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Result<Plan, Unsupported> {
    let (asked, quirks) = (&request.thinking, target.quirks);
    if losses.is_same() {
        return Ok(Plan { mode: asked.mode, effort: asked.effort });
    }
    let plan = match (asked.mode, asked.effort) {
        (None, None) => return Ok(Plan::default()),
        (Some(ThinkingMode::Off), _) | (None, Some(Effort::None))
            if quirks.adaptive_thinking && !quirks.thinking_always =>
        {
            Some(Plan { mode: Some(ThinkingMode::Off), effort: None })
        }
        // Others do not think unless they are told to, or always.
        (Some(ThinkingMode::Off), _) | (None, Some(Effort::None)) => Some(Plan::default()),
        (mode, effort) if quirks.adaptive_thinking => {
            let of_budget = |mode| match mode {
                ThinkingMode::Budget(tokens) => Some(effort_of(tokens)),
                ThinkingMode::Off | ThinkingMode::Adaptive => None,
            };
            let effort = effort.or(mode.and_then(of_budget));
            let effort = effort.map(|effort| quirks.efforts.nearest(effort.max(Effort::Low)));
            Some(Plan { mode: Some(ThinkingMode::Adaptive), effort })
        }
        (mode, effort) => budget(mode, effort, request, target),
    };
    let forced = matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Subset { required: true, .. })
    );
    let fits = |plan: &Plan| {
        let asks = plan.mode.is_some() || plan.effort.is_some();
        !asks
            || !(quirks.no_thinking
                || quirks.no_model_fields
                || (plan.thinks() && (forced || lacks_thoughts(request, target))))
    };
    match plan.filter(fits) {
        Some(plan) => Ok(plan),
        None => losses.report(Thing::Thinking, Spot::Request).map(|()| Plan::default()),
    }
}

/// True if tools are being called and no thoughts of this target are before the calls: it would refuse to think.
fn lacks_thoughts(request: &Request, target: &Target<'_>) -> bool {
    let last = request.turns.iter().rfind(|turn| turn.role == Role::Assistant);
    let parts = || last.into_iter().flat_map(|turn| &turn.blocks).map(|block| &block.part);
    let own = |part: &Part| match part {
        Part::Reasoning(thought) => {
            thought.seal.as_ref().is_some_and(|seal| seal.is_of(DIALECT, target.provider))
        }
        _ => false,
    };
    parts().any(|part| matches!(part, Part::Call(_))) && !parts().any(own)
}

/// A budget within the answer's limit; none if there is no room for the least of them.
fn budget(
    mode: Option<ThinkingMode>,
    effort: Option<Effort>,
    request: &Request,
    target: &Target<'_>,
) -> Option<Plan> {
    let limit = request.max_tokens.or(target.quirks.max_output_tokens).unwrap_or(USUAL_LIMIT);
    let wanted = match mode {
        Some(ThinkingMode::Budget(tokens)) => tokens,
        _ => tokens_of(effort.unwrap_or(Effort::Medium)),
    };
    // Half of the limit stays for the answer.
    let tokens = wanted.min(limit / 2);
    (tokens >= BUDGET_FLOOR).then_some(Plan { mode: Some(ThinkingMode::Budget(tokens)), effort: None })
}

/// Tokens that an effort is worth, in which the dialects agree.
fn tokens_of(effort: Effort) -> u64 {
    let floors = match effort {
        Effort::None | Effort::Minimal => 1,
        Effort::Low => 2,
        Effort::Medium => 8,
        Effort::High => 16,
        Effort::Xhigh | Effort::Max => 32,
    };
    floors * BUDGET_FLOOR
}

/// The effort that comes nearest to a budget.
fn effort_of(tokens: u64) -> Effort {
    match tokens {
        0..=2048 => Effort::Low,
        2049..=8192 => Effort::Medium,
        _ => Effort::High,
    }
}

pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    (target, plan): (&Target<'_>, Plan),
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let known = losses.is_same() || !target.quirks.no_model_fields;
    json.object_if_any(FIELDS, |json| {
        let top_k = request.sampling.top_k;
        if known && (losses.is_same() || !(target.quirks.no_sampling || plan.thinks())) {
            json.maybe_number("top_k", top_k);
        } else {
            losses.report_if(top_k.is_some(), Thing::TopK, Spot::Request)?;
        }
        thinking(json, request, plan, losses)?;
        parallel(json, request, target, losses)?;
        losses.nested(&request.extra, FIELDS, json);
        Ok(())
    })
}

fn thinking(
    json: &mut Json<'_>,
    request: &Request,
    plan: Plan,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let shown = request.thinking.shown.as_deref();
    let Some(mode) = plan.mode else {
        return losses.report_if(shown.is_some(), Thing::ThinkingShown, Spot::Request);
    };
    json.key("thinking").open_object();
    match mode {
        ThinkingMode::Off => json.member("type", "disabled"),
        ThinkingMode::Adaptive => json.member("type", "adaptive"),
        ThinkingMode::Budget(tokens) => json.member("type", "enabled").key("budget_tokens").count(tokens),
    };
    let known = shown.filter(|word| losses.is_same() || matches!(*word, "summarized" | "omitted"));
    json.maybe("display", known);
    losses.report_if(shown != known, Thing::ThinkingShown, Spot::Request)?;
    losses.nested(&request.extra, THINKING, json);
    json.close_object();
    Ok(())
}

/// One call at once is a matter of Anthropic's own `tool_choice`, which repeats the one of Converse.
fn parallel(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let Some(parallel) = request.parallel_calls.filter(|parallel| losses.is_same() || !*parallel) else {
        return Ok(());
    };
    let same = losses.is_same();
    if !same && (request.tools.is_empty() || request.tool_choice == Some(ToolChoice::None)) {
        return Ok(());
    }
    let known = (same || !target.quirks.no_model_fields) && !target.quirks.no_parallel_calls;
    losses.report_if(!known, Thing::ParallelOff, Spot::Request)?;
    json.key("tool_choice").open_object();
    let choice = request.tool_choice.as_ref().filter(|_| same || !target.quirks.no_forced_calls);
    match choice {
        Some(ToolChoice::Named(name)) => json.member("type", "tool").member("name", name),
        Some(ToolChoice::Required | ToolChoice::Subset { required: true, .. }) => json.member("type", "any"),
        _ => json.member("type", "auto"),
    };
    json.key("disable_parallel_tool_use").flag(!parallel).close_object();
    Ok(())
}
