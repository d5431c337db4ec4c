//! What a request, a reply or a fault means, as JSON that people write by hand. What is usual is left out.

use crate::canon::{Block, Citation, Format, Media, Part, Request, Response, Source, ToolBody, Turn};
use crate::fault::Fault;
use keyway_proto::snapshot::v1::Meter;
use serde_json::{Map, Value, json};

const METERS: [Meter; 9] = [
    Meter::Input,
    Meter::Output,
    Meter::CacheRead,
    Meter::CacheWrite5m,
    Meter::AudioInput,
    Meter::AudioOutput,
    Meter::CacheReadAudio,
    Meter::ImageInput,
    Meter::ImageOutput,
];

/// An object without the members that hold nothing.
fn object(members: Vec<(&str, Value)>) -> Value {
    let is_said = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    let said = members.into_iter().filter(|(_, value)| is_said(value));
    Value::Object(said.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(super) fn request(request: &Request) -> Value {
    let sampling = &request.sampling;
    let (schema, object_form) = match &request.format {
        Format::Text => (Value::Null, false),
        Format::Object => (Value::Null, true),
        Format::Schema { schema, .. } => (parsed(schema.as_str()), false),
    };
    let thinking = &request.thinking;
    let thought = thinking != &crate::canon::Thinking::default();
    let settings = object(vec![
        ("temperature", json!(sampling.temperature)),
        ("top_p", json!(sampling.top_p)),
        ("top_k", json!(sampling.top_k)),
        ("max_tokens", json!(request.max_tokens)),
        ("stop", json!(request.stop)),
        ("seed", json!(sampling.seed)),
        ("presence", json!(sampling.presence_penalty)),
        ("frequency", json!(sampling.frequency_penalty)),
        ("choices", json!(request.choices)),
        ("logprobs", json!(request.logprobs.map(|logprobs| logprobs.top))),
        ("schema", schema),
        ("json", json!(object_form)),
        (
            "thinking",
            json!(thought.then(|| format!("{:?} {:?} {:?}", thinking.mode, thinking.effort, thinking.shown))),
        ),
    ]);
    let tools = request.tools.iter().map(|tool| match &tool.body {
        ToolBody::Function { name, description, schema, .. } => object(vec![
            ("name", json!(name)),
            ("description", json!(description)),
            ("schema", schema.as_ref().map_or(Value::Null, |schema| parsed(schema.as_str()))),
        ]),
        ToolBody::Other { raw, .. } => json!({ "other": parsed(raw.as_str()) }),
    });
    object(vec![
        ("turns", request.turns.iter().map(turn).collect()),
        ("tools", tools.collect()),
        ("tool_choice", json!(request.tool_choice.as_ref().map(|choice| format!("{choice:?}")))),
        ("settings", if settings == json!({}) { Value::Null } else { settings }),
        ("extra", request.extra.iter().map(|extra| json!(extra.name)).collect()),
    ])
}

fn turn(turn: &Turn) -> Value {
    let role = format!("{:?}", turn.role).to_lowercase();
    json!({ role: turn.blocks.iter().map(block).collect::<Vec<_>>() })
}

fn block(block: &Block) -> Value {
    let extra = block.extra.iter().map(|extra| match extra.within {
        "" => json!(extra.name),
        within => json!(format!("{within}.{}", extra.name)),
    });
    let mut members = part(&block.part);
    members.push(("extra", extra.collect()));
    object(members)
}

fn part(part: &Part) -> Vec<(&'static str, Value)> {
    match part {
        Part::Text { text, citations } => {
            vec![("text", json!(text)), ("cites", citations.iter().map(citation).collect())]
        }
        Part::Refusal(words) => vec![("refusal", json!(words))],
        Part::Image(Media { source, .. }) => medium("image", source),
        Part::Audio(Media { source, .. }) => medium("audio", source),
        Part::Video(Media { source, .. }) => medium("video", source),
        Part::Document(document) => {
            let mut members = medium("document", &document.source);
            members.push(("title", json!(document.title)));
            members
        }
        Part::Sound(sound) => vec![("sound", json!(sound.transcript))],
        Part::Reasoning(thought) => {
            let seal = thought.seal.as_ref().map(|seal| seal.value.as_str());
            vec![("thought", json!(thought.text)), ("seal", json!(seal))]
        }
        Part::Call(call) => {
            vec![("call", json!(call.name)), ("id", json!(call.id)), ("arguments", parsed(&call.arguments))]
        }
        Part::Result(result) => vec![
            ("result", json!(result.call)),
            ("name", json!(result.name)),
            ("content", result.content.iter().map(block).collect()),
            ("failed", json!(result.is_error)),
        ],
        Part::Other { raw, .. } => vec![("other", parsed(raw.as_str()))],
    }
}

fn medium(kind: &'static str, source: &Source) -> Vec<(&'static str, Value)> {
    let (form, data) = match source {
        Source::Inline { media_type, data } => (media_type.as_str(), data),
        Source::Url(url) => ("url", url),
        Source::File(id) => ("file", id),
        Source::Text(text) => ("text", text),
        Source::Other(..) => panic!("no such source here"),
    };
    vec![(kind, json!(form)), ("data", json!(data))]
}

fn citation(citation: &Citation) -> Value {
    object(vec![
        ("url", json!(citation.url)),
        ("title", json!(citation.title)),
        ("quote", json!(citation.quote)),
        ("span", json!(citation.span)),
    ])
}

pub(super) fn response(response: &Response) -> Value {
    let choices = response.choices.iter().map(|choice| {
        let logprobs =
            choice.logprobs.iter().flat_map(|raw| parsed(raw.as_str()).as_array().unwrap().clone());
        let mut members = object(vec![
            ("stop", json!(choice.stop.as_ref().map(|stop| format!("{:?}", stop.reason)))),
            ("logprobs", logprobs.collect()),
        ]);
        members["parts"] = choice.blocks.iter().map(block).collect();
        members
    });
    let usage = response.usage.map(|usage| {
        let mut counts: Map<String, Value> = Map::new();
        for meter in METERS.into_iter().filter(|meter| usage.get(*meter) > 0) {
            counts.insert(format!("{meter:?}"), json!(usage.get(meter)));
        }
        if usage.reasoning() > 0 {
            counts.insert("reasoning".to_owned(), json!(usage.reasoning()));
        }
        Value::Object(counts)
    });
    object(vec![
        ("id", json!(response.id)),
        ("model", json!(response.model)),
        ("tier", json!(response.service_tier)),
        ("choices", choices.collect()),
        ("usage", json!(usage)),
    ])
}

pub(super) fn fault(fault: &Fault) -> Value {
    object(vec![
        ("status", json!(fault.status)),
        ("code", json!(fault.code.as_str())),
        ("message", json!(fault.message)),
        ("param", json!(fault.param)),
        ("retry_after", json!(fault.retry_after)),
    ])
}
