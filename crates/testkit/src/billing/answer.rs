//! From an order to the bytes of its answer, in the dialect that it was asked in.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};

use super::order::{Kind, Order, Told};
use crate::provider::{Ending, Reply, Step};

/// More tokens than any answer has.
const ABSURD: u64 = 1 << 60;
const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

/// The answer.
pub(super) fn reply(kind: Kind, order: &Order, model: &str) -> Reply {
    if !order.stream {
        return Reply::whole("application/json", whole(kind, order, model).to_string());
    }
    let events = match kind {
        Kind::Messages => messages(order, model),
        Kind::Responses => responses(order, model),
        Kind::Chat | Kind::Embeddings | Kind::Images => chat(order, model),
    };
    Reply::Steps(steps(order, &events))
}

/// The events up to where it is left or breaks, as chunks.
fn steps(order: &Order, events: &Events) -> Vec<Step> {
    let chunk = |event: &String| {
        let mut bytes = BytesMut::with_capacity(event.len() + 16);
        bytes.put(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
        bytes.freeze()
    };
    let mut steps = vec![Step::Send(Bytes::from_static(STREAM))];
    steps.extend(
        events.before.iter().chain(events.words.iter().take(order.sent().len())).map(chunk).map(Step::Send),
    );
    if order.leave_after.is_some() {
        steps.push(Step::Stall);
    } else if order.break_after.is_some() {
        steps.push(Step::End(Ending::Close));
    } else {
        steps.extend(events.after.iter().map(chunk).map(Step::Send));
        steps.push(Step::Send(Bytes::from_static(b"0\r\n\r\n")));
    }
    steps
}

/// A stream: one event for each word, and what stands around them.
struct Events {
    before: Vec<String>,
    words: Vec<String>,
    after: Vec<String>,
}

fn whole(kind: Kind, order: &Order, model: &str) -> Value {
    let text = order.words.concat();
    let mut value = match kind {
        Kind::Chat => {
            json!({ "id": "chatcmpl-sim", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] })
        }
        Kind::Responses => response(order, model, "completed"),
        Kind::Messages => json!({ "id": "msg_sim", "type": "message", "role": "assistant", "model": model,
            "content": [{ "type": "text", "text": text }], "stop_reason": "end_turn", "stop_sequence": null }),
        Kind::Embeddings => json!({ "object": "list", "model": model,
            "data": [{ "object": "embedding", "index": 0, "embedding": [0.5, -0.25] }] }),
        Kind::Images => json!({ "created": 1, "data": [{ "b64_json": "aGk=" }] }),
    };
    if let Some(object) = value.as_object_mut() {
        told(object, kind, order, order.output);
        if kind == Kind::Chat {
            tier(object, order);
        }
    }
    value
}

fn chat(order: &Order, model: &str) -> Events {
    let chunk = |choices: Value, usage: bool| {
        let mut value = json!({ "id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": 1, "model": model,
            "choices": choices });
        if let Some(object) = value.as_object_mut() {
            tier(object, order);
            if usage {
                told(object, Kind::Chat, order, order.output);
            }
        }
        format!("data: {value}\n\n")
    };
    let delta =
        |delta: Value, reason: Value| json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
    Events {
        before: vec![chunk(delta(json!({ "role": "assistant", "content": "" }), Value::Null), false)],
        words: order
            .words
            .iter()
            .map(|word| chunk(delta(json!({ "content": word }), Value::Null), false))
            .collect(),
        after: vec![
            chunk(delta(json!({}), json!("stop")), false),
            chunk(json!([]), true),
            "data: [DONE]\n\n".to_owned(),
        ],
    }
}

fn messages(order: &Order, model: &str) -> Events {
    let mut start = json!({ "id": "msg_sim", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null });
    let mut end =
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null } });
    if let Some((start, end)) = start.as_object_mut().zip(end.as_object_mut()) {
        told(start, Kind::Messages, order, 1);
        if let Some(usage) =
            start.get("usage").and_then(Value::as_object).filter(|_| order.told == Told::Truth)
        {
            // As the vendor does: input as it was, output now whole.
            let mut usage = usage.clone();
            usage.insert("output_tokens".to_owned(), json!(order.output));
            end.insert("usage".to_owned(), Value::Object(usage));
        } else {
            told(end, Kind::Messages, order, order.output);
        }
    }
    let word = |word: &String| {
        named(
            &json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": word } }),
        )
    };
    Events {
        before: vec![
            named(&json!({ "type": "message_start", "message": start })),
            named(
                &json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
            ),
        ],
        words: order.words.iter().map(word).collect(),
        after: vec![
            named(&json!({ "type": "content_block_stop", "index": 0 })),
            named(&end),
            named(&json!({ "type": "message_stop" })),
        ],
    }
}

