//! The sandbox's answers in the form of OpenAI's chat completions.

use super::{Echo, pieces};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;

pub(super) fn whole(echo: &Echo<'_>) -> Bytes {
    let reply = json!({
        "id": format!("chatcmpl-{}", echo.id),
        "object": "chat.completion",
        "created": echo.created,
        "model": echo.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": echo.text, "refusal": null },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(echo),
    });
    reply.to_string().into()
}

pub(super) fn events(echo: &Echo<'_>) -> VecDeque<Bytes> {
    let mut events = VecDeque::new();
    // Where usage is asked for, the chunks before it say that there is none yet.
    let none_yet = || echo.wants_usage.then_some(Value::Null);
    let choice = |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]);
    events.push_back(chunk(
        echo,
        choice(json!({ "role": "assistant", "content": "" }), Value::Null),
        none_yet(),
    ));
    for piece in pieces(&echo.text) {
        events.push_back(chunk(echo, choice(json!({ "content": piece }), Value::Null), none_yet()));
    }
    events.push_back(chunk(echo, choice(json!({}), json!("stop")), none_yet()));
    if echo.wants_usage {
        events.push_back(counted(echo));
    }
    events.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

/// The chunk that tells of usage.
pub(super) fn counted(echo: &Echo<'_>) -> Bytes {
    chunk(echo, json!([]), Some(usage(echo)))
}

fn chunk(echo: &Echo<'_>, choices: Value, usage: Option<Value>) -> Bytes {
    let mut chunk = json!({
        "id": format!("chatcmpl-{}", echo.id),
        "object": "chat.completion.chunk",
        "created": echo.created,
        "model": echo.model,
        "choices": choices,
    });
    if let (Some(usage), Some(chunk)) = (usage, chunk.as_object_mut()) {
        chunk.insert("usage".to_owned(), usage);
    }
    format!("data: {chunk}\n\n").into()
}

fn usage(echo: &Echo<'_>) -> Value {
    json!({
        "prompt_tokens": echo.input,
        "completion_tokens": echo.output,
        "total_tokens": echo.input + echo.output,
    })
}
