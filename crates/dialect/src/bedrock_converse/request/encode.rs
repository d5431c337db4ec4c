//! A request for a target, and what of it this dialect cannot say.

use super::super::wire::DIALECT;
use super::model::{self, Plan};
use super::{messages, tools};
use crate::canon::{Effort, Format, Raw, Request};
use crate::codec::{Encoded, Target};
use crate::json::{Json, Value};
use crate::losses::{Losses, Spot, Thing, Unsupported};

/// Letters of a label's name and value.
const LABEL_LIMIT: usize = 256;

pub(crate) fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut losses = Losses::new(request.origin, DIALECT);
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    json.open_object();
    unsaid(request, &mut losses)?;
    messages::write(json, request, target, &mut losses)?;
    let plan = model::plan(request, target, &mut losses)?;
    inference(json, request, (target, plan), &mut losses)?;
    tools::write(json, request, target, &mut losses)?;
    model::write(json, request, (target, plan), &mut losses)?;
    output(json, request, (target, plan.effort), &mut losses)?;
    if let Some(tier) = &request.service_tier {
        service_tier(json, request, tier, &mut losses)?;
    }
    if let Some(labels) = &request.metadata {
        let fit = losses.is_same() || are_labels(labels);
        losses.report_if(!fit, Thing::Metadata, Spot::Request)?;
        json.maybe_raw("requestMetadata", Some(labels).filter(|_| fit));
    }
    losses.extras(&request.extra, Spot::Request, json)?;
    json.close_object();
    Ok(Encoded { body: body.into(), lost: losses.into_lost() })
}

/// What no field of this dialect says.
fn unsaid(request: &Request, losses: &mut Losses) -> Result<(), Unsupported> {
    let drawn = &request.sampling;
    let matters = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    let things = [
        (drawn.seed.is_some(), Thing::Seed),
        (matters(drawn.presence_penalty), Thing::PresencePenalty),
        (matters(drawn.frequency_penalty), Thing::FrequencyPenalty),
        (drawn.logit_bias.as_ref().is_some_and(|bias| bias.as_str() != "{}"), Thing::LogitBias),
        (request.choices.is_some_and(|choices| choices > 1), Thing::Choices),
        (request.logprobs.is_some(), Thing::Logprobs),
        (request.verbosity.is_some(), Thing::Verbosity),
        (request.sound.is_some(), Thing::Sound),
        (request.user.is_some(), Thing::User),
        (request.store == Some(true), Thing::Store),
        (request.cache_key.is_some(), Thing::CacheKey),
    ];
    things.into_iter().try_for_each(|(there, thing)| losses.report_if(there, thing, Spot::Request))
}

fn inference(
    json: &mut Json<'_>,
    request: &Request,
    (target, plan): (&Target<'_>, Plan),
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    json.object_if_any("inferenceConfig", |json| {
        json.maybe_number("maxTokens", request.max_tokens);
        let drawn = &request.sampling;
        let taken = losses.is_same() || !(target.quirks.no_sampling || plan.thinks());
        // The dialect knows 0 to 1 only: more becomes 1, and is named.
        for (name, asked, thing) in
            [("temperature", drawn.temperature, Thing::Temperature), ("topP", drawn.top_p, Thing::TopP)]
        {
            let sent = asked
                .filter(|_| taken)
                .map(|asked| if losses.is_same() { asked } else { asked.clamp(0.0, 1.0) });
            losses.report_if(sent != asked, thing, Spot::Request)?;
            json.maybe_number(name, sent);
        }
        if !request.stop.is_empty() {
            json.key("stopSequences").open_list();
            request.stop.iter().for_each(|text| {
                json.text(text);
            });
            json.close_list();
        }
        losses.nested(&request.extra, "inferenceConfig", json);
        Ok(())
    })
}

fn output(
    json: &mut Json<'_>,
    request: &Request,
    (target, effort): (&Target<'_>, Option<Effort>),
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    json.object_if_any("outputConfig", |json| {
        text_format(json, request, target, losses)?;
        json.maybe("effort", effort.map(Effort::as_str));
        losses.nested(&request.extra, "outputConfig", json);
        Ok(())
    })
}

fn text_format(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let (name, description, schema, strict) = match &request.format {
        Format::Text => return Ok(()),
        Format::Object => return losses.report(Thing::JsonObject, Spot::Request),
        Format::Schema { name, description, schema, strict } => (name, description, schema, strict),
    };
    losses.report_if(target.quirks.no_json_schema, Thing::JsonSchema, Spot::Request)?;
    // Answers always follow the schema to the letter.
    losses.report_if(*strict == Some(false), Thing::SchemaNote, Spot::Request)?;
    json.key("textFormat").open_object().member("type", "json_schema");
    json.key("structure").open_object().key("jsonSchema").open_object().member("schema", schema.as_str());
    json.maybe("name", name.as_deref()).maybe("description", description.as_deref());
    losses.nested(&request.extra, "outputConfig.textFormat.structure.jsonSchema", json);
    json.close_object().close_object();
    losses.nested(&request.extra, "outputConfig.textFormat", json);
    json.close_object();
    Ok(())
}

/// Tiers are the provider's own words: another dialect's mean something else.
fn service_tier(
    json: &mut Json<'_>,
    request: &Request,
    tier: &str,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    if !losses.is_same() {
        return losses.report(Thing::ServiceTier, Spot::Request);
    }
    json.key("serviceTier").open_object().member("type", tier);
    losses.nested(&request.extra, "serviceTier", json);
    json.close_object();
    Ok(())
}

/// True of an object of short texts without uncommon letters, which is all that `requestMetadata` takes.
fn are_labels(labels: &Raw) -> bool {
    let common = |byte: u8| {
        byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b":_@$#=/+,-.".contains(&byte)
    };
    let fits = |text: &str| text.len() <= LABEL_LIMIT && text.bytes().all(common);
    let read = Value::parse(labels.as_str().as_bytes()).and_then(Value::fields);
    read.is_ok_and(|fields| {
        fields.rest().iter().all(|label| {
            let text = serde_json::from_str::<String>(label.raw.as_str());
            !label.name.is_empty() && fits(&label.name) && text.is_ok_and(|text| fits(&text))
        })
    })
}
