mod ends;
mod families;

use super::{BadStream, EVENT_LIMIT, Ending, First, JUNK_LIMIT, Relay};
use bytes::Bytes;
use keyway_proto::snapshot::v1::{Dialect, Endpoint, ServiceTier, StreamEnd};
use proptest::prelude::*;

const CHAT: &str = concat!(
    "data: {\"id\":\"1\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n",
    "data: {\"id\":\"1\",\"choices\":[{\"delta\":{\"content\":\"a \\\"usage\\\":{} b\"}}],\"usage\":null}\n\n",
    "data: {\"id\":\"1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
);
const EXTRA: &str = concat!(
    "data: {\"id\":\"1\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":4,\"total_tokens\":14,",
    "\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n"
);
const DONE: &str = "data: [DONE]\n\n";
const MESSAGES: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":7,",
    "\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"hi\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);
const RESPONSES: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":4,",
    "\"output_tokens\":6,\"output_tokens_details\":{\"reasoning_tokens\":2}}}}\n\n",
);

/// All that a caller can see of a stream.
#[derive(Debug, PartialEq)]
struct Seen {
    bytes: Vec<u8>,
    pushed: Result<(), BadStream>,
    first: First,
    ending: Ending,
    totals: Option<(u64, u64)>,
    whole: bool,
    text_bytes: u64,
    tier: ServiceTier,
}

fn play<'a>(mut relay: Relay, chunks: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut bytes = Vec::new();
    let mut out = |part: Bytes| {
        assert!(!part.is_empty());
        bytes.extend_from_slice(&part);
    };
    let mut pushed = Ok(());
    for chunk in chunks {
        pushed = relay.push(Bytes::copy_from_slice(chunk), &mut out);
        if pushed.is_err() {
            break;
        }
    }
    let ending = relay.finish(&mut out);
    let totals = relay.usage().map(|usage| (usage.input_total(), usage.output_total()));
    let (whole, text_bytes, tier) = (relay.usage_is_whole(), relay.text_bytes(), relay.service_tier());
    Seen { bytes, pushed, first: relay.first().clone(), ending, totals, whole, text_bytes, tier }
}

fn chat(withhold: bool) -> Relay {
    Relay::new(Dialect::OpenaiChat, Endpoint::ChatCompletions, StreamEnd::Done, withhold)
}

fn ending_by(end: StreamEnd) -> Relay {
    Relay::new(Dialect::OpenaiChat, Endpoint::ChatCompletions, end, false)
}

fn messages() -> Relay {
    Relay::new(Dialect::AnthropicMessages, Endpoint::Messages, StreamEnd::Unspecified, false)
}

fn responses() -> Relay {
    Relay::new(Dialect::OpenaiResponses, Endpoint::Responses, StreamEnd::Unspecified, false)
}

fn whole(relay: Relay, text: &str) -> Seen {
    play(relay, std::iter::once(text.as_bytes()))
}

#[test]
fn passes_a_complete_stream_unchanged() {
    for (relay, text, totals) in [
        (chat(false), [CHAT, EXTRA, DONE].concat(), (10, 4)),
        (messages(), MESSAGES.to_owned(), (12, 9)),
        (responses(), RESPONSES.to_owned(), (4, 6)),
    ] {
        let seen = whole(relay, &text);
        assert_eq!(seen.bytes, text.as_bytes());
        assert_eq!((seen.pushed, seen.first, seen.ending), (Ok(()), First::Content, Ending::Complete));
        assert_eq!(seen.totals, Some(totals));
    }
}

#[test]
fn withholds_only_the_extra_chunk() {
    let seen = whole(chat(true), &[CHAT, EXTRA, DONE].concat());
    assert_eq!(seen.bytes, [CHAT, DONE].concat().as_bytes());
    assert_eq!((seen.ending, seen.totals), (Ending::Complete, Some((10, 4))));
    // Usage on a chunk with choices is the provider's own habit and stays.
    let own =
        "data: {\"choices\":[{\"index\":0}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    assert_eq!(whole(chat(true), own).bytes, own.as_bytes());
    // An empty list without usage is Azure's first chunk.
    let azure = "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n";
    assert_eq!(whole(chat(true), azure).bytes, azure.as_bytes());
}

