//! Walks the fixtures, and holds the codec to what must hold of everything.

use super::CohereChat;
use crate::canon::{Event, Fold, Part, Request, Response};
use crate::codec::{Asked, Broken, Codec, Envelope, Target, codec};
use crate::grammar::Grammar;
use crate::quirk::Quirks;
use keyway_proto::snapshot::v1::{Dialect, Meter};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

const CODEC: &CohereChat = &CohereChat;
const ENVELOPE: Envelope<'_> = Envelope { model: "m", stream: true };

fn quirks() -> &'static Quirks {
    static QUIRKS: std::sync::OnceLock<Quirks> = std::sync::OnceLock::new();
    QUIRKS.get_or_init(|| Quirks { cache_marks: None, ..Quirks::default() })
}

fn target() -> Target<'static> {
    Target { provider: "cohere", model: "command-a", quirks: quirks() }
}

/// The cases that have this file, and the file.
fn cases(file: &str) -> Vec<(PathBuf, String)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/cohere-chat");
    let mut found: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|case| case.unwrap().path())
        .filter_map(|case| Some((case.clone(), std::fs::read_to_string(case.join(file)).ok()?)))
        .collect();
    found.sort();
    assert!(found.len() > 5, "{file}: {found:?}");
    found
}

fn lines(case: &std::path::Path, file: &str) -> Vec<String> {
    std::fs::read_to_string(case.join(file)).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// A stream's events, one a line, as the service sends them.
fn framed(events: &str) -> Vec<u8> {
    let name = |line: &str| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned();
    events.lines().flat_map(|line| format!("event: {}\ndata: {line}\n\n", name(line)).into_bytes()).collect()
}

/// Reads a stream in these pieces; every event is checked against the grammar.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Result<(), Broken>) {
    let (mut reader, mut out) = (CODEC.reader(&target()), Vec::new());
    let pushed = pieces.into_iter().try_for_each(|piece| reader.push(piece, &mut out));
    let ended = pushed.and_then(|()| reader.end(&mut out));
    let mut grammar = Grammar::new();
    out.iter().for_each(|event| grammar.admit(event).unwrap());
    (out, ended)
}

fn fold(events: &[Event]) -> Response {
    let mut fold = Fold::default();
    events.iter().for_each(|event| fold.add(event));
    fold.finish()
}

/// A reply in lines that people can check against the fixture.
fn told(response: &Response) -> Vec<String> {
    let mut lines = Vec::new();
    for choice in &response.choices {
        lines.extend(choice.blocks.iter().map(|block| told_part(&block.part)));
        lines.extend(choice.stop.iter().map(|stop| {
            let words = stop.native.iter().chain(&stop.sequence);
            words.fold(format!("stop: {:?}", stop.reason), |line, word| format!("{line} {word}"))
        }));
    }
    let logprobs = response.choices.iter().flat_map(|choice| &choice.logprobs);
    lines.extend(logprobs.map(|raw| format!("logprobs: {}", parsed(raw.as_str().as_bytes()))));
    lines.extend(response.usage.iter().map(|usage| {
        let [input, read, output] =
            [Meter::Input, Meter::CacheRead, Meter::Output].map(|meter| usage.get(meter));
        format!("usage: input {input} read {read} output {output}")
    }));
    lines
}

