//! What rows and the file say of a provider or a model reaches the provider: the same request of an Anthropic caller, sent
//! to relatives of OpenAI's chat, comes in each one's own words.

use keyway_e2e::gateway::{Gateway, MAIN_KEY, MESSAGES, Outcome, TOKEN};
use keyway_testkit::provider::Provider;
use serde_json::{Value, json};

/// Names of the catalogue, all moved to the simulator, and one that only the file has.
fn yaml(base: &str) -> String {
    let row = |name: &str, more: &str| {
        format!("  {name}: {{ dialect: openai-chat, base_url: \"{base}\", api_key: {MAIN_KEY}{more} }}\n")
    };
    let file = ", quirks: { old_max_tokens: false }, model_quirks: { 'think*': { thinking_switch: true } }";
    let rows =
        [row("openai", ""), row("mistral", ""), row("groq", ""), row("deepseek", ""), row("own", file)];
    format!("providers:\n{}clients:\n  tester: {{ token: {TOKEN}, models: [\"*\"] }}\n", rows.concat())
}

fn request(model: &str) -> Value {
    json!({
        "model": model,
        "max_tokens": 9000,
        "temperature": 0.5,
        "thinking": { "type": "enabled", "budget_tokens": 4000 },
        "metadata": { "user_id": "u" },
        "messages": [
            { "role": "user", "content": "q" },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "toolu_0123456789", "name": "f", "input": {} }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_0123456789", "content": "r" }] },
        ],
        "tools": [{ "name": "f", "input_schema": { "type": "object" } }],
    })
}

#[tokio::test]
async fn each_relative_is_spoken_to_in_its_own_words() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider.base_url()))?;
    let absent = Value::Null;
    let table = [
        (
            "openai/gpt-4o-mini",
            json!({ "max_completion_tokens": 9000, "max_tokens": absent, "temperature": 0.5, "user": "u" }),
        ),
        (
            "openai/o3",
            json!({ "max_completion_tokens": 9000, "temperature": absent, "reasoning_effort": "medium" }),
        ),
        (
            "mistral/magistral-medium-latest",
            json!({ "max_tokens": 9000, "user": absent, "reasoning_effort": absent }),
        ),
        ("groq/qwen/qwen3-32b", json!({ "max_completion_tokens": 9000, "user": "u", "temperature": 0.5 })),
        (
            "deepseek/deepseek-v4-pro",
            json!({ "max_tokens": 9000, "user": absent, "thinking": { "type": "enabled" }, "reasoning_effort": "medium" }),
        ),
        (
            "own/plain",
            json!({ "max_completion_tokens": 9000, "reasoning_effort": "medium", "thinking": absent }),
        ),
        (
            "own/thinks",
            json!({ "max_completion_tokens": 9000, "reasoning_effort": absent, "thinking": { "type": "enabled" } }),
        ),
    ];
    for (place, (model, expected)) in table.into_iter().enumerate() {
        let answer = gateway.ask(MESSAGES, &request(model).to_string()).await?;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        let sent = provider.seen().swap_remove(place).json();
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(sent.get(field).unwrap_or(&Value::Null), value, "{model}: {field} of {sent}");
        }
        let call = sent.pointer("/messages/1/tool_calls/0/id").and_then(Value::as_str).unwrap();
        let thought = sent.pointer("/messages/1/reasoning_content").and_then(Value::as_str);
        assert_eq!(call.len() == 9, model.starts_with("mistral"), "{model}: {call}");
        assert_eq!(thought.is_some(), model.starts_with("deepseek"), "{model}: {sent}");
    }
    Ok(())
}
