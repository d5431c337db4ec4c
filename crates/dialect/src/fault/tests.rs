use super::{ATTEMPTS_LIMIT, Attempted, Code, Fault, encode, encode_event};
use keyway_proto::snapshot::v1::{Dialect, Endpoint};
use serde_json::{Value, json};

fn full() -> Fault {
    Fault {
        reason: Some("first_token_timeout"),
        param: Some("messages[0]".to_owned()),
        request_id: "01J".to_owned(),
        attempts: vec![Attempted { target: "openai/gpt".to_owned(), status: None, reason: "connect" }],
        ..Fault::new(Code::UpstreamTimeout, "the \"target\" was\ntoo slow")
    }
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

fn event(body: &[u8]) -> (Option<String>, Value) {
    let text = std::str::from_utf8(body).unwrap().strip_suffix("\n\n").unwrap();
    let (name, data) = match text.split_once('\n') {
        Some((name, data)) => (name.strip_prefix("event: ").map(str::to_owned), data),
        None => (None, text),
    };
    (name, serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap())
}

#[test]
fn openai_form() {
    let expected = json!({
        "error": {
            "message": "the \"target\" was\ntoo slow", "type": "timeout_error", "param": "messages[0]",
            "code": "upstream_timeout", "reason": "first_token_timeout",
            "attempts": [{"target": "openai/gpt", "status": null, "reason": "connect"}],
        },
        "request_id": "01J",
    });
    assert_eq!(parsed(&encode(&full(), Dialect::OpenaiChat)), expected);
    let (name, data) = event(&encode_event(&full(), Dialect::OpenaiChat, Endpoint::ChatCompletions));
    assert_eq!((name, data), (None, expected));
    let bare = parsed(&encode(&Fault::new(Code::InvalidApiKey, "m"), Dialect::OpenaiChat));
    assert_eq!(bare["error"].as_object().unwrap().len(), 4);
    assert_eq!(bare["error"]["param"], Value::Null);
}

#[test]
fn anthropic_form() {
    let body = parsed(&encode(&full(), Dialect::AnthropicMessages));
    assert_eq!((&body["type"], &body["request_id"]), (&json!("error"), &json!("01J")));
    assert_eq!(body["error"]["type"], "timeout_error");
    assert_eq!(body["error"]["code"], "upstream_timeout");
    assert_eq!(body["error"]["details"]["error_code"], "upstream_timeout");
    let (name, data) = event(&encode_event(&full(), Dialect::AnthropicMessages, Endpoint::Messages));
    assert_eq!((name, data), (Some("error".to_owned()), body));
}

#[test]
fn responses_event_has_the_official_fields_and_what_sdks_raise_on() {
    let (name, data) = event(&encode_event(&full(), Dialect::OpenaiResponses, Endpoint::Responses));
    assert_eq!(name.as_deref(), Some("error"));
    assert_eq!((&data["type"], &data["code"]), (&json!("error"), &json!("upstream_timeout")));
    assert_eq!((&data["param"], &data["error"]["type"]), (&json!("messages[0]"), &json!("timeout_error")));
}

#[test]
fn every_code_has_types_of_both_dialects() {
    let table = [
        (Code::InvalidApiKey, "authentication_error", "authentication_error"),
        (Code::ModelNotAllowed, "permission_error", "permission_error"),
        (Code::ModelNotFound, "invalid_request_error", "not_found_error"),
        (Code::InvalidRequest, "invalid_request_error", "invalid_request_error"),
        (Code::RequestTooLarge, "invalid_request_error", "request_too_large"),
        (Code::RateLimitExceeded, "rate_limit_error", "rate_limit_error"),
        (Code::BudgetExceeded, "insufficient_quota", "rate_limit_error"),
        (Code::UpstreamError, "server_error", "api_error"),
        (Code::UpstreamTimeout, "timeout_error", "timeout_error"),
        (Code::Overloaded, "server_error", "overloaded_error"),
    ];
    for (code, openai, anthropic) in table {
        let fault = Fault::new(code, "m");
        assert_eq!(parsed(&encode(&fault, Dialect::OpenaiChat))["error"]["type"], openai);
        assert_eq!(parsed(&encode(&fault, Dialect::AnthropicMessages))["error"]["type"], anthropic);
    }
    for code in Code::ALL {
        assert!((400..=599).contains(&code.status()));
        assert_eq!(
            parsed(&encode(&Fault::new(code, "m"), Dialect::OpenaiChat))["error"]["code"],
            code.as_str()
        );
    }
}

#[test]
fn lists_a_bounded_number_of_attempts() {
    let attempt = Attempted { target: "a/b".to_owned(), status: Some(500), reason: "status" };
    let fault = Fault { attempts: vec![attempt; ATTEMPTS_LIMIT * 2], ..full() };
    let body = parsed(&encode(&fault, Dialect::OpenaiChat));
    assert_eq!(body["error"]["attempts"].as_array().unwrap().len(), ATTEMPTS_LIMIT);
}
