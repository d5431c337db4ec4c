//! What reviews of the codecs found: each was lost, refused or told wrongly once.

use super::ground::{asked, fold, named, read, target, write};
use keyway_dialect::canon::{Media, Part, Request, Source, StopReason};
use keyway_dialect::codec::Envelope;
use keyway_dialect::losses::untold;
use keyway_dialect::quirk::Quirks;
use serde_json::{Value, json};

fn request(from: &str, body: &Value) -> Request {
    let envelope = Envelope { model: "asked-model", stream: false };
    let read = named(from).decode_request(body.to_string().as_bytes(), &envelope);
    read.unwrap_or_else(|bad| panic!("{from}: {bad}: {body}"))
}

/// What the target gets, or the path that is refused; and what is lost.
fn crossed(from: &str, body: &Value, to: &str) -> Result<(Value, Vec<String>), String> {
    let quirks = Quirks::default();
    let encoded = named(to).encode_request(&request(from, body), &target(&quirks));
    let encoded = encoded.map_err(|unsupported| unsupported.path)?;
    let lost = encoded.lost.into_iter().map(|lost| lost.path).collect();
    Ok((serde_json::from_slice(&encoded.body).unwrap(), lost))
}

#[test]
fn members_that_are_null_say_nothing() {
    let dumped = json!({
        "model": "m", "functions": null, "web_search_options": null, "moderation": null,
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "refusal": null, "function_call": null, "tool_calls": null, "annotations": null},
            {"role": "user", "content": "c"},
        ],
    });
    let messages = json!({
        "model": "m", "max_tokens": 4000, "container": null, "messages": [{"role": "user", "content": "a"}],
    });
    for (from, body) in [("openai-chat", dumped), ("anthropic-messages", messages)] {
        for to in ["openai-responses", "gemini", "bedrock-converse", "cohere-chat"] {
            let (_, lost) = crossed(from, &body, to).unwrap();
            assert_eq!(lost, Vec::<String>::new(), "{from} to {to}");
        }
    }
}

#[test]
fn messages_get_only_pictures_that_they_know() {
    let asks = |url: &str| json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]});
    for (said, known) in
        [("image/jpg", "image/jpeg"), ("IMAGE/PNG", "image/png"), ("image/webp", "image/webp")]
    {
        let (body, _) =
            crossed("openai-chat", &asks(&format!("data:{said};base64,/9j/")), "anthropic-messages").unwrap();
        assert_eq!(body["messages"][0]["content"][0]["source"]["media_type"], known, "{said}");
    }
    let refused = crossed("openai-chat", &asks("data:image/heic;base64,AAAA"), "anthropic-messages");
    assert_eq!(refused.unwrap_err(), "messages[0].content[0].image_url.url");
}

#[test]
fn messages_get_no_blank_texts_and_no_empty_turns() {
    let body = json!({
        "model": "m", "response_format": {"type": "json_object"},
        "messages": [
            {"role": "system", "content": ""},
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "\n", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": ""}]},
        ],
    });
    let (body, _) = crossed("openai-chat", &body, "anthropic-messages").unwrap();
    assert_eq!(body["system"].as_array().map(Vec::len), Some(1), "{body}");
    assert_eq!(body["messages"][1]["content"].as_array().map(Vec::len), Some(1), "{body}");
    assert_eq!(body["messages"][2]["content"][0].get("content"), None, "{body}");
}

#[test]
fn a_turn_of_nothing_but_thoughts_of_others_is_left_out() {
    let chat = json!({"model": "m", "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "reasoning_content": "hmm"},
        {"role": "user", "content": "go on"},
    ]});
    let (body, lost) = crossed("openai-chat", &chat, "anthropic-messages").unwrap();
    assert!(body["messages"].as_array().unwrap().iter().all(|one| one["role"] == "user"), "{body}");
    assert_eq!(lost.len(), 1, "{lost:?}");

    let messages = json!({"model": "m", "max_tokens": 5, "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}]},
        {"role": "user", "content": "go on"},
    ]});
    let (body, lost) = crossed("anthropic-messages", &messages, "openai-chat").unwrap();
    assert!(body["messages"].as_array().unwrap().iter().all(|one| one["role"] == "user"), "{body}");
    assert_eq!(lost.len(), 1, "{lost:?}");
}

