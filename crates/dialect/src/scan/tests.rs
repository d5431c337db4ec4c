use super::{DEPTH_LIMIT, KEYS_LIMIT, Reason, request};
use proptest::prelude::*;
use serde_json::Value;

fn reason(body: &str) -> Reason {
    request(body.as_bytes()).unwrap_err().reason
}

#[test]
fn finds_what_routing_needs_wherever_it_stands() {
    let body = br#" { "messages":[{"content":"\"model\":\"no\" }]"}], "stream" : true,
        "stream_options":{"include_usage":false,"x":1}, "max_tokens":5, "max_completion_tokens":7, "mod\u0065l":"a\/b" } "#;
    let scan = request(body).unwrap();
    assert_eq!(scan.model.unwrap().value(body), "a/b");
    assert_eq!(scan.stream, Some(true));
    assert_eq!(scan.output_limit, Some(7));
    assert_eq!(body[scan.object_end], b'}');
    let options = scan.stream_options.unwrap();
    assert_eq!(options.include_usage, Some(false));
    assert_eq!(&body[options.span], br#"{"include_usage":false,"x":1}"#);
}

#[test]
fn refuses_what_could_be_read_in_two_ways() {
    let table = [
        ("", Reason::NotAnObject),
        ("[]", Reason::NotAnObject),
        ("\u{feff}{}", Reason::ByteOrderMark),
        ("{", Reason::Truncated),
        ("{\"a\":1", Reason::Truncated),
        ("{\"a\":\"x\\\"", Reason::Truncated),
        ("{} x", Reason::Trailing),
        ("{}{}", Reason::Trailing),
        (r#"{"a":1,"a":2}"#, Reason::RepeatedKey),
        (r#"{"model":"x","mod\u0065l":"y"}"#, Reason::RepeatedKey),
        (r#"{"mod\u0065l":"x","\u006dodel":"y"}"#, Reason::RepeatedKey),
        (r#"{"model":"x","Model":"y"}"#, Reason::OtherCase("model")),
        (r#"{"\ud800":1}"#, Reason::BadEscape),
        (r#"{"model":"\ud800"}"#, Reason::BadEscape),
        (r#"{"model":1}"#, Reason::WrongType("a string")),
        (r#"{"model":null}"#, Reason::WrongType("a string")),
        (r#"{"stream":"true"}"#, Reason::WrongType("a boolean")),
        (r#"{"stream_options":[]}"#, Reason::WrongType("an object")),
        (r#"{"stream_options":{"include_usage":1}}"#, Reason::WrongType("a boolean")),
        (r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#, Reason::RepeatedKey),
        (r#"{"a":[1}"#, Reason::Unbalanced),
        (r#"{"a":{"b":[}]}"#, Reason::Unbalanced),
        (r#"{"a":]}"#, Reason::Unexpected),
        (r#"{"a":1,}"#, Reason::Unexpected),
        (r#"{,"a":1}"#, Reason::Unexpected),
        (r#"{"a":1 "b":2}"#, Reason::Unexpected),
        (r#"{"a" 1}"#, Reason::Unexpected),
        (r#"{"a":NaN}"#, Reason::Unexpected),
        (r#"{"a":01}"#, Reason::Unexpected),
        (r#"{"a":1.}"#, Reason::Unexpected),
        (r#"{"a":-}"#, Reason::Unexpected),
        (r#"{a:1}"#, Reason::Unexpected),
    ];
    for (body, expected) in table {
        assert_eq!(reason(body), expected, "{body}");
    }
    let error = request(b"{\"a\":\"\xff\"}").unwrap_err();
    assert_eq!((error.offset, error.reason), (6, Reason::NotUtf8));
}

#[test]
fn bounds_hold_at_their_edge() {
    let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(request(nested(DEPTH_LIMIT - 1).as_bytes()).is_ok());
    assert_eq!(reason(&nested(DEPTH_LIMIT)), Reason::TooDeep);
    assert_eq!(reason(&nested(100_000)), Reason::TooDeep);

    let keys = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(request(keys(KEYS_LIMIT).as_bytes()).is_ok());
    assert_eq!(reason(&keys(KEYS_LIMIT + 1)), Reason::TooManyKeys);
    assert_eq!(reason(&format!("{{\"{}\":1}}", "k".repeat(2000))), Reason::KeyTooLong);
}

#[test]
fn names_state_and_destinations() {
    assert_eq!(request(br#"{"previous_response_id":"r"}"#).unwrap().state, Some("previous_response_id"));
    assert_eq!(request(br#"{"conversation":{"id":"c"}}"#).unwrap().state, Some("conversation"));
    assert_eq!(request(br#"{"previous_response_id":null}"#).unwrap().state, None);
    assert_eq!(request(br#"{"base_url":null}"#).unwrap().forbidden, Some("base_url"));
    assert_eq!(request(br#"{"API_BASE":"http://x"}"#).unwrap().forbidden, Some("api_base"));
    assert_eq!(request(br#"{"messages":[{"base_url":1}]}"#).unwrap().forbidden, None);
}

#[test]
fn says_it_in_one_line() {
    let error = request(br#"{"model":"x","model":"y"}"#).unwrap_err();
    assert_eq!(error.to_string(), "byte 13: key `model` appears twice");
    let error = request(b"{\"a\\nb\":1,\"a\\nb\":2}").unwrap_err();
    assert_eq!(error.to_string(), "byte 10: key `a\\nb` appears twice");
}

/// Any JSON, with strings that hold what a scanner could trip over.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z\"\\\\{}\\[\\]:,é\u{1f600}\n]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    let model = prop::option::of(".{0,20}");
    let stream = prop::option::of(prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from)]);
    let limit = prop::option::of(any::<u64>());
    let rest = prop::collection::hash_map("[a-z\"\\\\é]{0,9}", json(), 0..6);
    (rest, model, stream, limit).prop_map(|(rest, model, stream, limit)| {
        let mut object: serde_json::Map<String, Value> = rest.into_iter().collect();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(key.to_owned(), value);
            }
        };
        put("model", model.map(Value::from));
        put("stream", stream);
        put("max_tokens", limit.map(Value::from));
        Value::Object(object)
    })
}

proptest! {
    #[test]
    fn agrees_with_a_full_parser(value in object(), pretty in any::<bool>()) {
        let body = if pretty { format!(" {value:#}\n") } else { value.to_string() };
        let scan = request(body.as_bytes()).unwrap();
        let model = scan.model.as_ref().map(|text| text.value(body.as_bytes()).into_owned());
        prop_assert_eq!(model.as_deref(), value.get("model").and_then(Value::as_str));
        prop_assert_eq!(scan.stream, value.get("stream").and_then(Value::as_bool));
        prop_assert_eq!(scan.output_limit, value.get("max_tokens").and_then(Value::as_u64));
        prop_assert_eq!(scan.empty, value.as_object().unwrap().is_empty());
        prop_assert_eq!(&body[scan.object_end..], if pretty { "}\n" } else { "}" });
    }

    #[test]
    fn one_wrong_byte_never_panics_nor_moves_the_model(
        value in object(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut body = value.to_string().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        let Ok(scan) = request(&body) else { return Ok(()) };
        // Where a full parser reads the same bytes too, both see the same model.
        if let Ok(value) = serde_json::from_slice::<Value>(&body) {
            let model = scan.model.map(|text| text.value(&body).into_owned());
            prop_assert_eq!(model.as_deref(), value.get("model").and_then(Value::as_str));
        }
    }

    #[test]
    fn any_bytes_never_panic(body in prop::collection::vec(prop::sample::select(b"{}[]\"\\:,1truenl \xc3".to_vec()), 0..80)) {
        let _ = request(&body);
    }
}
