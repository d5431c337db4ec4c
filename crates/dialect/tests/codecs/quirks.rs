//! What a quirk changes in a target's request: a caller's body, a quirk, and what is then written, dropped or refused.

use super::ground::{named, target};
use keyway_dialect::codec::{Encoded, Envelope};
use keyway_dialect::losses::{Thing, Unsupported};
use keyway_dialect::quirk::{Effort, Quirks};
use serde_json::{Value, json};

const CLAUDE: &str = r#"{"model":"m","max_tokens":9000,"stop_sequences":["END"],"metadata":{"user_id":"u"},
    "messages":[
        {"role":"user","content":"q"},
        {"role":"assistant","content":[{"type":"tool_use","id":"toolu_0123456789","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_0123456789","content":"r"}]}],
    "tools":[{"name":"f","input_schema":{"type":"object"}}]}"#;

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"q"}],"seed":7,"presence_penalty":1,
    "frequency_penalty":0,"metadata":{"k":"v"},"store":true,"verbosity":"low","prompt_cache_key":"p","user":"u","n":1}"#;

const RESPONSES: &str =
    r#"{"model":"m","input":"q","prompt_cache_key":"p","store":true,"text":{"verbosity":"low"}}"#;

fn encoded(from: &str, body: &str, to: &str, quirks: &Quirks) -> Result<Encoded, Unsupported> {
    let envelope = Envelope { model: "m", stream: false };
    let request = named(from).decode_request(body.as_bytes(), &envelope).unwrap();
    named(to).encode_request(&request, &target(quirks))
}

/// What was written, and the things that were dropped.
fn written(from: &str, body: &str, to: &str, quirks: &Quirks) -> (Value, Vec<Thing>) {
    let encoded = encoded(from, body, to, quirks).unwrap();
    let lost = encoded.lost.into_iter().map(|lost| lost.thing).collect();
    (serde_json::from_slice(&encoded.body).unwrap(), lost)
}