#[test]
fn nullable_choices_may_be_null() {
    let schema = json!({"type": "OBJECT", "properties": {
        "a": {"type": "OBJECT", "anyOf": [{"type": "INTEGER"}, {"type": "STRING"}], "nullable": true},
        "b": {"type": "STRING", "enum": ["A", "B"], "nullable": true},
        "c": {"type": "OBJECT", "anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
    }});
    let body = json!({
        "contents": [{"role": "user", "parts": [{"text": "a"}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": schema}]}],
    });
    let (body, _) = crossed("gemini", &body, "openai-chat").unwrap();
    let parameters = &body["tools"][0]["function"]["parameters"]["properties"];
    assert_eq!(
        parameters["a"],
        json!({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]})
    );
    assert_eq!(parameters["b"], json!({"type": ["string", "null"], "enum": ["A", "B", null]}));
    assert_eq!(parameters["c"]["type"], "object");
}

#[test]
fn what_takes_the_place_of_user_is_one() {
    let body = json!({"model": "m", "input": "Hi", "safety_identifier": "u1"});
    let (body, lost) = crossed("openai-responses", &body, "anthropic-messages").unwrap();
    assert_eq!((&body["metadata"]["user_id"], lost), (&json!("u1"), Vec::new()));
}

/// Puts an event of Responses behind a stream.
fn say(stream: &mut String, kind: &str, rest: &Value) {
    let mut event = json!({"type": kind});
    event.as_object_mut().into_iter().zip(rest.as_object()).for_each(|(event, rest)| {
        event.extend(rest.clone());
    });
    stream.push_str(&format!("event: {kind}\ndata: {event}\n\n"));
}

/// The calls of a stream's first choice: id and arguments.
fn calls(dialect: &str, stream: &str) -> Vec<(String, String)> {
    let (events, done) = read(named(dialect), [stream.as_bytes()]);
    done.unwrap_or_else(|broken| panic!("{broken:?}: {stream}"));
    let blocks = fold(&events).choices.into_iter().take(1).flat_map(|choice| choice.blocks);
    blocks
        .filter_map(|block| match block.part {
            Part::Call(call) => Some((call.id, call.arguments)),
            _ => None,
        })
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// Two calls that begin before the first one's input comes.
fn crossed_calls(arguments: &str) -> String {
    let mut stream = String::new();
    let custom = |input: &str| json!({"type": "custom_tool_call", "id": "ctc", "call_id": "c0", "name": "f", "input": input});
    let plain = |text: &str| json!({"type": "function_call", "id": "fc", "call_id": "c1", "name": "g", "arguments": text});
    let created = json!({"response": {"id": "r", "model": "m", "created_at": 1, "status": "in_progress", "output": []}});
    let completed =
        json!({"response": {"id": "r", "model": "m", "created_at": 1, "status": "completed", "output": []}});
    for (kind, rest) in [
        ("response.created", created),
        ("response.output_item.added", json!({"output_index": 0, "item": custom("")})),
        ("response.output_item.added", json!({"output_index": 1, "item": plain("")})),
        (
            "response.function_call_arguments.delta",
            json!({"output_index": 1, "item_id": "fc", "delta": arguments}),
        ),
        (
            "response.custom_tool_call_input.delta",
            json!({"output_index": 0, "item_id": "ctc", "delta": "ab"}),
        ),
        ("response.output_item.done", json!({"output_index": 1, "item": plain(arguments)})),
        ("response.output_item.done", json!({"output_index": 0, "item": custom("ab")})),
        ("response.completed", completed),
    ] {
        say(&mut stream, kind, &rest);
    }
    stream
}

#[test]
fn custom_calls_interleave_with_others() {
    let told = calls("openai-responses", &crossed_calls("{}"));
    assert_eq!(told, pairs(&[("c0", "ab"), ("c1", "{}")]));

    let chunk = |calls: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": {"tool_calls": calls}, "finish_reason": finish});
        format!("data: {}\n\n", json!({"id": "x", "model": "m", "created": 1, "choices": [choice]}))
    };
    let stream = [
        chunk(
            json!([{"index": 0, "id": "c0", "type": "custom", "custom": {"name": "f", "input": ""}}]),
            Value::Null,
        ),
        chunk(
            json!([{"index": 1, "id": "c1", "type": "function", "function": {"name": "g", "arguments": "{}"}}]),
            Value::Null,
        ),
        chunk(json!([{"index": 0, "custom": {"input": "a"}}]), Value::Null),
        chunk(json!([{"index": 0, "custom": {"input": "b"}}]), json!("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(calls("openai-chat", &stream.concat()), pairs(&[("c0", "ab"), ("c1", "{}")]));
}

#[test]
fn a_custom_call_that_was_pushed_out_is_not_told_as_empty() {
    let wide = json!({"k": "x".repeat(64 * 1024)}).to_string();
    let (_, done) = read(named("openai-responses"), [crossed_calls(&wide).as_bytes()]);
    assert!(done.is_err());
    let without: String = crossed_calls(&wide)
        .split_inclusive("\n\n")
        .filter(|event| !event.contains("custom_tool_call_input.delta"))
        .collect();
    let (_, done) = read(named("openai-responses"), [without.as_bytes()]);
    assert!(done.is_err());
}

#[test]
fn pictures_that_wait_for_a_call_stay_apart() {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!("data: {}\n\n", json!({"id": "x", "model": "m", "created": 1, "choices": [choice]}))
    };
    let picture = |data: &str| json!({"images": [{"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{data}")}}]});
    let call = |text: &str| json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": text}}]});
    let stream = [
        chunk(call("{"), Value::Null),
        chunk(picture("AAAA"), Value::Null),
        chunk(picture("BBBB"), Value::Null),
        chunk(call("}"), json!("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ];
    let (events, done) = read(named("openai-chat"), [stream.concat().as_bytes()]);
    done.unwrap();
    let blocks = fold(&events).choices.into_iter().flat_map(|choice| choice.blocks);
    let pictures: Vec<_> = blocks
        .filter_map(|block| match block.part {
            Part::Image(Media { source: Source::Inline { data, .. }, .. }) => Some(data),
            _ => None,
        })
        .collect();
    assert_eq!(pictures, ["AAAA", "BBBB"]);
}

#[test]
fn calls_that_come_side_by_side_are_told_once() {
    let mut stream = String::new();
    let mut say = |kind: &str, rest: Value| say(&mut stream, kind, &rest);
    let item = |at: u64, arguments: &str| json!({"type": "function_call", "id": format!("fc_{at}"), "call_id": format!("c{at}"), "name": "f", "arguments": arguments});
    say(
        "response.created",
        json!({"response": {"id": "r", "model": "m", "created_at": 1, "status": "in_progress", "output": []}}),
    );
    for at in [0, 1] {
        say("response.output_item.added", json!({"output_index": at, "item": item(at, "")}));
    }
    for at in [0, 1] {
        say(
            "response.function_call_arguments.delta",
            json!({"output_index": at, "item_id": format!("fc_{at}"), "delta": "{}"}),
        );
    }
    for at in [0, 1] {
        say("response.output_item.done", json!({"output_index": at, "item": item(at, "{}")}));
    }
    say(
        "response.completed",
        json!({"response": {"id": "r", "model": "m", "created_at": 1, "status": "completed", "output": []}}),
    );
    assert_eq!(calls("openai-responses", &stream), pairs(&[("c0", "{}"), ("c1", "{}")]));
}

#[test]
fn an_answer_that_a_limit_cut_is_not_whole() {
    let quirks = Quirks::default();
    for reason in ["max_output_tokens", "max_messages", "some_later_limit"] {
        let body = json!({
            "id": "r", "model": "m", "created_at": 1, "status": "incomplete", "incomplete_details": {"reason": reason},
            "output": [{"type": "message", "id": "m", "role": "assistant", "status": "incomplete",
                "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}],
        });
        let reply =
            named("openai-responses").decode_response(body.to_string().as_bytes(), &target(&quirks)).unwrap();
        assert_eq!(
            reply.choices[0].stop.as_ref().map(|stop| stop.reason),
            Some(StopReason::Length),
            "{reason}"
        );
    }
    let body = json!({"id": "1", "finish_reason": "ERROR", "message": {"role": "assistant", "content": []}});
    let failed = named("cohere-chat").decode_response(body.to_string().as_bytes(), &target(&quirks));
    assert!(failed.is_err(), "{failed:?}");
}

#[test]
fn probabilities_stand_with_their_text_before_a_call() {
    let quirks = Quirks::default();
    let body = json!({"id": "x", "model": "m", "created": 1, "choices": [{
        "index": 0, "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": "Hi", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        "logprobs": {"content": [{"token": "Hi", "logprob": -0.1, "bytes": null, "top_logprobs": []}]},
    }]});
    let reply = named("openai-chat").decode_response(body.to_string().as_bytes(), &target(&quirks)).unwrap();
    let told: Value =
        serde_json::from_slice(&named("openai-responses").encode_response(&reply, &asked())).unwrap();
    assert_eq!(told["output"][0]["content"][0]["logprobs"][0]["token"], "Hi", "{told}");

    let stream = concat!(
        "event: message-start\ndata: {\"type\":\"message-start\",\"id\":\"1\",\"delta\":{\"message\":{\"role\":\"assistant\"}}}\n\n",
        "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"Hi\"}}},",
        "\"logprobs\":{\"token_ids\":[1],\"text\":\"Hi\",\"logprobs\":[-0.5]}}\n\n",
        "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\"}}\n\n",
    );
    let (events, done) = read(named("cohere-chat"), [stream.as_bytes()]);
    done.unwrap();
    let told = String::from_utf8(write(named("openai-responses"), &events)).unwrap();
    assert!(told.contains("-0.5"), "{told}");
}

#[test]
fn an_error_that_is_a_text_is_told() {
    let fault =
        named("openai-chat").fault(422, br#"{"error":"Input validation error","error_type":"validation"}"#);
    assert_eq!(fault.message, "Input validation error");
    assert_eq!(named("openai-chat").fault(500, b"{}").message, "the provider gave no reason");
}

#[test]
fn a_picture_that_stands_elsewhere_is_named() {
    let quirks = Quirks::default();
    let reply = |url: &str| {
        let body = json!({"id": "x", "model": "m", "created": 1, "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "a", "images": [{"type": "image_url", "image_url": {"url": url}}]}}]});
        named("openai-chat").decode_response(body.to_string().as_bytes(), &target(&quirks)).unwrap()
    };
    for to in ["openai-responses", "gemini", "bedrock-converse", "anthropic-messages", "cohere-chat"] {
        let named_by = |url: &str| untold(&reply(url), named(to).dialect()).collect::<Vec<_>>();
        assert_eq!(named_by("https://x.example/a.png"), ["pictures"], "{to}");
        let told = !matches!(to, "anthropic-messages" | "cohere-chat");
        assert_eq!(named_by("data:image/png;base64,AAAA").is_empty(), told, "{to}");
    }
}
