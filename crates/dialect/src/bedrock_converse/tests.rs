//! Walks the fixtures, and holds the codec to what must hold of everything.

use super::BedrockConverse;
use crate::canon::{Delta, Event, Fold, Head, Media, Part, Request, Response, Seal, SealKind, Source};
use crate::codec::{Asked, Broken, Codec, Envelope, Target, codec};
use crate::frame::aws::{self, Kind};
use crate::grammar::Grammar;
use crate::quirk::Quirks;
use keyway_proto::snapshot::v1::{Dialect, Meter};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

const CODEC: &BedrockConverse = &BedrockConverse;
const ENVELOPE: Envelope<'_> = Envelope { model: "m", stream: true };

fn quirks() -> &'static Quirks {
    static QUIRKS: std::sync::OnceLock<Quirks> = std::sync::OnceLock::new();
    QUIRKS.get_or_init(|| Quirks { cache_marks: None, ..Quirks::default() })
}

fn target() -> Target<'static> {
    Target { provider: "bedrock", model: "anthropic.claude-x", quirks: quirks() }
}

/// The cases that have this file, and the file.
fn cases(file: &str) -> Vec<(PathBuf, String)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bedrock-converse");
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

/// A stream's events, one a line, in the frames that the service sends them in.
fn framed(events: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in events.lines() {
        let event: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        let (name, payload) = event.into_iter().next().unwrap();
        let kind = if name.ends_with("Exception") { Kind::Exception } else { Kind::Event };
        aws::write(kind, &name, payload.to_string().as_bytes(), &mut out);
    }
    out
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
    lines.extend(response.usage.iter().map(|usage| {
        let [input, read, short, long, output] =
            [Meter::Input, Meter::CacheRead, Meter::CacheWrite5m, Meter::CacheWrite1h, Meter::Output]
                .map(|meter| usage.get(meter));
        format!("usage: input {input} read {read} write5m {short} write1h {long} output {output}")
    }));
    lines.extend(response.service_tier.iter().map(|tier| format!("tier: {tier}")));
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
            let seal = thought.seal.as_ref().unwrap();
            let maker = seal.provider.as_deref().unwrap();
            format!("thought: {} ({:?} {} of {maker})", thought.text, seal.kind, seal.value)
        }
        Part::Image(Media { source: Source::Inline { media_type, data }, .. }) => {
            format!("image: {media_type} {data}")
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
        assert_eq!(
            (&written["output"], &written["stopReason"]),
            (&body["output"], &body["stopReason"]),
            "{case:?}"
        );
        assert_eq!(written["usage"]["totalTokens"], body["usage"]["totalTokens"], "{case:?}");
    }
}

#[test]
fn a_stream_says_the_same_at_every_cut_and_the_same_as_the_whole_reply() {
    for (case, events) in cases("stream.jsonl") {
        let bytes = framed(&events);
        let (whole, ended) = read([bytes.as_slice()]);
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
        "/fixtures/bedrock-converse/tool_call/stream.jsonl"
    ))
    .unwrap();
    let whole: Vec<&str> = events.lines().collect();
    for kept in 0..whole.len() {
        let (events, ended) = read([framed(&whole[..kept].join("\n")).as_slice()]);
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
    for (case, events) in cases("stream.jsonl") {
        let (events, ended) = read([framed(&events).as_slice()]);
        if ended.is_ok() {
            let (again, ended) = read([written(&events).as_slice()]);
            assert_eq!(ended, Ok(()), "{case:?}");
            assert_eq!(fold(&again), fold(&events), "{case:?}");
        }
    }
}

/// boto3's users add pieces of a signature up.
#[test]
fn a_thought_is_sealed_once() {
    let seal = |value: &str| Seal {
        dialect: Dialect::AnthropicMessages,
        provider: Some("p".to_owned()),
        kind: SealKind::Signature,
        value: value.to_owned(),
    };
    let delta = |delta| Event::Delta { block: 0, delta };
    let events = [
        Event::Start { id: None, model: None, created: None, usage: None },
        Event::Open { choice: 0, block: 0, head: Head::Reasoning { id: None } },
        delta(Delta::Seal(seal(""))),
        delta(Delta::Text("h".to_owned())),
        delta(Delta::Seal(seal("SIG"))),
        Event::Close { block: 0 },
    ];
    let bytes = written(&events);
    let count = |word: &str| bytes.windows(word.len()).filter(|part| *part == word.as_bytes()).count();
    assert_eq!((count("signature"), count(&seal("SIG").wrap(Dialect::BedrockConverse))), (1, 1));
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
        assert!(shown["__type"].as_str().unwrap().ends_with("Exception"), "{case:?}: {shown}");
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_its_path() {
    let openai = codec(Dialect::OpenaiChat).unwrap();
    let part = |part: Value| json!({"model": "m", "messages": [{"role": "user", "content": [part]}]});
    let with = |name: &str, value: Value| json!({"model": "m", "messages": [], name: value});
    for (body, path) in [
        (
            part(json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}})),
            "messages[0].content[0].image_url.url",
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA=="}})),
            "messages[0].content[0].image_url.url",
        ),
        (part(json!({"type": "file", "file": {"file_id": "file-1"}})), "messages[0].content[0].file.file_id"),
        (with("n", json!(2)), "n"),
        (with("logprobs", json!(true)), "logprobs"),
        (with("logit_bias", json!({"1": 2})), "logit_bias"),
        (with("tools", json!([{"type": "custom", "custom": {"name": "x"}}])), "tools[0]"),
        (with("web_search_options", json!({})), "web_search_options"),
    ] {
        let request = openai.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
        let refused = CODEC.encode_request(&request, &target()).unwrap_err();
        assert_eq!(refused.path, path, "{body}");
    }
}

