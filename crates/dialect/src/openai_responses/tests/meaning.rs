//! Requests, replies and faults in plain words, to be held against what a fixture says that they mean.

use crate::canon::{
    Block, CallKind, Format, Media, Part, Request, Response, Role, Source, ToolBody, ToolChoice,
};
use crate::fault::Fault;
use keyway_proto::snapshot::v1::Meter;
use serde_json::{Map, Value, json};

pub(super) fn request(request: &Request) -> Value {
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| {
        if !value.is_null() && value != json!(false) && value != json!([]) {
            said.insert(name.to_owned(), value);
        }
    };
    say("model", json!(request.model));
    say("stream", json!(request.stream));
    say(
        "turns",
        request.turns.iter().map(|turn| list(role(turn.role), turn.blocks.iter().map(block))).collect(),
    );
    say("tools", request.tools.iter().map(|tool| self::tool(&tool.body)).collect());
    say("choice", request.tool_choice.as_ref().map_or(Value::Null, choice));
    say("max_tokens", json!(request.max_tokens));
    say("temperature", json!(request.sampling.temperature));
    say("top_p", json!(request.sampling.top_p));
    say("user", json!(request.user));
    say(
        "metadata",
        json!(request.metadata.as_ref().map(|raw| raw.as_str().split_whitespace().collect::<String>())),
    );
    say("tier", json!(request.service_tier));
    say("cache_key", json!(request.cache_key));
    say("verbosity", json!(request.verbosity));
    say("effort", json!(request.thinking.effort.map(crate::canon::Effort::as_str)));
    say("shown", json!(request.thinking.shown));
    say("sealed", json!(request.thinking.sealed));
    say("logprobs", json!(request.logprobs.map(|logprobs| logprobs.top)));
    if let Format::Schema { name, schema, strict, .. } = &request.format {
        say("format", json!([name, parsed(schema.as_str()), strict]));
    }
    for (name, flag) in [("store", request.store), ("parallel", request.parallel_calls)] {
        flag.map(|flag| said.insert(name.to_owned(), json!(flag)));
    }
    Value::Object(said)
}

pub(super) fn response(response: &Response) -> Value {
    let choice = response.choices.first().unwrap();
    let tokens = |raw: &crate::canon::Raw| parsed(raw.as_str()).as_array().unwrap().clone();
    let tokens: Vec<Value> =
        choice.logprobs.iter().flat_map(tokens).map(|one| one["token"].clone()).collect();
    json!({
        "id": response.id, "model": response.model, "created": response.created,
        "blocks": choice.blocks.iter().map(block).collect::<Vec<_>>(),
        "stop": choice.stop.as_ref().map(|stop| format!("{:?}", stop.reason)),
        "usage": response.usage.map(|usage| {
            let told = [
                ("input", usage.get(Meter::Input)), ("output", usage.get(Meter::Output)),
                ("cache_read", usage.get(Meter::CacheRead)), ("cache_write_5m", usage.get(Meter::CacheWrite5m)),
                ("cache_write_12h", usage.get(Meter::CacheWrite12h)), ("reasoning", usage.reasoning()),
            ];
            told.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect::<Map<_, _>>()
        }),
        "logprobs": tokens, "tier": response.service_tier,
    })
}

pub(super) fn fault(fault: &Fault) -> Value {
    json!({"status": fault.status, "code": fault.code.as_str(), "param": fault.param, "message": fault.message})
}

pub(super) fn block(block: &Block) -> Value {
    let mut value = match &block.part {
        Part::Text { text, .. } => json!(["text", text]),
        Part::Refusal(text) => json!(["refusal", text]),
        Part::Image(Media { source, .. }) => list("image", self::source(source)),
        Part::Document(document) => {
            list("document", self::source(&document.source).into_iter().chain([json!(document.title)]))
        }
        Part::Reasoning(thought) => {
            json!(["reasoning", thought.text, thought.seal.as_ref().map(|seal| &seal.value)])
        }
        Part::Call(call) if call.kind == CallKind::Custom => {
            json!(["call", call.id, call.name, call.arguments, "custom"])
        }
        Part::Call(call) => json!(["call", call.id, call.name, call.arguments]),
        Part::Result(result) => {
            list("result", [json!(result.call)].into_iter().chain(result.content.iter().map(self::block)))
        }
        Part::Other { raw, .. } => json!(["other", parsed(raw.as_str())["type"]]),
        other => panic!("no fixture has {other:?}"),
    };
    let mut more = Map::new();
    if let Part::Text { citations, .. } = &block.part {
        for one in citations {
            let (start, end) = one.span.unwrap();
            more.insert("cites".into(), json!([one.url, one.title, start, end]));
        }
    }
    block.cache.as_ref().map(|mark| more.insert("cache".into(), json!(mark.ttl_seconds)));
    if !more.is_empty() {
        value.as_array_mut().unwrap().push(Value::Object(more));
    }
    value
}

fn source(source: &Source) -> Vec<Value> {
    match source {
        Source::Inline { media_type, data } => vec![json!(media_type), json!(data)],
        Source::Url(url) => vec![json!("url"), json!(url)],
        Source::File(id) => vec![json!("file"), json!(id)],
        other => panic!("no fixture has {other:?}"),
    }
}

fn tool(body: &ToolBody) -> Value {
    match body {
        ToolBody::Function { name, description, schema, strict } => {
            json!([name, description, schema.as_ref().map(|schema| parsed(schema.as_str())), strict])
        }
        ToolBody::Other { raw, .. } => parsed(raw.as_str())["type"].clone(),
    }
}

fn choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Named(name) => json!(name),
        other => json!(format!("{other:?}")),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn list(head: &str, rest: impl IntoIterator<Item = Value>) -> Value {
    [json!(head)].into_iter().chain(rest).collect()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
