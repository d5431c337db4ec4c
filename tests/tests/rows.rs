//! Rows of the catalogue that many use, each with a simulator in its place: the path, the credential, and what the relative
//! of OpenAI's chat is told in its own words. Bedrock and Vertex, whose credentials are of another kind, are in `signing`.

use keyway_e2e::gateway::{Gateway, MAIN_KEY, MESSAGES, Outcome, TOKEN};
use keyway_testkit::provider::{Provider, Reply};
use serde_json::{Value, json};

/// JSON, which no constant can hold.
type Made = fn() -> Value;

/// What is wanted of one row.
struct Row {
    id: &'static str,
    /// The path of its base URL.
    base: &'static str,
    /// The header that holds the key, with what stands before it; none: it wants no key.
    auth: Option<(&'static str, &'static str)>,
    model: &'static str,
    /// More of the caller's body.
    more: Made,
    /// Members of what is sent, by JSON pointer; null: it is not there.
    sent: Made,
    /// What is dropped and named.
    dropped: &'static str,
    /// A member that the row's provider cannot take, and the path that the refusal names.
    refused: Option<(Made, &'static str)>,
}

const BEARER: Option<(&str, &str)> = Some(("authorization", "Bearer "));

fn forced() -> Value {
    json!({ "tool_choice": { "type": "any" } })
}

fn nothing() -> Value {
    json!({})
}

fn ends() -> Value {
    json!({ "stop_sequences": ["END"] })
}

fn picture() -> Value {
    let source = json!({ "type": "url", "url": "https://example.com/a.png" });
    json!({ "messages": [{ "role": "user", "content": [{ "type": "image", "source": source }] }] })
}

const ROWS: [Row; 10] = [
    Row {
        id: "azure-openai",
        base: "/openai/v1",
        auth: Some(("api-key", "")),
        model: "gpt-4o",
        more: forced,
        sent: || {
            json!({ "/max_completion_tokens": 900, "/max_tokens": null, "/tool_choice": "required", "/user": "u",
                "/tools/0/function/strict": true, "/model": "gpt-4o" })
        },
        dropped: "",
        refused: None,
    },
    Row {
        id: "ollama",
        base: "/v1",
        auth: None,
        model: "llama3.3",
        more: nothing,
        sent: || json!({ "/max_tokens": 900, "/max_completion_tokens": null, "/user": null, "/tools/0/function/strict": null }),
        dropped: "tools[0].strict, metadata.user_id",
        refused: Some((picture, "messages[0].content[0]")),
    },
    Row {
        id: "vllm",
        base: "/v1",
        auth: None,
        model: "qwen3",
        more: forced,
        sent: || {
            json!({ "/max_completion_tokens": 900, "/max_tokens": null, "/tool_choice": "required",
                "/messages/1/reasoning": null, "/messages/0/role": "system" })
        },
        dropped: "",
        refused: None,
    },
    Row {
        id: "llama-cpp",
        base: "/v1",
        auth: BEARER,
        model: "any",
        more: forced,
        sent: || json!({ "/max_tokens": 900, "/tool_choice": "required", "/messages/0/role": "system" }),
        dropped: "",
        refused: None,
    },
    Row {
        id: "lm-studio",
        base: "/v1",
        auth: None,
        model: "any",
        more: forced,
        sent: || json!({ "/max_tokens": 900, "/user": null, "/tool_choice": "required" }),
        dropped: "metadata.user_id",
        refused: None,
    },
    Row {
        id: "deepseek",
        base: "",
        auth: BEARER,
        model: "deepseek-v4-pro",
        more: forced,
        sent: || {
            json!({ "/max_tokens": 900, "/user": null, "/tools/0/function/strict": null, "/tool_choice": "required",
                "/messages/2/reasoning_content": " " })
        },
        dropped: "tools[0].strict, metadata.user_id",
        refused: None,
    },
    Row {
        id: "mistral",
        base: "/v1",
        auth: BEARER,
        model: "mistral-large-latest",
        more: forced,
        sent: || json!({ "/max_tokens": 900, "/user": null, "/tool_choice": "any" }),
        dropped: "metadata.user_id",
        refused: None,
    },
    Row {
        id: "groq",
        base: "/openai/v1",
        auth: BEARER,
        model: "openai/gpt-oss-120b",
        more: || json!({ "output_config": { "effort": "max" } }),
        sent: || json!({ "/max_completion_tokens": 900, "/model": "openai/gpt-oss-120b", "/reasoning_effort": "high" }),
        dropped: "",
        refused: None,
    },
    Row {
        id: "openrouter",
        base: "/api/v1",
        auth: BEARER,
        model: "anthropic/claude-sonnet-4.5",
        more: nothing,
        sent: || {
            json!({ "/max_tokens": 900, "/model": "anthropic/claude-sonnet-4.5",
                "/messages/0/content/0/cache_control/type": "ephemeral" })
        },
        dropped: "",
        refused: None,
    },
    Row {
        id: "xai",
        base: "/v1",
        auth: BEARER,
        model: "grok-4",
        more: forced,
        sent: || json!({ "/max_tokens": 900, "/tools/0/function/strict": null, "/tool_choice": "required" }),
        dropped: "tools[0].strict",
        refused: Some((ends, "stop_sequences")),
    },
];

/// An Anthropic caller's request: a system text, a call with its result, a strict tool, an end user.
fn request(row: &Row, stream: bool, more: Value) -> String {
    let cached = row.id == "openrouter";
    let mark = if cached { json!({ "type": "ephemeral" }) } else { Value::Null };
    let mut body = json!({
        "model": format!("{}/{}", row.id, row.model),
        "max_tokens": 900,
        "stream": stream,
        "system": [{ "type": "text", "text": "Be brief", "cache_control": mark }],
        "metadata": { "user_id": "u" },
        "messages": [
            { "role": "user", "content": "q" },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "toolu_0123456789", "name": "f", "input": {} }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_0123456789", "content": "r" }] },
        ],
        "tools": [{ "name": "f", "strict": true,
            "input_schema": { "type": "object", "properties": {}, "additionalProperties": false } }],
    });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body.to_string()
}