#[test]
fn faults_of_callers_name_the_field() {
    for (body, fault) in [
        (
            json!({"messages": [{"role": "user", "content": [{"image": {"format": "png"}}]}]}),
            "messages[0].content[0].image.source: is required",
        ),
        (
            json!({"messages": [{"role": "tool", "content": []}]}),
            "messages[0].role: must be user, assistant or system",
        ),
        (
            json!({"toolConfig": {"tools": [{"toolSpec": {"inputSchema": {}}}]}}),
            "toolConfig.tools[0].toolSpec.name: is required",
        ),
        (
            json!({"inferenceConfig": {"maxTokens": -1}}),
            "inferenceConfig.maxTokens: must be a whole number, 0 or more",
        ),
        (
            json!({"additionalModelRequestFields": {"thinking": {"type": "enabled"}}}),
            "additionalModelRequestFields.thinking.budget_tokens: is required",
        ),
    ] {
        let bad = CODEC.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap_err();
        assert_eq!(bad.to_string(), fault);
    }
}

/// Blocks of every kind, to be strewn into requests.
fn any_block() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,12}".prop_map(|text| json!({"text": text})),
        "[ -~]{0,12}".prop_map(|text| json!({"text": text, "novel": [1, null]})),
        Just(json!({"image": {"format": "webp", "source": {"bytes": "AAAA"}, "error": {"message": "x"}}})),
        Just(
            json!({"document": {"format": "csv", "name": "n", "source": {"bytes": "AAAA"}, "citations": {"enabled": false}}})
        ),
        Just(json!({"document": {"name": "n", "source": {"text": "words"}}})),
        Just(json!({"audio": {"format": "mkv", "source": {"s3Location": {"uri": "s3://b/k"}}}})),
        Just(json!({"toolUse": {"toolUseId": "a:b", "name": "f", "input": {"k": ["}", 1e3]}}})),
        Just(json!({"toolUse": {"toolUseId": "a", "name": "s", "input": {}, "type": "server_tool_use"}})),
        Just(
            json!({"toolResult": {"toolUseId": "a:b", "content": [{"json": {"k": 1}}, {"text": ""}], "status": "success"}})
        ),
        "[a-z]{0,3}".prop_map(
            |text| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": "s"}}})
        ),
        Just(json!({"reasoningContent": {"reasoningText": {"text": "unsigned"}}})),
        Just(json!({"reasoningContent": {"redactedContent": "AAAA"}})),
        Just(
            json!({"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [{"title": "t"}]}})
        ),
        Just(json!({"cachePoint": {"type": "default"}})),
        Just(json!({"cachePoint": {"type": "default", "ttl": "1h"}})),
        Just(json!({"searchResult": {"source": "s", "title": "t", "content": []}})),
    ]
}

