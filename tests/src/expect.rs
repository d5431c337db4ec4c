//! What an error must look like in each dialect, before the first byte and inside a stream.

use keyway_testkit::caller::Answer;
use serde_json::Value;

use crate::gateway::{MAIN_KEY, SPARE_KEY};

/// Asserts OpenAI's error object with this status and code. Returns it.
#[track_caller]
pub fn openai_error(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    common(answer);
    let json = answer.json();
    let error = json.get("error").cloned().unwrap_or_default();
    assert_eq!(text(&error, "code"), code, "{json}");
    assert!(!text(&error, "message").is_empty() && !text(&error, "type").is_empty(), "{json}");
    assert!(error.get("param").is_some(), "no param: {json}");
    error
}

/// As `openai_error`, and the finer name in `error.reason`.
#[track_caller]
pub fn openai_reason(answer: &Answer, status: u16, code: &str, reason: &str) -> Value {
    let error = openai_error(answer, status, code);
    assert_eq!(text(&error, "reason"), reason, "{}", answer.text());
    error
}

/// Asserts Anthropic's error object with this status and type. Returns its inner object.
#[track_caller]
pub fn anthropic_error(answer: &Answer, status: u16, kind: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    common(answer);
    let json = answer.json();
    assert_eq!(text(&json, "type"), "error", "{json}");
    let error = json.get("error").cloned().unwrap_or_default();
    assert_eq!(text(&error, "type"), kind, "{json}");
    assert!(!text(&error, "message").is_empty(), "{json}");
    error
}

/// As `anthropic_error`, and the finer name in `error.reason`.
#[track_caller]
pub fn anthropic_reason(answer: &Answer, status: u16, kind: &str, reason: &str) -> Value {
    let error = anthropic_error(answer, status, kind);
    assert_eq!(text(&error, "reason"), reason, "{}", answer.text());
    error
}

#[track_caller]
fn common(answer: &Answer) {
    assert!(answer.complete, "the answer was cut");
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/json"), "content-type {kind}");
    let id = answer.header("x-keyway-request-id").unwrap_or_default();
    assert_eq!(id.len(), 26, "no request id: {:?}", answer.headers);
    assert_no_secret(answer);
}

/// Asserts that neither provider key stands anywhere in the answer.
#[track_caller]
pub fn assert_no_secret(answer: &Answer) {
    let all = format!("{:?} {}", answer.headers, answer.text());
    for key in [MAIN_KEY, SPARE_KEY] {
        assert!(!all.contains(key), "a provider key in {all}");
    }
}

/// Asserts that a stream ended with exactly one in-band error event of its dialect, as its last event, with this
/// reason, cleanly framed and without an end marker. Returns what came before that event.
#[track_caller]
pub fn stream_error<'a>(answer: &'a Answer, path: &str, reason: &str) -> &'a [u8] {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.complete, "the body does not end cleanly: {}", tail(answer));
    let before = tail_event(&answer.body);
    let event = answer.body.get(before..).unwrap_or_default();
    let event = std::str::from_utf8(event).unwrap_or_default();
    let data = event.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or_default();
    let json: Value = serde_json::from_str(data.trim()).unwrap_or_default();
    if path.ends_with("/messages") {
        assert!(event.starts_with("event: error\n"), "{event}");
        assert_eq!(text(&json, "type"), "error", "{event}");
    } else if path.ends_with("/responses") {
        assert!(event.starts_with("event: "), "{event}");
        assert!(matches!(text(&json, "type"), "error" | "response.failed"), "{event}");
    } else {
        assert!(json.get("error").is_some_and(Value::is_object), "{event}");
    }
    assert!(data.contains(reason), "no {reason} in {event}");
    let before = answer.body.get(..before).unwrap_or_default();
    for marker in ["[DONE]", "message_stop", "response.completed"] {
        assert!(!answer.text().contains(marker), "a cut answer with {marker}");
    }
    assert_no_secret(answer);
    before
}

/// Where the last event begins.
fn tail_event(body: &[u8]) -> usize {
    let inner = body.strip_suffix(b"\n\n").unwrap_or(body);
    inner.windows(2).rposition(|pair| pair == b"\n\n").map_or(0, |at| at + 2)
}

fn tail(answer: &Answer) -> &str {
    let text = answer.text();
    text.get(text.len().saturating_sub(400)..).unwrap_or(text)
}

fn text<'a>(json: &'a Value, name: &str) -> &'a str {
    json.get(name).and_then(Value::as_str).unwrap_or_default()
}
