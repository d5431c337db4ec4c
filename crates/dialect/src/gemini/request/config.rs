//! `generationConfig`, both ways.

use super::super::{schema, wire};
use crate::canon::{Effort, Format, Logprobs, Raw, Request, Sampling, Thinking, ThinkingMode};
use crate::codec::Target;
use crate::json::{Fields, Json, Malformed, Value};
use crate::losses::{Losses, Spot, Thing, Unsupported};

const WITHIN: &str = "generationConfig";
const THINKING: &str = "generationConfig.thinkingConfig";
const JSON: &str = "application/json";
/// Efforts and their names, the highest first; the dialect knows none above `XHIGH`.
const LEVELS: [(Effort, &str); 5] = [
    (Effort::Xhigh, "XHIGH"),
    (Effort::High, "HIGH"),
    (Effort::Medium, "MEDIUM"),
    (Effort::Low, "LOW"),
    (Effort::Minimal, "MINIMAL"),
];

pub(super) fn decode(value: Value<'_>, request: &mut Request) -> Result<(), Malformed> {
    let mut fields = wire::fields(value)?;
    request.max_tokens = fields.with("maxOutputTokens", wire::count)?;
    request.stop = fields.with("stopSequences", |list| list.each(|_, text| text.text()))?.unwrap_or_default();
    request.sampling = Sampling {
        temperature: fields.number("temperature")?,
        top_p: fields.number("topP")?,
        top_k: fields.with("topK", wire::count)?,
        seed: fields.with("seed", wire::whole)?,
        presence_penalty: fields.number("presencePenalty")?,
        frequency_penalty: fields.number("frequencyPenalty")?,
        logit_bias: None,
    };
    request.choices = fields.with("candidateCount", wire::small)?.filter(|count| *count > 0);
    if fields.flag("responseLogprobs")?.unwrap_or_default() {
        let top = fields.with("logprobs", wire::small)?.unwrap_or_default();
        request.logprobs = Some(Logprobs { top });
    }
    request.format = format(&mut fields)?;
    request.sound = modalities(&mut fields)?;
    if let Some(mut config) = fields.with("thinkingConfig", wire::fields)? {
        request.thinking = thinking(&mut config).map_err(|bad| bad.within("thinkingConfig"))?;
        config.leave(THINKING, &mut request.extra);
    }
    fields.leave(WITHIN, &mut request.extra);
    Ok(())
}

/// A media type that is neither plain text nor JSON stays as it is, with its schema.
fn format(fields: &mut Fields<'_>) -> Result<Format, Malformed> {
    let kind = fields.peek("responseMimeType").map(Value::text).transpose()?;
    match kind.as_deref() {
        Some(JSON) => {}
        Some("" | "text/plain") => {
            fields.take("responseMimeType");
            return Ok(Format::Text);
        }
        _ => return Ok(Format::Text),
    }
    fields.take("responseMimeType");
    let older = fields.with("responseSchema", schema::schema)?;
    let schema = fields.raw("responseJsonSchema").or(older);
    Ok(schema.map_or(Format::Object, |schema| Format::Schema {
        name: None,
        description: None,
        schema,
        strict: None,
    }))
}

/// The list, if it asks for sound. Text alone is the usual; pictures and films have no place in the model.
fn modalities(fields: &mut Fields<'_>) -> Result<Option<Raw>, Malformed> {
    let Some(list) = fields.peek("responseModalities") else { return Ok(None) };
    let words = list.each(|_, word| word.text()).map_err(|bad| bad.within("responseModalities"))?;
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    if words.iter().all(|word| is(word, "TEXT")) {
        fields.take("responseModalities");
        return Ok(None);
    }
    let sound = words.iter().all(|word| is(word, "TEXT") || is(word, "AUDIO"));
    Ok(if sound { fields.raw("responseModalities") } else { None })
}

fn thinking(config: &mut Fields<'_>) -> Result<Thinking, Malformed> {
    let mode = match config.with("thinkingBudget", wire::whole)? {
        None => None,
        Some(0) => Some(ThinkingMode::Off),
        Some(budget) => Some(u64::try_from(budget).map_or(ThinkingMode::Adaptive, ThinkingMode::Budget)),
    };
    let level = config.peek("thinkingLevel").map(Value::text).transpose()?;
    let effort = level.as_deref().and_then(Effort::parse);
    if effort.is_some() {
        config.take("thinkingLevel");
    }
    let shown = config.flag("includeThoughts")?.map(|shown| if shown { "summarized" } else { "omitted" });
    Ok(Thinking { mode, effort, shown: shown.map(str::to_owned), sealed: false })
}

// Writing.

pub(super) fn encode(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    json.key(WITHIN).open_object().maybe_number("maxOutputTokens", request.max_tokens);
    if !request.stop.is_empty() {
        json.key("stopSequences").open_list();
        for text in &request.stop {
            json.text(text);
        }
        json.close_list();
    }
    sampling(json, &request.sampling, target, losses)?;
    json.maybe_number("candidateCount", request.choices);
    if let Some(Logprobs { top }) = request.logprobs {
        json.key("responseLogprobs").flag(true);
        json.maybe_number("logprobs", Some(top).filter(|top| *top > 0));
    }
    write_format(json, request, target, losses)?;
    if let Some(sound) = &request.sound {
        losses.report_if(!losses.is_same(), Thing::Sound, Spot::Request)?;
        json.key("responseModalities").raw(sound);
    }
    write_thinking(json, request, target, losses)?;
    losses.nested(&request.extra, WITHIN, json);
    json.close_object();
    Ok(())
}

