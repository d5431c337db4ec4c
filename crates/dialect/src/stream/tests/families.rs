//! Streams of Gemini, Bedrock and Cohere.

use super::{Seen, play, whole};
use crate::fault::{Code, Fault};
use crate::frame::aws::{self, Kind};
use crate::stream::{BadStream, Ending, First, Framing, Relay};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use keyway_proto::snapshot::v1::{Dialect, Endpoint, ServiceTier, StreamEnd};
use proptest::prelude::*;

const CHUNKS: [&str; 3] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"think","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"trafficType":"ON_DEMAND"},"responseId":"r"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"a \"finishReason\":\"é"},{"functionCall":{"name":"f","args":{"a":1}}}]}}],"usageMetadata":{"promptTokenCount":10}}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,"cachedContentTokenCount":4,"candidatesTokenCount":6,"thoughtsTokenCount":3,"totalTokenCount":19}}"#,
];
/// Of text and arguments: `think`, `a "finishReason":"é`, `{"a":1}`.
const GEMINI_TEXT: u64 = 5 + 20 + 7;

fn relay(framing: Framing, dialect: Dialect, endpoint: Endpoint) -> Relay {
    Relay::framed(framing, (dialect, endpoint), StreamEnd::Unspecified, false)
}

fn gemini() -> Relay {
    relay(Framing::Events, Dialect::Gemini, Endpoint::ChatCompletions)
}

fn list() -> Relay {
    relay(Framing::List, Dialect::Gemini, Endpoint::ChatCompletions)
}

fn bedrock() -> Relay {
    relay(Framing::Frames, Dialect::BedrockConverse, Endpoint::ChatCompletions)
}

fn invoked() -> Relay {
    relay(Framing::Frames, Dialect::BedrockConverse, Endpoint::Invoke)
}

fn cohere() -> Relay {
    relay(Framing::Events, Dialect::CohereChat, Endpoint::ChatCompletions)
}

fn sse(chunks: &[&str]) -> Vec<u8> {
    chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect::<String>().into_bytes()
}

fn frame(kind: Kind, name: &str, payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    aws::write(kind, name, payload.as_bytes(), &mut out);
    out
}

fn events(events: &[(&str, &str)]) -> Vec<u8> {
    events.iter().flat_map(|(name, payload)| frame(Kind::Event, name, payload)).collect()
}

