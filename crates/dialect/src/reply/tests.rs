use super::UsageScan;
use crate::usage::{OBJECT_LIMIT, Usage};
use keyway_proto::snapshot::v1::{Dialect, Endpoint, Meter, ServiceTier};
use proptest::prelude::*;

fn scan<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Option<Usage> {
    let mut scan = UsageScan::new(Dialect::OpenaiChat, Endpoint::ChatCompletions);
    chunks.for_each(|chunk| scan.push(chunk));
    scan.finish()
}

fn totals(text: &str) -> Option<(u64, u64)> {
    scan(std::iter::once(text.as_bytes())).map(|usage| (usage.input_total(), usage.output_total()))
}

const USAGE: &str =
    r#"{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":1}}"#;

#[test]
fn finds_the_usage_at_the_top_and_no_other() {
    let found = [
        format!(r#"{{"usage":{USAGE}}}"#),
        format!(
            r#" {{"id":"x","choices":[{{"usage":{{"prompt_tokens":9,"completion_tokens":9}}}}],"usage" : {USAGE} , "z":1}}"#
        ),
        format!(
            r#"{{"a":"\"usage\":{{\"prompt_tokens\":9}}\\","b":["]"],"usage":{USAGE},"usage2":{{"prompt_tokens":9}}}}"#
        ),
        format!(r#"{{"usage":null,"n":-1.5e3,"t":true,"usage":{USAGE}}}"#),
        // Cut behind the usage: what was said still counts.
        format!(r#"{{"usage":{USAGE},"rest":"#),
    ];
    for text in found {
        assert_eq!(totals(&text), Some((3, 4)), "{text}");
    }
    let missing = [
        "",
        "[]",
        "{}",
        "<html>{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}",
        r#"{"usage":null}"#,
        r#"{"usage":[{"prompt_tokens":1,"completion_tokens":1}]}"#,
        r#"{"a":"usage","b":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"{"usag":1,"usages":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"{"\usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"{"a":{"usage":{"prompt_tokens":1,"completion_tokens":1}}}"#,
        r#"{"usage":{"prompt_tokens":1,"completion_tokens":1"#,
        r#"{}{"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
    ];
    for text in missing {
        assert_eq!(totals(text), None, "{text}");
    }
}

#[test]
fn an_endless_usage_is_not_kept() {
    let mut scan = UsageScan::new(Dialect::OpenaiChat, Endpoint::ChatCompletions);
    scan.push(br#"{"usage":{"prompt_tokens":1,"completion_tokens":1,"x":""#);
    for _ in 0..1000 {
        scan.push(&[b'x'; 4096]);
    }
    assert!(scan.kept.as_ref().is_some_and(|(_, kept)| kept.len() <= OBJECT_LIMIT + 1));
    scan.push(br#""}}"#);
    assert_eq!(scan.finish(), None);
}

/// What a whole reply says, fed byte by byte and at once.
fn read(dialect: Dialect, endpoint: Endpoint, text: &str) -> UsageScan {
    let [whole, bytes] = [text.len().max(1), 1].map(|size| {
        let mut scan = UsageScan::new(dialect, endpoint);
        text.as_bytes().chunks(size).for_each(|chunk| scan.push(chunk));
        scan
    });
    assert_eq!(whole.text_bytes(), bytes.text_bytes(), "{text}");
    assert_eq!(whole.service_tier(), bytes.service_tier(), "{text}");
    let mut again = UsageScan::new(dialect, endpoint);
    again.push(text.as_bytes());
    assert_eq!(again.finish(), bytes.finish(), "{text}");
    whole
}

#[test]
fn answer_text_is_measured() {
    use Dialect::{AnthropicMessages, OpenaiChat, OpenaiResponses};
    let table = [
        (
            OpenaiChat,
            Endpoint::ChatCompletions,
            r#"{"id":"x","choices":[{"message":{"role":"assistant","content":"Hi\n\u00e9!","refusal":null}}]}"#,
            7,
        ),
        (
            OpenaiChat,
            Endpoint::ChatCompletions,
            r#"{"choices":[{"message":{"content":null,"reasoning_content":"abc","tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
            10,
        ),
        (OpenaiChat, Endpoint::Completions, r#"{"choices":[{"text" : "abc","finish_reason":"content"}]}"#, 3),
        (
            OpenaiResponses,
            Endpoint::Responses,
            r#"{"instructions":"no","text":{"format":{"type":"text"}},"output":[{"type":"message","content":[{"type":"output_text","text":"abcd"}]}]}"#,
            4,
        ),
        (
            AnthropicMessages,
            Endpoint::Messages,
            r#"{"content":[{"type":"thinking","thinking":"ab","signature":"zzz"},{"type":"text","text":"abc"},{"type":"tool_use","input":{"text":"q"}}]}"#,
            17,
        ),
    ];
    for (dialect, endpoint, text, bytes) in table {
        assert_eq!(read(dialect, endpoint, text).text_bytes(), bytes, "{text}");
    }
}

#[test]
fn the_service_tier_stands_at_the_top() {
    let tier = |text: &str| read(Dialect::OpenaiChat, Endpoint::ChatCompletions, text).service_tier();
    for (text, expected) in [
        (r#"{"service_tier":"flex"}"#, ServiceTier::Flex),
        (r#"{"service_tier" : "priority","usage":{"prompt_tokens":1}}"#, ServiceTier::Priority),
        (r#"{"service_tier":"default"}"#, ServiceTier::Unspecified),
        (r#"{"service_tier":null}"#, ServiceTier::Unspecified),
        (r#"{"service_tier":"velvet"}"#, ServiceTier::Other),
        (r#"{"service_tier":"fl\u0065x"}"#, ServiceTier::Other),
        (r#"{"x":{"service_tier":"flex"},"y":"service_tier","z":"flex"}"#, ServiceTier::Unspecified),
    ] {
        assert_eq!(tier(text), expected, "{text}");
    }
    let messages = |text: &str| read(Dialect::AnthropicMessages, Endpoint::Messages, text).service_tier();
    for (usage, expected) in [
        (r#""service_tier":"standard","speed":"fast""#, ServiceTier::Fast),
        (r#""service_tier":"priority","speed":"standard""#, ServiceTier::Priority),
        (r#""service_tier":"priority","speed":"fast""#, ServiceTier::Other),
        (r#""service_tier":["x"],"speed":{"a":1}"#, ServiceTier::Unspecified),
    ] {
        let text = format!(r#"{{"usage":{{"input_tokens":1,{usage}}}}}"#);
        assert_eq!(messages(&text), expected, "{text}");
    }
}

#[test]
fn what_is_no_tokens_is_counted_too() {
    use Endpoint::{AudioTranscriptions, CountTokens, Embeddings, ImagesGenerations, Messages, Responses};
    let table = [
        (
            ImagesGenerations,
            r#"{"created":1,"data":[{"b64_json":"{"},{"url":"x","y":{}}]}"#,
            Meter::Images,
            2,
        ),
        (
            ImagesGenerations,
            r#"{"data":[{"x":1}],"usage":{"input_tokens":5,"output_tokens":9}}"#,
            Meter::Images,
            1,
        ),
        (
            ImagesGenerations,
            r#"{"data":[{"x":1}],"usage":{"input_tokens":5,"output_tokens":9}}"#,
            Meter::ImageOutput,
            9,
        ),
        (Embeddings, r#"{"data":[{"embedding":[1]}],"usage":{"prompt_tokens":5}}"#, Meter::Images, 0),
        (
            AudioTranscriptions,
            r#"{"text":"a","usage":{"type":"duration","seconds":9}}"#,
            Meter::AudioMilliseconds,
            9000,
        ),
        (
            AudioTranscriptions,
            r#"{"task":"x","duration": 8.470000267028809 ,"text":"a"}"#,
            Meter::AudioMilliseconds,
            8470,
        ),
        (
            AudioTranscriptions,
            r#"{"duration":8.47,"usage":{"type":"duration","seconds":9}}"#,
            Meter::AudioMilliseconds,
            9000,
        ),
        (AudioTranscriptions, r#"{"duration":8.47,"usage":{"input_tokens":9}}"#, Meter::AudioMilliseconds, 0),
        (AudioTranscriptions, r#"{"text":"a","duration":3}"#, Meter::AudioMilliseconds, 3000),
        (CountTokens, r#"{"input_tokens":12}"#, Meter::Input, 0),
        (
            Messages,
            r#"{"usage":{"input_tokens":1,"server_tool_use":{"web_search_requests":3}}}"#,
            Meter::WebSearches,
            3,
        ),
        (
            Responses,
            r#"{"tool_usage":{"image_gen":{"x":0},"web_search":{"num_requests":2}},"usage":{"input_tokens":1}}"#,
            Meter::WebSearches,
            2,
        ),
    ];
    for (endpoint, text, meter, count) in table {
        let dialect = if endpoint == Messages { Dialect::AnthropicMessages } else { Dialect::OpenaiChat };
        let usage = read(dialect, endpoint, text).finish().unwrap();
        assert_eq!(usage.get(meter), count, "{text}");
    }
    let spoken = UsageScan::new(Dialect::OpenaiChat, Endpoint::AudioSpeech).speaking(7);
    assert_eq!(spoken.finish().unwrap().get(Meter::Characters), 7);
    assert_eq!(
        crate::usage::characters(r#"{"model":"tts-1","input":"Gr\u00fc\u00dfe"}"#.as_bytes()),
        Some(5)
    );
}

#[test]
fn usage_that_cannot_account_for_the_answer_is_none() {
    let reply =
        |usage: &str| format!(r#"{{"choices":[{{"message":{{"content":"hello"}}}}],"usage":{usage}}}"#);
    for usage in [
        r#"{"prompt_tokens":0,"completion_tokens":0}"#,
        r#"{"prompt_tokens":0,"completion_tokens":3}"#,
        r#"{"prompt_tokens":3,"completion_tokens":0}"#,
        r#"{"prompt_tokens":3,"completion_tokens":-1}"#,
    ] {
        assert_eq!(totals(&reply(usage)), None, "{usage}");
    }
    assert_eq!(totals(&reply(r#"{"prompt_tokens":1,"completion_tokens":2}"#)), Some((1, 2)));
    // Nothing was said, so nothing need be used.
    assert_eq!(totals(r#"{"usage":{"prompt_tokens":3,"completion_tokens":0}}"#), Some((3, 0)));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        "[a-z\"\\\\{}\\[\\]:,é ]{0,12}".prop_map(Into::into),
        Just(serde_json::from_str(USAGE).unwrap()),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::hash_map("usage|a|usag|\"|\\\\", inner, 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_a_full_parser_wherever_it_is_cut(value in json(), size in 1..40_usize) {
        let text = value.to_string().into_bytes();
        let own = value.get("usage").filter(|usage| usage.get("prompt_tokens").is_some());
        let expected = own.map(|_| (3, 4));
        for size in [size, 1, text.len().max(1)] {
            let found = scan(text.chunks(size)).map(|usage| (usage.input_total(), usage.output_total()));
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(prop::sample::select(b"{}[]\"\\usage:,1 \n".to_vec()), 0..60)) {
        prop_assert_eq!(scan(bytes.chunks(1)), scan(std::iter::once(bytes.as_slice())));
    }
}

/// Cohere's own words and those of the embeddings and chats that stand under the same name.
#[test]
fn search_units_of_a_rerank_are_counted_and_of_nothing_else() {
    let told = |endpoint, meta: &str| {
        let mut scan = UsageScan::new(Dialect::CohereChat, endpoint);
        let text = format!(r#"{{"id":"x","results":[{{"index":0,"relevance_score":0.9}}],"meta":{meta}}}"#);
        text.as_bytes().chunks(7).for_each(|chunk| scan.push(chunk));
        let usage = scan.finish()?;
        Some((usage.get(Meter::SearchUnits), usage.get(Meter::Input)))
    };
    let of = |units: &str| format!(r#"{{"api_version":{{"version":"2"}},"billed_units":{units}}}"#);
    for (units, expected) in [
        (r#"{"search_units":1}"#, Some((1, 0))),
        (r#"{"search_units":12.0}"#, Some((12, 0))),
        (r#"{"search_units":1,"input_tokens":5}"#, Some((0, 5))),
        (r#"{"input_tokens":5}"#, Some((0, 5))),
        (r#"{"search_units":-1}"#, None),
        (r#"{"search_units":1.5}"#, None),
        ("{}", None),
    ] {
        assert_eq!(told(Endpoint::Rerank, &of(units)), expected, "{units}");
    }
    assert_eq!(told(Endpoint::Rerank, r#"{"api_version":{"version":"2"}}"#), None);
}