#[tokio::test]
async fn each_row_is_reached_by_its_path_with_its_key_in_its_words() -> Outcome {
    let provider = Provider::start()?;
    let origin = format!("http://{}", provider.address());
    let rows = ROWS.each_ref().map(|row| {
        let key = row.auth.map_or(String::new(), |_| format!(", api_key: {MAIN_KEY}"));
        // Which of a row's dialects is spoken to is said: the chat of all of them is what is looked at.
        format!("  {}: {{ dialect: openai-chat, base_url: \"{origin}{}\"{key} }}\n", row.id, row.base)
    });
    let gateway = Gateway::start(&format!(
        "providers:\n{}clients:\n  tester: {{ token: {TOKEN}, models: [\"*\"] }}\n",
        rows.concat()
    ))?;
    for row in &ROWS {
        let id = row.id;
        for stream in [false, true] {
            let answer = gateway.ask(MESSAGES, &request(row, stream, (row.more)())).await?;
            assert_eq!(answer.status, 200, "{id}: {}\n{}", answer.text(), gateway.keyway.log());
            assert_eq!(answer.header("x-keyway-dropped").unwrap_or_default(), row.dropped, "{id}");
            let seen = provider.seen().pop().ok_or("nothing came")?;
            // Without a version of its own a base URL gets the dialect's.
            let base = if row.base.is_empty() { "/v1" } else { row.base };
            assert_eq!(seen.target(), format!("{base}/chat/completions"), "{id}");
            for header in ["authorization", "api-key", "x-api-key", "x-goog-api-key"] {
                let wanted = row.auth.filter(|(name, _)| *name == header);
                let wanted = wanted.map(|(_, before)| format!("{before}{MAIN_KEY}"));
                assert_eq!(seen.header(header), wanted.as_deref(), "{id}: {header}");
            }
            let body = seen.json();
            for (pointer, value) in (row.sent)().as_object().into_iter().flatten() {
                assert_eq!(body.pointer(pointer).unwrap_or(&Value::Null), value, "{id}: {pointer} of {body}");
            }
            let counted = body.pointer("/stream_options/include_usage") == Some(&json!(true));
            assert_eq!(counted, stream && id != "mistral", "{id}: {body}");
        }
        let Some((more, path)) = row.refused else { continue };
        let before = provider.requests();
        let answer = gateway.ask(MESSAGES, &request(row, false, more())).await?;
        assert_eq!((answer.status, provider.requests()), (400, before), "{id}: {}", answer.text());
        assert!(answer.text().contains(path), "{id}: {}", answer.text());
    }
    Ok(())
}

/// What comes back is read by the row, too: thoughts and tokens of thoughts, by each one's own names.
#[tokio::test]
async fn thoughts_and_their_tokens_come_from_each_row_s_own_fields() -> Outcome {
    let provider = Provider::start()?;
    let origin = format!("http://{}", provider.address());
    let table = [
        ("deepseek", "reasoning_content", 27, 27),
        ("vllm", "reasoning", 27, 27),
        ("ollama", "reasoning", 27, 27),
        ("groq", "reasoning", 27, 27),
        // Its completion tokens leave those of thoughts out.
        ("xai", "reasoning_content", 7, 27),
    ];
    let rows = table.map(|(id, ..)| {
        format!("  {id}: {{ dialect: openai-chat, base_url: \"{origin}/v1\", api_key: {MAIN_KEY} }}\n")
    });
    let gateway = Gateway::start(&format!(
        "providers:\n{}clients:\n  tester: {{ token: {TOKEN}, models: [\"*\"] }}\n",
        rows.concat()
    ))?;
    for (id, field, told, all) in table {
        let message = json!({ "role": "assistant", "content": "yes", field: "hm" });
        let usage = json!({ "prompt_tokens": 11, "completion_tokens": told, "total_tokens": 11 + all,
            "completion_tokens_details": { "reasoning_tokens": 20 } });
        let reply = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] });
        provider.decide(move |_| Reply::whole("application/json", reply.to_string()));
        let body = json!({ "model": format!("{id}/m"), "max_tokens": 9000,
            "thinking": { "type": "enabled", "budget_tokens": 4000 }, "messages": [{ "role": "user", "content": "q" }] });
        let answer = gateway.ask(MESSAGES, &body.to_string()).await?;
        let reply = answer.json();
        assert_eq!(reply.pointer("/content/0/thinking"), Some(&json!("hm")), "{id}: {reply}");
        assert_eq!(reply.pointer("/content/1/text"), Some(&json!("yes")), "{id}: {reply}");
        assert_eq!(reply.pointer("/usage/output_tokens"), Some(&json!(all)), "{id}: {reply}");
    }
    Ok(())
}