fn told_part(part: &Part) -> String {
    match part {
        Part::Text { text, citations } => citations.iter().fold(format!("text: {text}"), |line, cited| {
            let [url, title, quote] =
                [&cited.url, &cited.title, &cited.quote].map(|word| word.clone().unwrap_or_default());
            format!("{line} [{url} {title}: {quote}]")
        }),
        Part::Call(call) => {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            format!("call: {} {} {arguments}", call.id, call.name)
        }
        Part::Reasoning(thought) => {
            let word = if thought.id.as_deref() == Some("tool_plan") { "plan" } else { "thought" };
            let maker = thought.seal.as_ref().unwrap().provider.as_deref().unwrap();
            format!("{word}: {} ({maker})", thought.text)
        }
        other => panic!("{other:?}"),
    }
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn decoded(body: &str) -> Request {
    CODEC.decode_request(body.as_bytes(), &ENVELOPE).unwrap()
}

#[test]
fn own_requests_come_out_as_they_went_in() {
    for (case, body) in cases("request.json") {
        let request = decoded(&body);
        let encoded = CODEC.encode_request(&request, &target()).unwrap();
        assert_eq!(parsed(&encoded.body), parsed(body.as_bytes()), "{case:?}");
        assert_eq!(encoded.lost, [], "{case:?}");
        let again = CODEC.decode_request(&encoded.body, &ENVELOPE).unwrap();
        assert_eq!(again, request, "{case:?}");
    }
}

#[test]
fn requests_of_another_dialect_become_this_ones() {
    let openai = codec(Dialect::OpenaiChat).unwrap();
    for (case, body) in cases("from_openai_chat.json") {
        let request = openai.decode_request(body.as_bytes(), &ENVELOPE).unwrap();
        let encoded = CODEC.encode_request(&request, &target()).unwrap();
        let expected = std::fs::read_to_string(case.join("request.json")).unwrap();
        assert_eq!(parsed(&encoded.body), parsed(expected.as_bytes()), "{case:?}");
        let lost = encoded.lost.iter().map(|lost| format!("{} {}", lost.thing.as_str(), lost.path));
        assert_eq!(lost.collect::<Vec<_>>(), lines(&case, "lost.txt"), "{case:?}");
    }
}

#[test]
fn whole_replies_say_what_they_say_and_come_out_as_they_went_in() {
    for (case, body) in cases("response.json") {
        let response = CODEC.decode_response(body.as_bytes(), &target()).unwrap();
        assert_eq!(told(&response), lines(&case, "told.txt"), "{case:?}");
        let written = CODEC.encode_response(&response, &Asked::default());
        let again = CODEC.decode_response(&written, &target()).unwrap();
        assert_eq!(again, response, "{case:?}");
        let (written, body) = (parsed(&written), parsed(body.as_bytes()));
        assert_eq!(written, body_without_overhead(body), "{case:?}");
    }
}

/// The dialect's two sums are one here: what is billed, and what was cached beside it.
fn body_without_overhead(mut body: Value) -> Value {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let all = count(&body["usage"]["billed_units"]["input_tokens"]) + count(&body["usage"]["cached_tokens"]);
    body["usage"]["tokens"]["input_tokens"] = json!(all);
    body
}

#[test]
fn a_stream_says_the_same_at_every_cut_and_the_same_as_the_whole_reply() {
    for (case, events) in cases("stream.sse") {
        let bytes = events.as_bytes();
        let (whole, ended) = read([bytes]);
        assert_eq!(told(&fold(&whole)), lines(&case, "told.txt"), "{case:?}");
        let end = match (whole.last(), ended) {
            (Some(Event::Fault(fault)), Ok(())) => {
                format!("fault {} {} {}", fault.status, fault.code.as_str(), fault.message)
            }
            (Some(Event::End), Ok(())) => String::new(),
            (_, Err(Broken::Cut)) => "cut".to_owned(),
            other => panic!("{case:?}: {other:?}"),
        };
        assert_eq!(end, lines(&case, "ends.txt").concat(), "{case:?}");
        for cut in 0..bytes.len() {
            let (left, right) = bytes.split_at(cut);
            let (events, _) = read([left, right]);
            assert_eq!(format!("{events:?}"), format!("{whole:?}"), "{case:?} cut at {cut}");
        }
        let single = read(bytes.chunks(1)).0;
        assert_eq!(format!("{single:?}"), format!("{whole:?}"), "{case:?}");
    }
}

#[test]
fn a_stream_that_ends_before_its_reason_is_cut() {
    let events = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/cohere-chat/tool_call/stream.sse"
    ))
    .unwrap();
    let whole: Vec<&str> = events.split_inclusive("\n\n").collect();
    for kept in 0..whole.len() {
        let (events, ended) = read([whole[..kept].concat().as_bytes()]);
        let stopped = events.iter().any(|event| matches!(event, Event::Stop { .. }));
        assert_eq!(ended.is_ok(), stopped, "{kept} events");
    }
}

fn written(events: &[Event]) -> Vec<u8> {
    let (mut writer, mut out) = (CODEC.writer(&Asked::default()), Vec::new());
    events.iter().for_each(|event| writer.write(event, &mut out));
    out
}

#[test]
fn a_stream_that_was_read_and_written_folds_the_same() {
    for (case, events) in cases("stream.sse") {
        let (events, ended) = read([events.as_bytes()]);
        if ended.is_ok() {
            let (again, ended) = read([written(&events).as_slice()]);
            assert_eq!(ended, Ok(()), "{case:?}");
            assert_eq!(fold(&again), fold(&events), "{case:?}");
        }
    }
}

