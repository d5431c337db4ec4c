use super::UsageScan;
use crate::usage::{OBJECT_LIMIT, Usage};
use keyway_proto::snapshot::v1::{Dialect, Endpoint};
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
    assert!(scan.captured.as_ref().is_some_and(|kept| kept.len() <= OBJECT_LIMIT + 1));
    scan.push(br#""}}"#);
    assert_eq!(scan.finish(), None);
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
