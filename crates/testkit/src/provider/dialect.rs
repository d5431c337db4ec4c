//! The bodies that a well-behaved provider sends, by the path that was asked.

use bytes::Bytes;
use serde_json::{Value, json};

use super::reply::{LineEnd, Stream};

/// What a path speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// `/chat/completions`
    Chat,
    /// `/completions`
    Completions,
    /// `/responses`
    Responses,
    /// `/embeddings`
    Embeddings,
    /// `/models`
    Models,
    /// `/messages`
    Messages,
    /// `/messages/count_tokens`
    CountTokens,
}

impl Surface {
    /// The surface that serves `path` (without query). Unknown paths count as chat.
    pub fn of(path: &str) -> Self {
        let ends = |tail: &str| path.ends_with(tail);
        match () {
            () if ends("/chat/completions") => Self::Chat,
            () if ends("/completions") => Self::Completions,
            () if ends("/responses") => Self::Responses,
            () if ends("/embeddings") => Self::Embeddings,
            () if ends("/models") => Self::Models,
            () if ends("/messages") => Self::Messages,
            () if ends("/count_tokens") => Self::CountTokens,
            () => Self::Chat,
        }
    }

    /// True where errors have Anthropic's shape.
    pub fn is_anthropic(self) -> bool {
        matches!(self, Self::Messages | Self::CountTokens)
    }
}

/// Tokens of every good answer: in and out.
pub const USAGE: (u64, u64) = (11, 7);

/// A good answer that is not a stream.
pub fn good(surface: Surface, model: &str) -> Bytes {
    let (input, output) = USAGE;
    let chat_usage =
        json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    let value = match surface {
        Surface::Chat => {
            json!({"id": "chatcmpl-sim", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello from the simulator"},
            "finish_reason": "stop"}], "usage": chat_usage})
        }
        Surface::Completions => {
            json!({"id": "cmpl-sim", "object": "text_completion", "created": 1, "model": model,
            "choices": [{"index": 0, "text": "hello", "finish_reason": "stop"}], "usage": chat_usage})
        }
        Surface::Responses => response_object(model, "completed", "hello from the simulator"),
        Surface::Embeddings => json!({"object": "list", "model": model,
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
            "usage": {"prompt_tokens": input, "total_tokens": input}}),
        Surface::Models => json!({"object": "list", "data": [{"id": "sim", "object": "model"}]}),
        Surface::Messages => json!({"id": "msg_sim", "type": "message", "role": "assistant", "model": model,
            "content": [{"type": "text", "text": "hello from the simulator"}], "stop_reason": "end_turn",
            "stop_sequence": null, "usage": {"input_tokens": input, "output_tokens": output}}),
        Surface::CountTokens => json!({"input_tokens": input}),
    };
    Bytes::from(value.to_string())
}

fn response_object(model: &str, status: &str, text: &str) -> Value {
    let (input, output) = USAGE;
    json!({"id": "resp_sim", "object": "response", "created_at": 1, "status": status, "model": model,
        "output": [{"id": "msg_sim", "type": "message", "role": "assistant", "status": status,
        "content": [{"type": "output_text", "text": text, "annotations": []}]}],
        "usage": {"input_tokens": input, "output_tokens": output, "total_tokens": input + output}})
}