fn with(body: &str, more: Value) -> String {
    let mut body: Value = serde_json::from_str(body).unwrap();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

fn quirks(set: impl FnOnce(&mut Quirks)) -> Quirks {
    let mut quirks = Quirks::default();
    set(&mut quirks);
    quirks
}

#[test]
fn what_a_relative_refuses_is_dropped_and_named() {
    type Row<'a> = (&'a str, &'a str, fn(&mut Quirks), &'a [&'a str], &'a [Thing]);
    let table: [Row<'_>; 4] = [
        ("anthropic-messages", CLAUDE, |quirks| quirks.no_user = true, &["user"], &[Thing::User]),
        (
            "openai-responses",
            RESPONSES,
            |quirks| {
                quirks.no_extras = true;
                quirks.no_cache_key = true;
            },
            &["store", "verbosity", "prompt_cache_key"],
            &[Thing::CacheKey, Thing::Store, Thing::Verbosity],
        ),
        (
            "cohere-chat",
            r#"{"model":"m","messages":[{"role":"user","content":"q"}],"presence_penalty":0.5,"frequency_penalty":0.0}"#,
            |quirks| quirks.no_penalties = true,
            &["presence_penalty", "frequency_penalty"],
            &[Thing::PresencePenalty],
        ),
        (
            "gemini",
            r#"{"contents":[{"role":"user","parts":[{"text":"q"}]}],"generationConfig":{"candidateCount":1}}"#,
            |quirks| quirks.no_choices = true,
            &["n"],
            &[],
        ),
    ];
    for (from, body, set, gone, dropped) in table {
        let (before, lost) = written(from, body, "openai-chat", &Quirks::default());
        assert_eq!(lost, [], "{from}");
        assert!(gone.iter().any(|name| before.get(name).is_some()), "{from}: {before}");
        let (after, mut lost) = written(from, body, "openai-chat", &quirks(set));
        lost.sort();
        let mut dropped = dropped.to_vec();
        dropped.sort();
        assert_eq!(lost, dropped, "{from}");
        assert!(gone.iter().all(|name| after.get(name).is_none()), "{from}: {after}");
    }
}

#[test]
fn what_would_change_the_answer_is_refused() {
    let gemini = |config: &str| {
        format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"q"}}]}}],"generationConfig":{config}}}"#)
    };
    let forced = with(&CLAUDE.replace("stop_sequences", "x"), json!({ "tool_choice": { "type": "any" } }));
    let chat_forced = with(
        CHAT,
        json!({ "tools": [{ "type": "function", "function": { "name": "f" } }], "tool_choice": "required" }),
    );
    type Set = fn(&mut Quirks);
    let table: [(&str, String, &str, Set, Thing); 7] = [
        ("anthropic-messages", CLAUDE.into(), "openai-chat", |q| q.no_stop = true, Thing::StopSequences),
        ("gemini", gemini(r#"{"candidateCount":2}"#), "openai-chat", |q| q.no_choices = true, Thing::Choices),
        (
            "gemini",
            gemini(r#"{"responseLogprobs":true,"logprobs":2}"#),
            "openai-chat",
            |q| q.no_logprobs = true,
            Thing::Logprobs,
        ),
        (
            "anthropic-messages",
            forced.clone(),
            "openai-chat",
            |q| q.no_forced_calls = true,
            Thing::ToolRequired,
        ),
        (
            "anthropic-messages",
            forced.clone(),
            "openai-responses",
            |q| q.no_forced_calls = true,
            Thing::ToolRequired,
        ),
        ("anthropic-messages", forced, "bedrock-converse", |q| q.no_forced_calls = true, Thing::ToolRequired),
        ("openai-chat", chat_forced, "anthropic-messages", |q| q.no_forced_calls = true, Thing::ToolRequired),
    ];
    for (from, body, to, set, thing) in table {
        assert!(encoded(from, &body, to, &Quirks::default()).is_ok(), "{from} {to}");
        assert_eq!(encoded(from, &body, to, &quirks(set)).unwrap_err().thing, thing, "{from} {to}");
    }
}

#[test]
fn words_of_relatives_are_used() {
    let (body, _) = written(
        "cohere-chat",
        r#"{"model":"m","messages":[{"role":"user","content":"q"}],"seed":7}"#,
        "openai-chat",
        &quirks(|quirks| quirks.random_seed = true),
    );
    assert_eq!((body.get("random_seed"), body.get("seed")), (Some(&json!(7)), None));

    let (body, _) =
        written("anthropic-messages", CLAUDE, "openai-chat", &quirks(|quirks| quirks.short_call_ids = true));
    let id = body.pointer("/messages/1/tool_calls/0/id").unwrap().as_str().unwrap();
    assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert_eq!(body.pointer("/messages/2/tool_call_id").unwrap(), id, "the call and its result still meet");
    let own = CLAUDE.replace("toolu_0123456789", "D681PevKs");
    let (body, _) =
        written("anthropic-messages", &own, "openai-chat", &quirks(|quirks| quirks.short_call_ids = true));
    assert_eq!(body.pointer("/messages/1/tool_calls/0/id").unwrap(), "D681PevKs");

    let called = "/contents/1/parts/0/functionCall/id";
    let answered = "/contents/2/parts/0/functionResponse/id";
    for (no_call_ids, there) in [(false, true), (true, false)] {
        let quirks = Quirks { no_call_ids, ..Quirks::default() };
        let (body, _) = written("anthropic-messages", CLAUDE, "gemini", &quirks);
        let ids = [called, answered].map(|path| body.pointer(path).is_some());
        assert_eq!(ids, [there, there], "{body}");
    }

    let (body, _) =
        written("anthropic-messages", CLAUDE, "openai-chat", &quirks(|quirks| quirks.needs_thoughts = true));
    assert_eq!(body.pointer("/messages/1/reasoning_content").unwrap(), " ");
}

#[test]
fn the_nearest_effort_is_sent() {
    use Effort::{High, Low, Max, Medium, Minimal, None};
    let efforts = |known: &[Effort]| quirks(|quirks| quirks.efforts = known.iter().copied().collect());
    let effort = |word: &str| with(CLAUDE, json!({ "output_config": { "effort": word } }));
    let off = with(CLAUDE, json!({ "thinking": { "type": "disabled" } }));
    let table = [
        (effort("max"), Quirks::default(), Some("max")),
        (effort("max"), efforts(&[Low, Medium, High]), Some("high")),
        (effort("low"), efforts(&[None, High]), Some("high")),
        (off.clone(), Quirks::default(), Option::None),
        (off.clone(), efforts(&[None, Low]), Some("none")),
        (off, efforts(&[Minimal, Low]), Some("minimal")),
    ];
    for (body, quirks, sent) in table {
        let (chat, _) = written("anthropic-messages", &body, "openai-chat", &quirks);
        assert_eq!(chat.get("reasoning_effort").and_then(Value::as_str), sent, "{quirks:?}");
        let (responses, _) =
            encoded("anthropic-messages", &body.replace("stop_sequences", "x"), "openai-responses", &quirks)
                .map(|encoded| (serde_json::from_slice::<Value>(&encoded.body).unwrap(), ()))
                .unwrap();
        let told = responses.pointer("/reasoning/effort").and_then(Value::as_str);
        assert_eq!(told, sent, "{quirks:?}");
    }
    let asked = with(CHAT, json!({ "reasoning_effort": "max" }));
    let adaptive = |known: &[Effort]| Quirks { adaptive_thinking: true, ..efforts(known) };
    for (known, sent) in [(&[][..], "max"), (&[Low, Medium, High], "high"), (&[Low, Max], "max")] {
        let (claude, _) = written("openai-chat", &asked, "anthropic-messages", &adaptive(known));
        assert_eq!(claude.pointer("/output_config/effort").unwrap(), sent, "{known:?}");
        let (bedrock, _) = written("openai-chat", &asked, "bedrock-converse", &adaptive(known));
        assert_eq!(bedrock.pointer("/outputConfig/effort").unwrap(), sent, "{known:?}");
    }
    let (gemini, _) = written("openai-chat", &asked, "gemini", &efforts(&[Low, High]));
    assert_eq!(gemini.pointer("/generationConfig/thinkingConfig/thinkingLevel").unwrap(), "HIGH");
}

#[test]
fn thinking_that_is_a_switch_or_never_off() {
    let thinking = |kind: Value| with(CLAUDE, json!({ "thinking": kind }));
    let on = thinking(json!({ "type": "enabled", "budget_tokens": 4000 }));
    let off = thinking(json!({ "type": "disabled" }));
    let switch = |set: fn(&mut Quirks)| {
        let mut quirks = quirks(set);
        quirks.thinking_switch = true;
        quirks
    };
    let known: fn(&mut Quirks) = |quirks| quirks.efforts = [Effort::High, Effort::Max].into_iter().collect();
    let table = [
        (&on, switch(|_| {}), Some("enabled"), None),
        (&off, switch(|_| {}), Some("disabled"), None),
        (&off, switch(|quirks| quirks.thinking_always = true), None, None),
        (&on, switch(known), Some("enabled"), Some("high")),
        (&off, switch(known), Some("disabled"), None),
    ];
    for (body, quirks, state, effort) in table {
        let (chat, _) = written("anthropic-messages", body, "openai-chat", &quirks);
        let told = chat.pointer("/thinking/type").and_then(Value::as_str);
        assert_eq!(
            (told, chat.get("reasoning_effort").and_then(Value::as_str)),
            (state, effort),
            "{quirks:?}"
        );
    }

    let always = quirks(|quirks| {
        quirks.thinking_always = true;
        quirks.adaptive_thinking = true;
        quirks.efforts = [Effort::Low, Effort::High].into_iter().collect();
    });
    let none = with(CHAT, json!({ "reasoning_effort": "none" }));
    let (bedrock, _) = written("openai-chat", &none, "bedrock-converse", &always);
    assert_eq!(bedrock.pointer("/additionalModelRequestFields/thinking"), None, "it would be refused");
    let (gemini, _) = written("openai-chat", &none, "gemini", &always);
    assert_eq!(
        gemini.pointer("/generationConfig/thinkingConfig/thinkingLevel").unwrap(),
        "LOW",
        "the least it can"
    );
    let (gemini, _) = written("openai-chat", &none, "gemini", &Quirks::default());
    assert_eq!(gemini.pointer("/generationConfig/thinkingConfig/thinkingBudget").unwrap(), 0);
}