const CONVERSE: [(&str, &str); 8] = [
    ("messageStart", r#"{"role":"assistant","p":"ab"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"why"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"sig"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"hi\r"}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"a\""}}}"#),
    ("messageStop", r#"{"stopReason":"end_turn"}"#),
    (
        "metadata",
        r#"{"usage":{"inputTokens":3,"outputTokens":9,"totalTokens":19,"cacheReadInputTokens":5,"cacheWriteInputTokens":2},"metrics":{"latencyMs":1},"serviceTier":{"type":"priority"}}"#,
    ),
];

const COHERE: &str = concat!(
    "event: message-start\ndata: {\"id\":\"1\",\"type\":\"message-start\",\"delta\":{\"message\":{\"role\":\"assistant\"}}}\n\n",
    "event: tool-plan-delta\ndata: {\"type\":\"tool-plan-delta\",\"delta\":{\"message\":{\"tool_plan\":\"plan\"}}}\n\n",
    "event: content-start\ndata: {\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}\n\n",
    "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"hello\"}}}}\n\n",
    "event: tool-call-delta\ndata: {\"type\":\"tool-call-delta\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{\"function\":{\"arguments\":\"{}\"}}}}}\n\n",
    "event: content-end\ndata: {\"type\":\"content-end\",\"index\":0}\n\n",
);
const COHERE_END: &str = concat!(
    "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{\"billed_units\":",
    "{\"input_tokens\":8.0,\"output_tokens\":4},\"tokens\":{\"input_tokens\":90,\"output_tokens\":6},\"cached_tokens\":2}}}\n\n",
);

fn complete(seen: &Seen, bytes: &[u8], totals: Option<(u64, u64)>, text_bytes: u64) {
    assert_eq!(seen.bytes, bytes);
    assert_eq!((seen.pushed, &seen.first, seen.ending), (Ok(()), &First::Content, Ending::Complete));
    assert_eq!((seen.totals, seen.whole, seen.text_bytes), (totals, totals.is_some(), text_bytes));
}

fn play_whole(relay: Relay, bytes: &[u8]) -> Seen {
    play(relay, std::iter::once(bytes))
}

#[test]
fn complete_streams_pass_unchanged_and_tell_what_was_used() {
    let text = sse(&CHUNKS);
    complete(&play_whole(gemini(), &text), &text, Some((10, 9)), GEMINI_TEXT);
    for (open, between, close) in [("[", ",\r\n", "]"), (" [\n", "\n,\n", "\n]\n")] {
        let text = [open, &CHUNKS.join(between), close].concat();
        complete(&play_whole(list(), text.as_bytes()), text.as_bytes(), Some((10, 9)), GEMINI_TEXT);
    }
    let frames = events(&CONVERSE);
    let seen = play_whole(bedrock(), &frames);
    complete(&seen, &frames, Some((10, 9)), 3 + 3 + 4);
    assert_eq!(seen.tier, ServiceTier::Priority);
    let text = [COHERE, COHERE_END, "data: [DONE]\n\n"].concat();
    complete(&whole(cohere(), &text), text.as_bytes(), Some((10, 4)), 4 + 5 + 2);
}

#[test]
fn a_single_object_where_a_list_should_be_is_its_only_item() {
    let text = format!("{}\n", CHUNKS[2]);
    complete(&whole(list(), &text), text.as_bytes(), Some((10, 9)), 0);
}

#[test]
fn an_answer_without_its_end_is_cut() {
    let text = sse(&CHUNKS[..2]);
    let seen = play_whole(gemini(), &text);
    assert_eq!((seen.ending, seen.totals, seen.whole), (Ending::Cut, Some((10, 0)), false));
    // The bracket would make it look whole.
    let open = format!("[{},{}", CHUNKS[0], CHUNKS[1]);
    let seen = whole(list(), &format!("{open}]"));
    assert_eq!((seen.ending, seen.bytes.as_slice()), (Ending::Cut, open.as_bytes()));
    let seen = whole(list(), &format!("[{}", CHUNKS[2]));
    assert_eq!(seen.ending, Ending::Complete, "all that the answer has is there");

    assert_eq!(play_whole(bedrock(), &events(&CONVERSE[..6])).ending, Ending::Cut);
    let seen = play_whole(bedrock(), &events(&CONVERSE[..7]));
    assert_eq!((seen.ending, seen.totals), (Ending::Complete, None));
    let frames = events(&CONVERSE);
    let seen = play_whole(bedrock(), &frames[..frames.len() - 1]);
    assert_eq!(seen.bytes, events(&CONVERSE[..7]));

    assert_eq!(whole(cohere(), COHERE).ending, Ending::Cut);
}

#[test]
fn every_candidate_must_have_ended() {
    let one = |index: u8, rest: &str| format!(r#"{{"candidates":[{{"index":{index}{rest}}}]}}"#);
    let stop = r#","finishReason":"STOP""#;
    let (first, second) = (one(0, stop), one(1, ""));
    assert_eq!(play_whole(gemini(), &sse(&[&first])).ending, Ending::Complete);
    assert_eq!(play_whole(gemini(), &sse(&[&second, &first])).ending, Ending::Cut);
    assert_eq!(play_whole(gemini(), &sse(&[&first, &second])).ending, Ending::Cut);
    assert_eq!(play_whole(gemini(), &sse(&[&second, &first, &one(1, stop)])).ending, Ending::Complete);
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}"#;
    let seen = play_whole(gemini(), &sse(&[blocked]));
    assert_eq!((seen.ending, seen.totals, seen.whole), (Ending::Complete, Some((4, 0)), true));
}

#[test]
fn errors_as_first_event_and_later_on() {
    let error = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[]}}"#;
    let in_list = format!("[{error}]");
    let cases = [
        (gemini(), sse(&[error]), 429, "RESOURCE_EXHAUSTED"),
        (gemini(), sse(&[&in_list]), 429, "RESOURCE_EXHAUSTED"),
        (list(), in_list.into_bytes(), 429, "RESOURCE_EXHAUSTED"),
        (
            bedrock(),
            frame(Kind::Exception, "throttlingException", r#"{"message":"m"}"#),
            429,
            "throttlingException",
        ),
        (bedrock(), frame(Kind::Error, "InternalError", ""), 500, "InternalError"),
        (cohere(), COHERE_END.replace("COMPLETE", "TIMEOUT").into_bytes(), 504, "TIMEOUT"),
    ];
    for (relay, bytes, status, code) in cases {
        let seen = play_whole(relay, &bytes);
        let First::Error(refused) = seen.first else { panic!("{code} is no error") };
        assert_eq!(
            (refused.status, refused.code.as_deref(), seen.ending),
            (status, Some(code), Ending::Failed)
        );
        assert_eq!(seen.bytes, bytes, "{code}");
    }
    let later = [
        (gemini(), sse(&[CHUNKS[0], error])),
        (list(), format!("[{},{error}]", CHUNKS[0]).into_bytes()),
        (
            bedrock(),
            [events(&CONVERSE[..3]), frame(Kind::Exception, "modelStreamErrorException", "{}")].concat(),
        ),
        (cohere(), [COHERE, &COHERE_END.replace("COMPLETE", "ERROR")].concat().into_bytes()),
    ];
    for (relay, bytes) in later {
        let seen = play_whole(relay, &bytes);
        assert_eq!((seen.first, seen.ending), (First::Content, Ending::Failed));
        assert_eq!(seen.bytes, bytes);
    }
}

#[test]
fn a_model_that_is_invoked_ends_with_the_connection() {
    let chunk = |json: &str| format!(r#"{{"bytes":"{}","p":"x"}}"#, STANDARD.encode(json));
    let last = chunk(
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":5,"cacheReadInputTokenCount":3}}"#,
    );
    let start = chunk(r#"{"type":"message_start"}"#);
    let frames = events(&[("chunk", &start), ("chunk", &last)]);
    let seen = play_whole(invoked(), &frames);
    complete(&seen, &frames, Some((10, 5)), 0);
    let seen = play_whole(invoked(), &events(&[("chunk", &start)]));
    assert_eq!((seen.ending, seen.totals), (Ending::Complete, None));
    assert_eq!(play_whole(invoked(), &frames[..frames.len() - 1]).ending, Ending::Cut);
    assert_eq!(play_whole(invoked(), b"").ending, Ending::Cut);
}

#[test]
fn what_is_no_frame_or_no_list_ends_the_stream() {
    let good = events(&CONVERSE[..3]);
    let mut bad = events(&CONVERSE[3..5]);
    *bad.last_mut().unwrap() ^= 1;
    let seen = play_whole(bedrock(), &[good.as_slice(), &bad].concat());
    assert_eq!((seen.pushed, seen.ending), (Err(BadStream::Malformed), Ending::Cut));
    assert_eq!(seen.bytes, [good, events(&CONVERSE[3..4])].concat(), "whole frames before the bad one");
    assert_eq!(whole(bedrock(), "<html>a portal's page</html>").pushed, Err(BadStream::Malformed));
    assert_eq!(whole(list(), "[1]").pushed, Err(BadStream::Malformed));
    assert_eq!(whole(list(), "<html>").pushed, Err(BadStream::Malformed));
}

#[test]
fn the_last_event_of_a_broken_stream_is_in_its_framing() {
    let fault = Fault::new(Code::UpstreamError, "broke");
    let begun = |mut relay: Relay, bytes: &[u8]| {
        relay.push(Bytes::copy_from_slice(bytes), &mut |_| {}).unwrap();
        relay.fault(&fault)
    };
    let text = String::from_utf8(begun(list(), format!("[{}", CHUNKS[0]).as_bytes()).into()).unwrap();
    let item: serde_json::Value = serde_json::from_str(text.strip_prefix(",\n").unwrap()).unwrap();
    assert_eq!(item["error"]["code"], 502);
    assert!(begun(list(), b" ").starts_with(b"[{\"error\""));
    assert!(begun(gemini(), b"").starts_with(b"data: {\"error\""));
    let frame = begun(bedrock(), &events(&CONVERSE[..1]));
    let message = aws::read(&frame).unwrap();
    assert_eq!((message.kind, message.name), (Kind::Exception, "modelStreamErrorException"));
    assert!(begun(cohere(), COHERE.as_bytes()).starts_with(b"event: message-end\n"));
}

#[test]
fn content_types() {
    for (dialect, asked, kind, framing) in [
        (Dialect::OpenaiChat, true, "Text/Event-Stream; charset=utf-8", Some(Framing::Events)),
        (Dialect::OpenaiChat, true, "application/json", None),
        (Dialect::OpenaiChat, true, "application/vnd.amazon.eventstream", None),
        (Dialect::BedrockConverse, true, "application/vnd.amazon.eventstream", Some(Framing::Frames)),
        (Dialect::Gemini, true, "application/json; charset=UTF-8", Some(Framing::List)),
        (Dialect::Gemini, false, "application/json", None),
        (Dialect::Gemini, true, "text/event-stream", Some(Framing::Events)),
    ] {
        assert_eq!(Framing::of(dialect, asked, kind.as_bytes()), framing, "{dialect:?} {kind}");
    }
}

type Played = (fn() -> Relay, Vec<u8>);

/// Streams of all kinds, some of them broken.
fn streams() -> Vec<Played> {
    let error = r#"{"error":{"code":503,"status":"UNAVAILABLE"}}"#;
    let mut wrong = events(&CONVERSE);
    let middle = wrong.len() / 2;
    wrong[middle] ^= 4;
    vec![
        (gemini, sse(&CHUNKS)),
        (gemini, sse(&[CHUNKS[0], error])),
        (list, format!("[{}]\n", CHUNKS.join(",\r\n")).into_bytes()),
        (list, format!("[{},\n{error}]", CHUNKS[1]).into_bytes()),
        (list, format!("[{}]", CHUNKS[1]).into_bytes()),
        (list, format!("{}\n", CHUNKS[2]).into_bytes()),
        (list, format!("[{}, true]", CHUNKS[0]).into_bytes()),
        (bedrock, events(&CONVERSE)),
        (bedrock, [events(&CONVERSE[..2]), frame(Kind::Exception, "validationException", "{}")].concat()),
        (bedrock, wrong),
        (cohere, [COHERE, COHERE_END, "data: [DONE]\n\n"].concat().into_bytes()),
    ]
}

#[test]
fn a_cut_at_any_byte_changes_neither_bytes_nor_verdicts() {
    for (new, bytes) in streams() {
        let expected = play_whole(new(), &bytes);
        assert!(bytes.starts_with(&expected.bytes));
        assert_eq!(play(new(), bytes.chunks(1)), expected);
        for cut in 0..=bytes.len() {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(play(new(), [left, right].into_iter()), expected, "cut at {cut}");
        }
    }
}

proptest! {
    #[test]
    fn any_cuts_and_any_end(
        which in 0_usize..11,
        length in any::<prop::sample::Index>(),
        flip in proptest::option::of(any::<prop::sample::Index>()),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (new, mut bytes) = streams().swap_remove(which);
        bytes.truncate(length.index(bytes.len() + 1));
        if let (Some(flip), false) = (flip, bytes.is_empty()) {
            let at = flip.index(bytes.len());
            bytes[at] ^= 0x10;
        }
        let expected = play_whole(new(), &bytes);
        prop_assert!(bytes.starts_with(&expected.bytes));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
        prop_assert_eq!(&play(new(), chunks), &expected);
    }
}