fn any_request() -> impl Strategy<Value = Value> {
    let role = prop_oneof![Just("user"), Just("assistant"), Just("system")];
    let message = (role, prop::collection::vec(any_block(), 0..4))
        .prop_map(|(role, content)| json!({"role": role, "content": content}));
    let system = prop::collection::vec(
        prop_oneof![Just(json!({"text": "s"})), Just(json!({"cachePoint": {"type": "default"}}))],
        1..4,
    );
    (prop::collection::vec(message, 0..4), prop::option::of(system), 0_u8..64).prop_map(|(messages, system, bits)| {
        let mut body = json!({"messages": messages, "novel": {"x": [1]}});
        let on = |bit: u8| bits & (1 << bit) != 0;
        if let Some(system) = system {
            body["system"] = json!(system);
        }
        if on(0) {
            body["inferenceConfig"] = json!({"temperature": 0.25, "novel": 1});
        }
        if on(1) {
            body["toolConfig"] = json!({"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}, {"cachePoint": {"type": "default"}}, {"systemTool": {"name": "g"}}], "toolChoice": {"tool": {"name": "f"}}});
        }
        if on(2) {
            body["additionalModelRequestFields"] = json!({"thinking": {"type": "enabled", "budget_tokens": 2000, "novel": 1}, "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}, "novel": 2});
        }
        if on(3) {
            body["outputConfig"] = json!({"effort": "strange", "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{ }"}}}});
        }
        if on(4) {
            body["requestMetadata"] = json!({"k": "v"});
        }
        if on(5) {
            body["outputConfig"] = json!({"effort": "max"});
        }
        body
    })
}

/// Legal streams of blocks that every caller could see.
fn any_stream() -> impl Strategy<Value = Vec<Value>> {
    let delta = |index: usize, delta: Value| json!({"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}});
    let block = prop_oneof![
        prop::collection::vec(".{1,8}", 1..4).prop_map(|texts| (
            None,
            texts.into_iter().map(|text| json!({"text": text})).collect::<Vec<_>>()
        )),
        prop::collection::vec("[a-z]{1,8}", 1..4).prop_map(|texts| {
            let mut pieces: Vec<Value> =
                texts.into_iter().map(|text| json!({"reasoningContent": {"text": text}})).collect();
            pieces.push(json!({"reasoningContent": {"signature": "c2ln"}}));
            (None, pieces)
        }),
        Just((None, vec![json!({"reasoningContent": {"redactedContent": "AAAA"}})])),
        "[a-z]{1,8}".prop_map(|text| {
            let start = json!({"toolUse": {"toolUseId": text, "name": "f"}});
            let pieces = ["{\"k\":", "\"", "}\\\"", "\"}"];
            (Some(start), pieces.map(|piece| json!({"toolUse": {"input": piece}})).to_vec())
        }),
    ];
    prop::collection::vec(block, 0..6).prop_map(move |blocks| {
        let mut events = vec![json!({"messageStart": {"role": "assistant"}})];
        for (index, (start, pieces)) in blocks.into_iter().enumerate() {
            events.extend(
                start.map(|start| json!({"contentBlockStart": {"contentBlockIndex": index, "start": start}})),
            );
            events.extend(pieces.into_iter().map(|piece| delta(index, piece)));
            events.push(json!({"contentBlockStop": {"contentBlockIndex": index}}));
        }
        events.push(json!({"messageStop": {"stopReason": "end_turn"}}));
        events.push(json!({"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}}));
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
    fn arbitrary_payloads_do_not_panic_and_stay_legal(
        pieces in prop::collection::vec((0_usize..7, ".{0,40}"), 0..8),
        shapes in prop::collection::vec((0_usize..7, 0_u64..3, any_delta()), 0..12),
    ) {
        const NAMES: [&str; 7] = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "novel"];
        let mut bytes = Vec::new();
        for (name, index, delta) in shapes {
            let payload = json!({"contentBlockIndex": index, "delta": delta, "start": delta, "stopReason": "x", "usage": delta});
            aws::write(Kind::Event, NAMES[name], payload.to_string().as_bytes(), &mut bytes);
        }
        for (name, payload) in pieces {
            aws::write(Kind::Event, NAMES[name], payload.as_bytes(), &mut bytes);
        }
        let (events, _) = read([bytes.as_slice()]);
        let all: usize = events.iter().map(|event| match event {
            Event::Delta { delta: Delta::Text(text), .. } => text.len(),
            _ => 0,
        }).sum();
        prop_assert!(all <= bytes.len());
        written(&events);
    }

    #[test]
    fn arbitrary_bodies_do_not_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = CODEC.decode_request(&body, &ENVELOPE);
        let _ = CODEC.decode_response(&body, &target());
        let _ = CODEC.fault(500, &body);
    }
}

fn any_delta() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"text": "t"})),
        Just(json!({"toolUse": {"input": "{"}})),
        Just(json!({"toolUse": {"toolUseId": "a", "name": "b"}})),
        Just(json!({"toolUse": {"toolUseId": "a", "name": "b", "type": "server_tool_use"}})),
        Just(json!({"reasoningContent": {"text": "r"}})),
        Just(json!({"reasoningContent": {"signature": "r"}})),
        Just(json!({"image": {"format": "png", "source": {"bytes": "AA=="}}})),
        Just(json!({"citation": {"title": "t"}})),
        Just(json!({"toolResult": [{"text": "x"}]})),
        Just(json!({"inputTokens": 1, "cacheDetails": [{}]})),
        Just(json!(null)),
    ]
}