#[test]
fn neighbouring_events_leave_in_one_piece() {
    let text = Bytes::from([CHAT, "data: {\"cho"].concat());
    let mut parts = Vec::new();
    let mut relay = chat(false);
    relay.push(text.clone(), &mut |part| parts.push(part)).unwrap();
    assert_eq!(parts, [CHAT.as_bytes()]);
    assert_eq!(parts[0].as_ptr(), text.as_ptr(), "a slice of the chunk, not a copy");
    relay.push(Bytes::from_static(b"ices\":[]}\n\nx"), &mut |part| parts.push(part)).unwrap();
    assert_eq!(parts[1], "data: {\"choices\":[]}\n\n".as_bytes());
}

#[test]
fn a_cut_stream_is_cut_and_its_tail_dropped() {
    for cut in [CHAT.len() - 1, CHAT.len() - 2, CHAT.len() - 20] {
        let seen = whole(chat(false), &CHAT[..cut]);
        assert_eq!(seen.ending, Ending::Cut);
        assert!(seen.bytes.ends_with(b"\n\n") && seen.bytes.len() < cut);
    }
    assert_eq!(whole(chat(false), CHAT).ending, Ending::Cut);
    assert_eq!(whole(chat(false), "").ending, Ending::Cut);
    let half = RESPONSES.len() - 10;
    assert_eq!(whole(responses(), &RESPONSES[..half]).ending, Ending::Cut);
    assert_eq!(whole(messages(), &MESSAGES[..MESSAGES.len() - 60]).ending, Ending::Cut);
}

#[test]
fn an_end_marker_without_its_blank_line_counts() {
    for end in ["data: [DONE]", "data: [DONE]\n", "data: [DONE]\r", "data:[DONE]\r\n"] {
        let seen = whole(chat(false), &[CHAT, end].concat());
        assert_eq!((seen.ending, seen.bytes), (Ending::Complete, [CHAT, end].concat().into_bytes()));
    }
    let seen = whole(messages(), &MESSAGES[..MESSAGES.len() - 1]);
    assert_eq!((seen.ending, seen.bytes.len()), (Ending::Complete, MESSAGES.len() - 1));
}

#[test]
fn ends_as_the_row_says() {
    assert_eq!(whole(ending_by(StreamEnd::FinishReason), CHAT).ending, Ending::Complete);
    assert_eq!(whole(ending_by(StreamEnd::FinishReason), &CHAT[..120]).ending, Ending::Cut);
    assert_eq!(whole(ending_by(StreamEnd::FinishReason), &[CHAT, EXTRA].concat()).totals, Some((10, 4)));
    assert_eq!(whole(ending_by(StreamEnd::Eof), CHAT).ending, Ending::Complete);
    assert_eq!(whole(ending_by(StreamEnd::Eof), &CHAT[..CHAT.len() - 5]).ending, Ending::Cut);
    assert_eq!(whole(ending_by(StreamEnd::Eof), ": only a comment\n\n").ending, Ending::Cut);
    let trailing = [CHAT, DONE, "whatever\n\ncomes"].concat();
    assert_eq!(whole(chat(false), &trailing).bytes, trailing.as_bytes());
}

#[test]
fn comments_pings_and_empty_events_are_not_first() {
    let mut relay = messages();
    let before =
        ": hello\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: x\n\nid: 1\nretry: 5\n\ndata\n\n";
    relay.push(Bytes::from(before), &mut |_| {}).unwrap();
    assert_eq!(relay.first(), &First::Pending);
    relay.push(Bytes::from(MESSAGES), &mut |_| {}).unwrap();
    assert_eq!(relay.first(), &First::Content);
}