/// An error body of the surface's dialect.
pub fn error(surface: Surface, status: u16, text: &str) -> Bytes {
    let kind = match status {
        400 | 404 | 409 | 413 | 422 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let value = if surface.is_anthropic() {
        json!({"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_sim"})
    } else if status == 401 {
        // OpenAI's own, which calls a wrong key an invalid request.
        json!({"error": {"message": text, "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}})
    } else {
        json!({"error": {"message": text, "type": kind, "param": null, "code": format!("sim_{status}")}})
    };
    Bytes::from(value.to_string())
}

/// The events of a complete stream, each with its blank line, the end marker's last.
/// `usage` says whether a chat caller asked for the usage chunk.
pub fn events(surface: Surface, model: &str, stream: &Stream, usage: bool) -> Vec<Bytes> {
    let values = match surface {
        Surface::Messages | Surface::CountTokens => message_events(model, stream),
        Surface::Responses => response_events(model, stream),
        Surface::Completions => completion_events(model, stream, usage),
        Surface::Chat | Surface::Embeddings | Surface::Models => chat_events(model, stream, usage),
    };
    let named = surface.is_anthropic() || surface == Surface::Responses;
    let mut out: Vec<Bytes> = values.iter().map(|value| frame(value, named, stream.line_end)).collect();
    if !named {
        let end = stream.line_end.text();
        out.push(Bytes::from(format!("data: [DONE]{end}{end}")));
    }
    out
}

fn frame(value: &Value, named: bool, line_end: LineEnd) -> Bytes {
    let end = line_end.text();
    let name = value.get("type").and_then(Value::as_str).filter(|_| named);
    let event = name.map(|name| format!("event: {name}{end}")).unwrap_or_default();
    Bytes::from(format!("{event}data: {value}{end}{end}"))
}

fn chat_events(model: &str, stream: &Stream, usage: bool) -> Vec<Value> {
    let chunk = |choices: Value, counted: Option<Value>| {
        let mut value = json!({"id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": 1,
            "model": model, "choices": choices});
        if let Some((object, counted)) = value.as_object_mut().zip(counted) {
            object.insert("usage".to_owned(), counted);
        }
        value
    };
    let none_yet = usage.then_some(Value::Null);
    let delta = |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
    let mut out =
        vec![chunk(delta(json!({"role": "assistant", "content": ""}), Value::Null), none_yet.clone())];
    for _ in 0..stream.words {
        out.push(chunk(delta(json!({"content": stream.word}), Value::Null), none_yet.clone()));
    }
    out.push(chunk(delta(json!({}), json!("stop")), none_yet));
    if usage {
        out.push(chunk(json!([]), Some(counted())));
    }
    out
}

fn counted() -> Value {
    let (input, output) = USAGE;
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

fn completion_events(model: &str, stream: &Stream, usage: bool) -> Vec<Value> {
    let chunk = |choices: Value| json!({"id": "cmpl-sim", "object": "text_completion", "created": 1, "model": model, "choices": choices});
    let mut out = Vec::new();
    for _ in 0..stream.words {
        out.push(chunk(json!([{"index": 0, "text": stream.word, "finish_reason": null}])));
    }
    out.push(chunk(json!([{"index": 0, "text": "", "finish_reason": "stop"}])));
    if usage {
        let mut last = chunk(json!([]));
        if let Some(object) = last.as_object_mut() {
            object.insert("usage".to_owned(), counted());
        }
        out.push(last);
    }
    out
}

fn message_events(model: &str, stream: &Stream) -> Vec<Value> {
    let (input, output) = USAGE;
    let mut out = vec![
        json!({"type": "message_start", "message": {"id": "msg_sim", "type": "message", "role": "assistant",
            "model": model, "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": input, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ];
    for _ in 0..stream.words {
        out.push(json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": stream.word}}));
    }
    out.push(json!({"type": "content_block_stop", "index": 0}));
    out.push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
        "usage": {"output_tokens": output}}));
    out.push(json!({"type": "message_stop"}));
    out
}

fn response_events(model: &str, stream: &Stream) -> Vec<Value> {
    let text = stream.word.repeat(usize::try_from(stream.words).unwrap_or(0));
    let open = json!({"id": "resp_sim", "object": "response", "status": "in_progress", "model": model, "output": []});
    let mut out = vec![
        json!({"type": "response.created", "response": open.clone()}),
        json!({"type": "response.in_progress", "response": open}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"id": "msg_sim",
            "type": "message", "role": "assistant", "status": "in_progress", "content": []}}),
        json!({"type": "response.content_part.added", "item_id": "msg_sim", "output_index": 0,
            "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}}),
    ];
    for _ in 0..stream.words {
        out.push(json!({"type": "response.output_text.delta", "item_id": "msg_sim", "output_index": 0,
            "content_index": 0, "delta": stream.word}));
    }
    out.push(json!({"type": "response.output_text.done", "item_id": "msg_sim", "output_index": 0,
        "content_index": 0, "text": text}));
    out.push(json!({"type": "response.completed", "response": response_object(model, "completed", &text)}));
    for (number, event) in out.iter_mut().enumerate() {
        if let Some(object) = event.as_object_mut() {
            object.insert("sequence_number".to_owned(), json!(number));
        }
    }
    out
}
