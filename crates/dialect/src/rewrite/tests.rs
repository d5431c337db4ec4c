use super::{JOIN_LIMIT, Segments, named, request};
use crate::scan;
use bytes::Bytes;
use keyway_proto::snapshot::v1::Dialect;
use proptest::prelude::*;
use serde_json::{Value, json};

fn rewrite(body: &str, model: Option<&str>, usage: bool) -> String {
    let body = Bytes::from(body.to_owned());
    let scan = scan::request(&body).unwrap();
    text(&request(body, &scan, model, usage))
}

fn text(segments: &Segments) -> String {
    let bytes = segments.parts().concat();
    assert_eq!(bytes.len(), segments.len());
    assert!(segments.parts().iter().all(|part| !part.is_empty()));
    String::from_utf8(bytes).unwrap()
}

#[test]
fn only_the_model_and_the_usage_option_change() {
    let cases = [
        (r#"{ "model" : "a/b" , "x":1 }"#, Some("b"), false, r#"{ "model" : "b" , "x":1 }"#),
        (r#"{"model":"a"}"#, Some("q\"\\\n"), false, r#"{"model":"q\"\\\n"}"#),
        (r#"{"model":"a"}"#, None, true, r#"{"model":"a","stream_options":{"include_usage":true}}"#),
        ("{ }", None, true, r#"{ "stream_options":{"include_usage":true}}"#),
        (
            r#"{"stream_options":null,"model":"a"}"#,
            Some("b"),
            true,
            r#"{"stream_options":{"include_usage":true},"model":"b"}"#,
        ),
        (r#"{"stream_options":{ }}"#, None, true, r#"{"stream_options":{"include_usage":true}}"#),
        (r#"{"stream_options":{"x":1}}"#, None, true, r#"{"stream_options":{"include_usage":true,"x":1}}"#),
        (
            r#"{"stream_options":{"include_usage":false,"x":1}}"#,
            None,
            true,
            r#"{"stream_options":{"include_usage":true,"x":1}}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":null}}"#,
            None,
            true,
            r#"{"stream_options":{"include_usage":true}}"#,
        ),
        (r#"{"x":1}"#, Some("b"), false, r#"{"x":1}"#),
    ];
    for (body, model, usage, expected) in cases {
        assert_eq!(rewrite(body, model, usage), expected);
    }
}

#[test]
fn where_the_address_names_the_model_the_body_has_a_version() {
    for (body, expected) in [
        (r#"{"model":"m","max_tokens":9}"#, r#"{"anthropic_version":"v-1","max_tokens":9}"#),
        (
            r#"{ "a" : "\"model\": 1", "model" : "m" }"#,
            r#"{ "a" : "\"model\": 1", "anthropic_version":"v-1" }"#,
        ),
        (r#"{"mod\u0065l":"m","x":[1]}"#, r#"{"anthropic_version":"v-1","x":[1]}"#),
        (r#"{"max_tokens":9}"#, r#"{"max_tokens":9,"anthropic_version":"v-1"}"#),
        ("{}", r#"{"anthropic_version":"v-1"}"#),
    ] {
        let scan = crate::scan::request(body.as_bytes()).unwrap();
        let segments = super::versioned(Bytes::copy_from_slice(body.as_bytes()), &scan, "v-1");
        assert_eq!(text(&segments), expected);
    }
}

#[test]
fn gemini_names_its_model_again_in_the_body() {
    let cases = [
        (r#"{"contents":[]}"#, r#"{"contents":[]}"#),
        (r#"{ "model": "models/google/b" }"#, r#"{ "model": "models/b" }"#),
        (r#"{"model":"publishers/google/models/a"}"#, r#"{"model":"publishers/google/models/b"}"#),
        (r#"{"model":"models/b","x":1}"#, r#"{"model":"models/b","x":1}"#),
        (
            r#"{"requests":[{"model":"models/a"},{"content":{"model":"a"},"model":"a"}]}"#,
            r#"{"requests":[{"model":"models/b"},{"content":{"model":"a"},"model":"models/b"}]}"#,
        ),
        (
            r#"{"generateContentRequest":{"model":"models/a","contents":[]}}"#,
            r#"{"generateContentRequest":{"model":"models/b","contents":[]}}"#,
        ),
    ];
    for (body, expected) in cases {
        let scan = scan::named(body.as_bytes(), Dialect::Gemini).unwrap();
        let body = Bytes::from_static(body.as_bytes());
        let segments = named(body.clone(), &scan, "b");
        assert_eq!(text(&segments), expected);
        if body == expected {
            assert_eq!(segments.parts()[0].as_ptr(), body.as_ptr(), "copied for nothing");
        }
    }
}

#[test]
fn an_unchanged_body_is_the_original_itself() {
    let body = Bytes::from_static(br#"{"mod\u0065l":"\u0061","stream_options":{"include_usage":true}}"#);
    let scan = scan::request(&body).unwrap();
    let segments = request(body.clone(), &scan, Some("a"), true);
    assert_eq!(segments.parts().len(), 1);
    assert_eq!(segments.parts()[0].as_ptr(), body.as_ptr());
}

#[test]
fn a_large_body_is_not_copied_and_a_small_one_leaves_in_one_piece() {
    let body = |length: usize| Bytes::from(format!(r#"{{"a":"{}","model":"m","z":0}}"#, "x".repeat(length)));
    let large = body(JOIN_LIMIT);
    let segments = request(large.clone(), &scan::request(&large).unwrap(), Some("n"), true);
    let parts: Vec<Bytes> = segments.clone().into_iter().collect();
    assert_eq!(parts.len(), 5);
    assert_eq!(parts[0].as_ptr(), large.as_ptr());
    let after = r#"","model":"n","z":0,"stream_options":{"include_usage":true}}"#;
    assert_eq!(text(&segments), format!(r#"{{"a":"{}{after}"#, "x".repeat(JOIN_LIMIT)));
    let small = body(100);
    assert_eq!(request(small.clone(), &scan::request(&small).unwrap(), Some("n"), true).parts().len(), 1);
}

fn options() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        Just(Some(json!({}))),
        Just(Some(json!({"include_usage": true}))),
        Just(Some(json!({"other": [1, {"include_usage": false}], "include_usage": false}))),
        Just(Some(json!({"include_usage": null, "other": "}"}))),
        Just(Some(json!({"other": {}}))),
    ]
}

proptest! {
    #[test]
    fn everything_else_stays(
        before in prop::collection::hash_map("[a-l\"\\\\é]{1,5}", ".{0,20}", 0..4),
        after in prop::collection::hash_map("[n-r]{1,5}", any::<i64>(), 0..4),
        options in options(),
        name in ".{0,12}",
        target in ".{0,12}",
        usage in any::<bool>(),
        pretty in any::<bool>(),
    ) {
        let mut object = serde_json::Map::new();
        object.extend(before.into_iter().map(|(key, value)| (key, Value::from(value))));
        object.insert("model".to_owned(), name.into());
        if let Some(options) = options.clone() {
            object.insert("stream_options".to_owned(), options);
        }
        object.extend(after.into_iter().map(|(key, value)| (key, Value::from(value))));
        let mut expected = Value::Object(object);
        let body = if pretty { format!("{expected:#}") } else { expected.to_string() };
        expected["model"] = target.clone().into();
        if usage {
            let mut options = options.filter(Value::is_object).unwrap_or_else(|| json!({}));
            options["include_usage"] = true.into();
            expected["stream_options"] = options;
        }
        let found: Value = serde_json::from_str(&rewrite(&body, Some(&target), usage)).unwrap();
        prop_assert_eq!(found, expected);
    }
}