fn sampling(
    json: &mut Json<'_>,
    drawn: &Sampling,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    if target.quirks.no_sampling {
        losses.report_if(drawn.temperature.is_some(), Thing::Temperature, Spot::Request)?;
        losses.report_if(drawn.top_p.is_some(), Thing::TopP, Spot::Request)?;
        losses.report_if(drawn.top_k.is_some(), Thing::TopK, Spot::Request)?;
    } else {
        json.maybe_number("temperature", drawn.temperature).maybe_number("topP", drawn.top_p);
        json.maybe_number("topK", drawn.top_k);
    }
    json.maybe_number("seed", drawn.seed);
    if target.quirks.no_penalties {
        let matters = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
        losses.report_if(matters(drawn.presence_penalty), Thing::PresencePenalty, Spot::Request)?;
        losses.report_if(matters(drawn.frequency_penalty), Thing::FrequencyPenalty, Spot::Request)?;
    } else {
        json.maybe_number("presencePenalty", drawn.presence_penalty);
        json.maybe_number("frequencyPenalty", drawn.frequency_penalty);
    }
    losses.report_if(drawn.logit_bias.is_some(), Thing::LogitBias, Spot::Request)
}

fn write_format(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let (name, description, schema, strict) = match &request.format {
        Format::Text => return Ok(()),
        Format::Object => {
            json.member("responseMimeType", JSON);
            return Ok(());
        }
        Format::Schema { name, description, schema, strict } => (name, description, schema, strict),
    };
    losses.report_if(target.quirks.no_json_schema, Thing::JsonSchema, Spot::Request)?;
    let noted = name.is_some() || description.is_some() || *strict == Some(true);
    losses.report_if(noted, Thing::SchemaNote, Spot::Request)?;
    json.member("responseMimeType", JSON).key("responseJsonSchema").raw(schema);
    Ok(())
}

/// A level or a budget: the API takes one of them.
fn write_thinking(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let thinking = &request.thinking;
    let asked = matches!(thinking.mode, Some(ThinkingMode::Adaptive | ThinkingMode::Budget(_)))
        || thinking.effort.is_some_and(|effort| effort > Effort::None);
    if target.quirks.no_thinking {
        return losses.report_if(asked, Thing::Thinking, Spot::Request);
    }
    let (mut budget, mut level) = amount(thinking, losses.is_same(), target.quirks.thinking_budget);
    let efforts = target.quirks.efforts;
    if !losses.is_same() {
        // A model that always thinks can be told to think the least, where it knows levels.
        if budget == Some(0) && target.quirks.thinking_always {
            (budget, level) = (None, (!efforts.is_empty()).then_some(Effort::None));
        }
        level = level.map(|level| efforts.nearest(level));
    }
    let bounded = matches!(thinking.mode, Some(ThinkingMode::Off | ThinkingMode::Budget(_)));
    let unsaid = bounded && level.is_none() && thinking.effort.is_some_and(|effort| effort > Effort::None);
    losses.report_if(unsaid, Thing::Thinking, Spot::Request)?;
    // Callers of other dialects see thoughts where the model thinks, if they are not told to be left out.
    let shown = match thinking.shown.as_deref() {
        Some("omitted") => Some(false),
        Some(shown) => {
            let how = matches!(shown, "concise" | "detailed");
            losses.report_if(how, Thing::ThinkingShown, Spot::Request)?;
            Some(true)
        }
        None => (asked && !losses.is_same()).then_some(true),
    };
    let rest = losses.is_same() && request.extra.iter().any(|extra| extra.within == THINKING);
    if budget.is_none() && level.is_none() && shown.is_none() && !rest {
        return Ok(());
    }
    json.key("thinkingConfig").open_object().maybe_number("thinkingBudget", budget);
    let named = level.and_then(|level| LEVELS.iter().find(|(effort, _)| *effort <= level));
    json.maybe("thinkingLevel", named.map(|(_, name)| *name)).maybe_flag("includeThoughts", shown);
    losses.nested(&request.extra, THINKING, json);
    json.close_object();
    Ok(())
}

/// A budget in tokens or an effort: the API takes one of them.
fn amount(thinking: &Thinking, same: bool, by_budget: bool) -> (Option<i64>, Option<Effort>) {
    let budget = thinking.mode.map(|mode| match mode {
        ThinkingMode::Off => 0,
        ThinkingMode::Adaptive => -1,
        ThinkingMode::Budget(budget) => i64::try_from(budget).unwrap_or(i64::MAX),
    });
    match (budget, thinking.effort) {
        (budget, effort) if same => (budget, effort),
        (None, Some(Effort::None)) => (Some(0), None),
        (None | Some(-1), Some(effort)) if by_budget => (Some(budget_of(effort)), None),
        (None | Some(-1), Some(effort)) => (None, Some(effort)),
        (budget, _) => (budget, None),
    }
}

/// Budgets in tokens that the provider's own OpenAI-compatible endpoint takes for efforts.
const fn budget_of(effort: Effort) -> i64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High | Effort::Xhigh | Effort::Max => 24576,
    }
}