#[test]
fn errors_mean_what_their_status_and_words_say() {
    for (case, error) in cases("error.json") {
        let error = parsed(error.as_bytes());
        let status = u16::try_from(error["status"].as_u64().unwrap()).unwrap();
        let fault = CODEC.fault(status, error["body"].to_string().as_bytes());
        assert_eq!(fault.status, status, "{case:?}");
        assert_eq!(fault.code.as_str(), lines(&case, "fault.txt").concat(), "{case:?}");
        let said = error["body"].get("message").or(error["body"].get("Message")).unwrap();
        assert_eq!(fault.message, *said, "{case:?}");
        let shown = parsed(&CODEC.encode_fault(&fault));
        assert_eq!(&shown["message"], said, "{case:?}");
        assert_eq!(shown["code"], fault.code.as_str(), "{case:?}");
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_its_path() {
    let openai = codec(Dialect::OpenaiChat).unwrap();
    let part = |part: Value| json!({"model": "m", "messages": [{"role": "user", "content": [part]}]});
    let with = |name: &str, value: Value| json!({"model": "m", "messages": [], name: value});
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let file = json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}});
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}});
    let schema = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {}}});
    for (body, path) in [
        (part(file), "messages[0].content[0].file.file_data"),
        (part(sound), "messages[0].content[0]"),
        (with("n", json!(2)), "n"),
        (with("logit_bias", json!({"1": 2})), "logit_bias"),
        (with("stop", json!(["1", "2", "3", "4", "5", "6"])), "stop"),
        (with("tools", json!([{"type": "custom", "custom": {"name": "x"}}])), "tools[0]"),
        (
            json!({"model": "m", "messages": [], "tools": tools, "parallel_tool_calls": false}),
            "parallel_tool_calls",
        ),
        (json!({"model": "m", "messages": [], "tools": tools, "response_format": schema}), "response_format"),
        (json!({"model": "m", "messages": [{"role": "assistant", "content": "I"}]}), "messages[0]"),
    ] {
        let request = openai.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
        let refused = CODEC.encode_request(&request, &target()).unwrap_err();
        assert_eq!(refused.path, path, "{body}");
    }
}

#[test]
fn a_failed_tool_and_its_picture_are_said_in_words_and_in_the_next_message() {
    let anthropic = codec(Dialect::AnthropicMessages).unwrap();
    let image =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}});
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "is_error": true,
            "content": [{"type": "text", "text": "no"}, image]}]},
    ]});
    let request = anthropic.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
    let sent = parsed(&CODEC.encode_request(&request, &target()).unwrap().body);
    let picture = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    assert_eq!(sent["messages"][2], json!({"role": "tool", "tool_call_id": "a", "content": "Error: no"}));
    assert_eq!(sent["messages"][3], json!({"role": "user", "content": [picture]}));
}

#[test]
fn faults_of_callers_name_the_field() {
    let with = |name: &str, value: Value| json!({"model": "m", "messages": [], name: value});
    for (body, fault) in [
        (json!({"model": "m"}), "messages: is required"),
        (
            json!({"model": "m", "messages": [{"role": "developer"}]}),
            "messages[0].role: must be system, user, assistant or tool",
        ),
        (with("tools", json!([{"function": {}}])), "tools[0].function.name: is required"),
        (with("tool_choice", json!("AUTO")), "tool_choice: must be REQUIRED or NONE"),
        (with("thinking", json!({"type": "maybe"})), "thinking.type: must be enabled or disabled"),
    ] {
        let bad = CODEC.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap_err();
        assert_eq!(bad.to_string(), fault);
    }
}

/// Messages of every kind, to be strewn into requests.
fn any_message() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        ".{0,12}".prop_map(|text| json!({"type": "text", "text": text})),
        Just(json!({"type": "text", "text": "x", "novel": [1, null]})),
        Just(json!({"type": "image_url", "image_url": {"url": "https://x/y", "detail": "high", "novel": 1}})),
        Just(json!({"type": "novel", "x": 1})),
    ];
    let said = prop_oneof![
        ".{0,12}".prop_map(|text| json!({"type": "text", "text": text})),
        "[a-z]{0,4}".prop_map(|text| json!({"type": "thinking", "thinking": text})),
    ];
    let calls = json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"k\":1}", "novel": 1}}]);
    prop_oneof![
        prop::collection::vec(part, 0..3).prop_map(|content| json!({"role": "user", "content": content})),
        ".{0,12}".prop_map(|text| json!({"role": "system", "content": text})),
        (prop::collection::vec(said, 0..3), any::<bool>()).prop_map(|(content, cited)| {
            let mut message = json!({"role": "assistant", "content": content, "novel": 1});
            if cited {
                message["citations"] =
                    json!([{"start": 0, "end": 1, "text": "x", "sources": [], "content_index": 1}]);
            }
            message
        }),
        "[a-z]{0,4}"
            .prop_map(move |plan| json!({"role": "assistant", "tool_plan": plan, "tool_calls": calls})),
        ".{0,12}".prop_map(|text| json!({"role": "tool", "tool_call_id": "a", "content": text})),
        Just(json!({"role": "tool", "tool_call_id": "a", "content": [
            {"type": "document", "document": {"data": {"k": 1}, "novel": 2}}, {"type": "text", "text": "x"}]})),
    ]
}

