//! From and to other dialects: bodies as the SDK's types have them.

use super::{ENVELOPE, asked, json, sse, target};
use crate::canon::{Event, unfold};
use crate::codec::{Codec, Envelope, codec};
use crate::losses::Thing;
use crate::openai_responses::OpenaiResponses;
use crate::quirk::{CacheMarks, Quirks};
use keyway_proto::snapshot::v1::Dialect;
use serde_json::{Value, json};

fn from(dialect: Dialect, body: &Value) -> (Value, Vec<(Thing, String)>) {
    let quirks = Quirks::default();
    let envelope = Envelope { model: "m", stream: false };
    let request = codec(dialect).unwrap().decode_request(body.to_string().as_bytes(), &envelope).unwrap();
    let encoded = OpenaiResponses.encode_request(&request, &target(&quirks)).unwrap();
    (json(&encoded.body), encoded.lost.into_iter().map(|lost| (lost.thing, lost.path)).collect())
}

fn refused(to: Dialect, body: &Value) -> String {
    let quirks = Quirks::default();
    let request = OpenaiResponses.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
    codec(to).unwrap().encode_request(&request, &target(&quirks)).unwrap_err().path
}

#[test]
fn a_chat_request_becomes_items() {
    let body = json!({
        "model": "m", "max_completion_tokens": 5, "reasoning_effort": "low", "seed": 7, "n": 1, "stream": true,
        "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": {"type": "object"}, "strict": true}},
        "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": {"type": "function", "function": {"name": "f"}},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "https://e.com/a.png"}}]},
            {"role": "assistant", "content": "Well", "tool_calls": [
                {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": ""}},
                {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
            {"role": "tool", "tool_call_id": "functions.f:0", "content": "one"},
            {"role": "tool", "tool_call_id": "b", "content": "two"},
        ],
    });
    let (found, lost) = from(Dialect::OpenaiChat, &body);
    let id = found["input"][3]["call_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("call_"), "{id}");
    let wanted = json!({
        "model": "target-model", "max_output_tokens": 16, "reasoning": {"effort": "low"}, "stream": true, "store": false,
        "include": ["reasoning.encrypted_content"],
        "text": {"format": {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": true}},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false}],
        "tool_choice": {"type": "function", "name": "f"},
        "input": [
            {"type": "message", "role": "system", "content": "Be brief."},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "https://e.com/a.png", "detail": "auto"}]},
            {"type": "message", "role": "assistant", "content": "Well"},
            {"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{\"x\":1}"},
            {"type": "function_call_output", "call_id": id, "output": "one"},
            {"type": "function_call_output", "call_id": "b", "output": "two"},
        ],
    });
    assert_eq!(found, wanted);
    let lost: Vec<_> = lost.iter().map(|(thing, path)| (*thing, path.as_str())).collect();
    assert_eq!(lost, [(Thing::OutputFloor, "max_completion_tokens"), (Thing::Seed, "seed")]);
}

#[test]
fn an_anthropic_request_becomes_items_and_sealed_thoughts_find_their_maker() {
    let sealed = "kw1:DIALECT_OPENAI_RESPONSES:e:openai:rs_1:gAAA";
    let body = json!({
        "model": "m", "max_tokens": 4000, "system": "Be brief.", "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm", "signature": sealed},
                {"type": "thinking", "thinking": "Foreign", "signature": "c2ln"},
                {"type": "text", "text": "Calling"},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": "no such city"},
                {"type": "text", "text": "And?"}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    });
    let (found, lost) = from(Dialect::AnthropicMessages, &body);
    assert_eq!(found["instructions"], "Be brief.");
    assert_eq!(found["reasoning"], json!({"effort": "low", "summary": "auto"}));
    let wanted = json!([
        {"type": "message", "role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "content": "Calling"},
        {"type": "function_call", "call_id": "toolu_1", "name": "f", "arguments": "{\"x\":1}"},
        {"type": "function_call_output", "call_id": "toolu_1", "output": "Error: no such city"},
        {"type": "message", "role": "user", "content": "And?"},
    ]);
    assert_eq!(found["input"], wanted);
    let things: Vec<Thing> = lost.iter().map(|(thing, _)| *thing).collect();
    assert_eq!(things, [Thing::Reasoning]);
}