fn responses(order: &Order, model: &str) -> Events {
    let mut number = 0;
    let mut event = |mut value: Value| {
        if let Some(object) = value.as_object_mut() {
            object.insert("sequence_number".to_owned(), json!(number));
            number += 1;
        }
        named(&value)
    };
    let mut open = json!({ "id": "resp_sim", "object": "response", "status": "in_progress", "model": model, "output": [] });
    if let Some(open) = open.as_object_mut() {
        tier(open, order);
    }
    let place = json!({ "item_id": "msg_sim", "output_index": 0, "content_index": 0 });
    let with = |kind: &str, name: &str, value: Value| {
        let mut object = place.as_object().cloned().unwrap_or_default();
        object.insert("type".to_owned(), json!(kind));
        object.insert(name.to_owned(), value);
        Value::Object(object)
    };
    let part = json!({ "type": "output_text", "text": "", "annotations": [] });
    let before = vec![
        event(json!({ "type": "response.created", "response": open })),
        event(
            json!({ "type": "response.output_item.added", "output_index": 0, "item": { "id": "msg_sim", "type": "message",
            "role": "assistant", "status": "in_progress", "content": [] } }),
        ),
        event(with("response.content_part.added", "part", part)),
    ];
    let words = order
        .words
        .iter()
        .map(|word| event(with("response.output_text.delta", "delta", json!(word))))
        .collect();
    let after = vec![
        event(with("response.output_text.done", "text", json!(order.words.concat()))),
        event(json!({ "type": "response.completed", "response": completed(order, model) })),
    ];
    Events { before, words, after }
}

fn completed(order: &Order, model: &str) -> Value {
    let mut value = response(order, model, "completed");
    if let Some(object) = value.as_object_mut() {
        told(object, Kind::Responses, order, order.output);
    }
    value
}

/// Without its usage.
fn response(order: &Order, model: &str, status: &str) -> Value {
    let mut value = json!({ "id": "resp_sim", "object": "response", "created_at": 1, "status": status, "model": model,
        "output": [{ "id": "msg_sim", "type": "message", "role": "assistant", "status": status,
        "content": [{ "type": "output_text", "text": order.words.concat(), "annotations": [] }] }] });
    if let Some(object) = value.as_object_mut() {
        tier(object, order);
    }
    value
}

fn tier(object: &mut Map<String, Value>, order: &Order) {
    if let Some(tier) = &order.tier {
        object.insert("service_tier".to_owned(), json!(tier));
    }
}

/// Puts the usage in, as the order wants it told.
fn told(object: &mut Map<String, Value>, kind: Kind, order: &Order, output: u64) {
    let mut usage = usage(kind, order, output);
    let output = if kind == Kind::Chat { "completion_tokens" } else { "output_tokens" };
    match order.told {
        Told::Truth => {}
        Told::Nothing => return,
        Told::Negative => wrong(&mut usage, output, json!(-5)),
        Told::Absurd => wrong(&mut usage, output, json!(ABSURD)),
    }
    object.insert("usage".to_owned(), usage);
}

fn wrong(usage: &mut Value, name: &str, count: Value) {
    if let Some(usage) = usage.as_object_mut() {
        usage.insert(name.to_owned(), count);
    }
}

fn usage(kind: Kind, order: &Order, output: u64) -> Value {
    let prompt = order.input + order.cached + order.written + order.written_1h + order.images;
    match kind {
        Kind::Chat => {
            json!({ "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
            "prompt_tokens_details": { "cached_tokens": order.cached, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": order.reasoning } })
        }
        Kind::Responses => {
            json!({ "input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output,
            "input_tokens_details": { "cached_tokens": order.cached },
            "output_tokens_details": { "reasoning_tokens": order.reasoning } })
        }
        Kind::Messages => json!({ "input_tokens": order.input, "cache_read_input_tokens": order.cached,
            "cache_creation_input_tokens": order.written + order.written_1h,
            "cache_creation": { "ephemeral_5m_input_tokens": order.written, "ephemeral_1h_input_tokens": order.written_1h },
            "output_tokens": output, "service_tier": order.tier.as_deref().unwrap_or("standard") }),
        Kind::Embeddings => json!({ "prompt_tokens": prompt, "total_tokens": prompt }),
        Kind::Images => {
            json!({ "input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output,
            "input_tokens_details": { "text_tokens": order.input, "image_tokens": order.images } })
        }
    }
}

fn named(value: &Value) -> String {
    let name = value.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {name}\ndata: {value}\n\n")
}