fn any_request() -> impl Strategy<Value = Value> {
    (prop::collection::vec(any_message(), 0..5), 0_u8..16).prop_map(|(messages, bits)| {
        let mut body = json!({"model": "command-a", "messages": messages, "novel": {"x": [1]}});
        let on = |bit: u8| bits & (1 << bit) != 0;
        if on(0) {
            body["tools"] =
                json!([{"type": "function", "function": {"name": "f", "parameters": {}, "novel": 1}}]);
        }
        if on(1) {
            body["strict_tools"] = json!(on(2));
        }
        if on(2) {
            body["response_format"] = json!({"type": "json_object", "json_schema": {}, "novel": 1});
        }
        if on(3) {
            body["thinking"] = json!({"type": "enabled", "token_budget": 5, "novel": 1});
        }
        body
    })
}

/// Legal streams of blocks that every caller could see.
fn any_stream() -> impl Strategy<Value = Vec<Value>> {
    let texts = || prop::collection::vec(".{1,8}", 1..4);
    let block = prop_oneof![
        texts().prop_map(|texts| ("text", texts)),
        texts().prop_map(|texts| ("thinking", texts)),
        texts().prop_map(|texts| ("call", texts)),
    ];
    prop::collection::vec(block, 0..6).prop_map(|blocks| {
        let mut events = vec![json!({"type": "message-start", "id": "i"})];
        for (at, (kind, texts)) in blocks.into_iter().enumerate() {
            let pieces: Vec<Value> = texts.into_iter().map(|text| json!(text)).collect();
            if kind == "call" {
                let call = json!({"id": format!("c{at}"), "type": "function", "function": {"name": "f", "arguments": ""}});
                events.push(json!({"type": "tool-call-start", "index": at, "delta": {"message": {"tool_calls": call}}}));
                let arguments = json!({"k": pieces}).to_string();
                let (left, right) = arguments.split_at(4);
                for piece in [left, right] {
                    let function = json!({"function": {"arguments": piece}});
                    events.push(json!({"type": "tool-call-delta", "index": at, "delta": {"message": {"tool_calls": function}}}));
                }
                events.push(json!({"type": "tool-call-end", "index": at}));
            } else {
                events.push(json!({"type": "content-start", "index": at, "delta": {"message": {"content": {"type": kind}}}}));
                for piece in pieces {
                    events.push(json!({"type": "content-delta", "index": at, "delta": {"message": {"content": {kind: piece}}}}));
                }
                events.push(json!({"type": "content-end", "index": at}));
            }
        }
        events.push(json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"billed_units": {"input_tokens": 1.0, "output_tokens": 2.0}}}}));
        events
    })
}

proptest! {
    #[test]
    fn requests_survive_a_round(body in any_request()) {
        let request = decoded(&body.to_string());
        let encoded = CODEC.encode_request(&request, &target()).unwrap();
        prop_assert_eq!(encoded.lost, []);
        prop_assert_eq!(CODEC.decode_request(&encoded.body, &ENVELOPE).unwrap(), request);
    }

    #[test]
    fn streams_survive_a_round(events in any_stream(), size in 1_usize..64) {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let bytes = framed(&lines.join("\n"));
        let (events, ended) = read(bytes.chunks(size));
        prop_assert_eq!(ended, Ok(()));
        let (again, ended) = read([written(&events).as_slice()]);
        prop_assert_eq!(ended, Ok(()));
        prop_assert_eq!(fold(&again), fold(&events));
    }

    #[test]
    fn arbitrary_events_do_not_panic_and_stay_legal(shapes in prop::collection::vec((0_usize..9, 0_u64..3, 0_usize..6), 0..12)) {
        const NAMES: [&str; 9] = ["message-start", "content-start", "content-delta", "content-end", "tool-plan-delta",
            "tool-call-start", "tool-call-delta", "citation-start", "message-end"];
        let messages = [
            json!({"content": {"text": "t"}}),
            json!({"content": {"thinking": "t"}}),
            json!({"tool_plan": "p"}),
            json!({"tool_calls": {"id": "a", "function": {"name": "f", "arguments": "{"}}}),
            json!({"citations": {"text": "t"}}),
            json!(null),
        ];
        let lines: Vec<String> = shapes.into_iter().map(|(name, index, message)| {
            json!({"type": NAMES[name], "index": index, "delta": {"message": messages[message], "finish_reason": "x"}}).to_string()
        }).collect();
        let (events, _) = read([framed(&lines.join("\n")).as_slice()]);
        written(&events);
    }

    #[test]
    fn arbitrary_bodies_do_not_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = CODEC.decode_request(&body, &ENVELOPE);
        let _ = CODEC.decode_response(&body, &target());
        let _ = CODEC.fault(500, &body);
        let _ = CODEC.reader(&target()).push(&body, &mut Vec::new());
    }
}
