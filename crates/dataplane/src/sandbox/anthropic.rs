//! The sandbox's answers in the form of Anthropic's messages.

use super::{Echo, pieces};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;

pub(super) fn whole(echo: &Echo<'_>) -> Bytes {
    let content = json!([{ "type": "text", "text": echo.text }]);
    message(echo, content, json!("end_turn"), echo.output).to_string().into()
}

pub(super) fn count(echo: &Echo<'_>) -> Bytes {
    json!({ "input_tokens": echo.input }).to_string().into()
}

pub(super) fn events(echo: &Echo<'_>) -> VecDeque<Bytes> {
    let mut events = VecDeque::new();
    let start = json!({ "type": "message_start", "message": message(echo, json!([]), Value::Null, 1) });
    events.push_back(event(&start));
    let block = json!({ "type": "text", "text": "" });
    events.push_back(event(&json!({ "type": "content_block_start", "index": 0, "content_block": block })));
    for piece in pieces(&echo.text) {
        let delta = json!({ "type": "text_delta", "text": piece });
        events.push_back(event(&json!({ "type": "content_block_delta", "index": 0, "delta": delta })));
    }
    events.push_back(event(&json!({ "type": "content_block_stop", "index": 0 })));
    let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
    events.push_back(event(
        &json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": echo.output } }),
    ));
    events.push_back(event(&json!({ "type": "message_stop" })));
    events
}

fn message(echo: &Echo<'_>, content: Value, stop_reason: Value, output: u64) -> Value {
    json!({
        "id": format!("msg_{}", echo.id),
        "type": "message",
        "role": "assistant",
        "model": echo.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": { "input_tokens": echo.input, "output_tokens": output },
    })
}

fn event(data: &Value) -> Bytes {
    let name = data.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}