#[test]
fn a_run_of_the_models_items_is_one_message_in_chat() {
    let body = json!({"model": "m", "input": [
        {"role": "user", "content": "Hi"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Well", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "status": "completed", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "id": "fc_2", "status": "completed", "call_id": "b", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call_output", "call_id": "b", "output": "2"},
    ]});
    let quirks = Quirks::default();
    let request = OpenaiResponses.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
    let encoded = codec(Dialect::OpenaiChat).unwrap().encode_request(&request, &target(&quirks)).unwrap();
    assert_eq!(encoded.lost, [], "ids and states of items are no loss");
    let found = json(&encoded.body);
    let roles: Vec<&str> =
        found["messages"].as_array().unwrap().iter().map(|one| one["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool"]);
    assert_eq!(found["messages"][1]["tool_calls"].as_array().unwrap().len(), 2);
}

#[test]
fn what_the_provider_keeps_or_runs_is_refused_elsewhere() {
    let plain = |name: &str, value: Value| json!({"model": "m", "input": "Hi", name: value});
    let table = [
        (plain("previous_response_id", json!("resp_1")), "previous_response_id"),
        (plain("conversation", json!("conv_1")), "conversation"),
        (plain("background", json!(true)), "background"),
        (plain("tools", json!([{"type": "web_search"}])), "tools[0]"),
        (
            json!({"model": "m", "input": [{"role": "user", "content": "Hi"}, {"type": "item_reference", "id": "msg_1"}]}),
            "input[1]",
        ),
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}),
            "input[0].content[0].file_id",
        ),
    ];
    for (body, path) in table {
        assert_eq!(refused(Dialect::OpenaiChat, &body), path);
    }
    for unsaid in
        [json!({"background": false}), json!({"previous_response_id": null}), json!({"conversation": null})]
    {
        let mut body = json!({"model": "m", "input": "Hi"});
        body.as_object_mut().unwrap().extend(unsaid.as_object().unwrap().clone());
        let request = OpenaiResponses.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
        let quirks = Quirks::default();
        assert!(
            codec(Dialect::OpenaiChat).unwrap().encode_request(&request, &target(&quirks)).is_ok(),
            "{body}"
        );
    }
}

#[test]
fn another_dialects_thoughts_and_calls_stream_as_items() {
    let reply = json!({
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 5, "output_tokens": 9, "cache_read_input_tokens": 3},
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}, {"type": "text", "text": "One"},
            {"type": "text", "text": "two"}, {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}],
    });
    let quirks = Quirks::default();
    let anthropic = codec(Dialect::AnthropicMessages).unwrap();
    let response = anthropic.decode_response(reply.to_string().as_bytes(), &target(&quirks)).unwrap();
    let mut writer = OpenaiResponses.writer(&asked());
    let mut out = Vec::new();
    unfold(&response).iter().for_each(|event: &Event| writer.write(event, &mut out));
    let events = sse(std::str::from_utf8(&out).unwrap());
    let names: Vec<&str> = events.iter().map(|(name, _)| name.trim_start_matches("response.")).collect();
    let wanted = [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names, wanted);
    let run = &events.last().unwrap().1["response"];
    let kinds: Vec<&str> =
        run["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    let seal = run["output"][0]["encrypted_content"].as_str().unwrap();
    assert_eq!(seal, "kw1:DIALECT_ANTHROPIC_MESSAGES:s:openai:c2ln");
    assert_eq!(run["output"][2]["arguments"], "{}");
    assert_eq!(
        (&run["usage"]["input_tokens"], &run["usage"]["input_tokens_details"]["cached_tokens"]),
        (&json!(8), &json!(3))
    );
    assert_eq!(*run, json(&OpenaiResponses.encode_response(&response, &asked())));
}

#[test]
fn cache_marks_go_where_the_target_takes_them_with_the_nearest_life() {
    let body = json!({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "Long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}]});
    let quirks = Quirks { cache_marks: Some(CacheMarks::Breakpoint), ..Quirks::default() };
    let anthropic = codec(Dialect::AnthropicMessages).unwrap();
    let request = anthropic.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
    let encoded = OpenaiResponses.encode_request(&request, &target(&quirks)).unwrap();
    let mark = &json(&encoded.body)["input"][0]["content"][0]["prompt_cache_breakpoint"];
    assert_eq!(*mark, json!({"mode": "explicit", "ttl": "12h"}));
    assert_eq!(encoded.lost.iter().map(|lost| lost.thing).collect::<Vec<_>>(), [Thing::CacheTtl]);
    let (found, lost) = from(Dialect::AnthropicMessages, &body);
    assert_eq!((&found["input"][0]["content"], lost[0].0), (&json!("Long"), Thing::BlockCache));
}