#[test]
fn an_error_as_first_event_is_told() {
    let chat_error = |text: &str| (chat(false), format!("data: {text}\n\n"));
    let cases = [
        (chat_error(r#"{"error":{"message":"m","type":"rate_limit_error","code":null}}"#), 429, Some("rate_limit_error")),
        (chat_error(r#"{"id":"x","error":{"code":503,"message":"no"},"choices":[]}"#), 503, None),
        (chat_error(r#" { "error": "out of memory"}"#), 502, None),
        (chat_error(r#"{"error":{"code":"insufficient_quota"}}"#), 429, Some("insufficient_quota")),
        ((messages(), "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n".to_owned()), 529, Some("overloaded_error")),
        ((messages(), "data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n".to_owned()), 500, Some("api_error")),
        ((responses(), "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"m\"}\n\n".to_owned()), 500, Some("server_error")),
        ((responses(), "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"rate_limit_exceeded\"}}}\n\n".to_owned()), 429, Some("rate_limit_exceeded")),
    ];
    for ((relay, text), status, code) in cases {
        let First::Error(refused) = whole(relay, &text).first else { panic!("{text}") };
        assert_eq!((refused.status, refused.code.as_deref()), (status, code), "{text}");
    }
    let fine = "data: {\"error\":null,\"choices\":[]}\n\n";
    assert_eq!(whole(chat(false), fine).first, First::Content);
}

#[test]
fn an_error_later_on_is_the_targets_own_ending() {
    let error = "data: {\"error\":{\"message\":\"m\",\"code\":\"server_error\"}}\n\n";
    let seen = whole(chat(false), &[CHAT, error].concat());
    assert_eq!((seen.first, seen.ending), (First::Content, Ending::Failed));
    assert_eq!(seen.bytes, [CHAT, error].concat().as_bytes());
    assert_eq!(whole(chat(false), &[CHAT, error, DONE].concat()).ending, Ending::Failed);
    let start = MESSAGES.find("event: ping").unwrap();
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    assert_eq!(whole(messages(), &[&MESSAGES[..start], error].concat()).ending, Ending::Failed);
    let failed = RESPONSES.replace("response.completed", "response.failed");
    assert_eq!(whole(responses(), &failed).ending, Ending::Complete);
}

#[test]
fn junk_and_endless_lines_end_the_stream() {
    let page = "<html>\n".repeat(JUNK_LIMIT as usize);
    assert_eq!(whole(chat(false), &[CHAT, &page].concat()).pushed, Ok(()));
    let seen = whole(chat(false), &[CHAT, &page, "{\"json\":1}\n"].concat());
    assert_eq!((seen.pushed, seen.ending), (Err(BadStream::Malformed), Ending::Cut));
    assert_eq!(seen.bytes, CHAT.as_bytes());

    let fits = format!("data: {}\n\n", "x".repeat(EVENT_LIMIT - 8));
    let over = format!("data: {}\n\n", "x".repeat(EVENT_LIMIT - 7));
    for size in [over.len(), 100_000] {
        assert_eq!(play(chat(false), fits.as_bytes().chunks(size)).bytes.len(), fits.len());
        assert_eq!(play(chat(false), over.as_bytes().chunks(size)).pushed, Err(BadStream::LineTooLong));
    }
    let endless = "x".repeat(EVENT_LIMIT + 1);
    assert_eq!(play(chat(false), endless.as_bytes().chunks(70_000)).pushed, Err(BadStream::LineTooLong));
}

#[test]
fn tells_partial_usage_from_whole_and_measures_text() {
    let start = MESSAGES.find("event: ping").unwrap();
    let table = [
        // Chat's text holds what looks like a key, escaped: `a "usage":{} b`.
        (chat(false), [CHAT, EXTRA].concat(), Some((10, 4)), true, 14),
        (chat(false), CHAT.to_owned(), None, false, 14),
        (messages(), MESSAGES.to_owned(), Some((12, 9)), true, 2),
        (messages(), MESSAGES[..start].to_owned(), Some((12, 1)), false, 0),
        (messages(), MESSAGES.replace(":9}", ":-9}"), None, false, 2),
        (messages(), MESSAGES.replace("\"input_tokens\":7,", "").replace(":5,", ":0,"), None, false, 2),
        (responses(), RESPONSES.to_owned(), Some((4, 6)), true, 2),
        (responses(), RESPONSES[..RESPONSES.len() - 160].to_owned(), None, false, 2),
    ];
    for (relay, text, totals, is_whole, text_bytes) in table {
        let seen = whole(relay, &text);
        assert_eq!((seen.totals, seen.whole, seen.text_bytes), (totals, is_whole, text_bytes), "{text}");
    }
}

#[test]
fn the_service_tier_is_the_one_that_was_used() {
    let chat_tier = "data: {\"service_tier\":\"flex\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    assert_eq!(whole(chat(false), chat_tier).tier, ServiceTier::Flex);
    let later = EXTRA.replace("\"id\"", "\"service_tier\":\"default\",\"id\"");
    assert_eq!(whole(chat(false), &[chat_tier, &later].concat()).tier, ServiceTier::Unspecified);
    let done = RESPONSES.replace("{\"usage\":{", "{\"service_tier\":\"priority\",\"usage\":{");
    assert_eq!(whole(responses(), &done).tier, ServiceTier::Priority);
    let fast = MESSAGES
        .replace("{\"input_tokens\"", "{\"service_tier\":\"standard\",\"speed\":\"fast\",\"input_tokens\"");
    assert_eq!(whole(messages(), &fast).tier, ServiceTier::Fast);
}

#[test]
fn truly_bad_bytes_pass_untouched() {
    let mut text = b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n".to_vec();
    text.extend_from_slice(DONE.as_bytes());
    assert_eq!(play(chat(false), text.chunks(7)).bytes, text);
}

#[test]
fn data_over_several_lines_is_one_event() {
    let text = "data: {\"choices\":[],\r\nid: 7\r\ndata: \"usage\":{\"prompt_tokens\":1,\r\ndata:\"completion_tokens\":2}}\r\n\r\n";
    let seen = whole(chat(true), text);
    assert_eq!((seen.bytes.len(), seen.totals), (0, Some((1, 2))));
}

/// Lines, breaks and whole events that make streams of every kind of trouble.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\r\n".to_owned()),
        Just("\r\n\r\n".to_owned()),
        Just("\u{feff}".to_owned()),
        Just(": comment\n".to_owned()),
        Just("data".to_owned()),
        Just("data: ".to_owned()),
        Just("event: error\n".to_owned()),
        Just("event: ping\n".to_owned()),
        Just("junk\n".to_owned()),
        Just(CHAT.to_owned()),
        Just(CHAT.replace('\n', "\r\n")),
        Just(EXTRA.to_owned()),
        Just(EXTRA.replace('\n', "\r")),
        Just(EXTRA.replace('\n', "\r\n")),
        Just(DONE.to_owned()),
        Just(MESSAGES.to_owned()),
        Just(MESSAGES.replace('\n', "\r\n")),
        Just(RESPONSES.to_owned()),
        "[a-z{}:\" ]{0,12}",
    ]
}

fn relays() -> impl Strategy<Value = u8> {
    0..6_u8
}

fn relay(which: u8) -> Relay {
    match which {
        0 => chat(false),
        1 => chat(true),
        2 => ending_by(StreamEnd::FinishReason),
        3 => ending_by(StreamEnd::Eof),
        4 => messages(),
        _ => responses(),
    }
}

proptest! {
    #[test]
    fn where_chunks_are_cut_makes_no_difference(
        which in relays(),
        pieces in prop::collection::vec(piece(), 0..24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let text = pieces.concat().into_bytes();
        let expected = play(relay(which), std::iter::once(text.as_slice()));
        prop_assert_eq!(&play(relay(which), text.chunks(1)), &expected);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]);
        prop_assert_eq!(&play(relay(which), chunks), &expected);
    }

    #[test]
    fn what_goes_out_is_what_came_in(
        which in 2..6_u8,
        pieces in prop::collection::vec(piece(), 0..24),
    ) {
        let text = pieces.concat().into_bytes();
        let seen = play(relay(which), text.chunks(11));
        prop_assert!(text.starts_with(&seen.bytes));
    }
}
