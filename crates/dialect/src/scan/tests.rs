use super::{DEPTH_LIMIT, KEYS_LIMIT, Reason, request};

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
