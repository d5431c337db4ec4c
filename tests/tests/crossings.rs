//! Callers whose target speaks another dialect: what the provider gets, what the caller gets, and what it costs.

use std::time::{Duration, Instant};

use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, MESSAGES, Outcome, RESPONSES, TOKEN, yaml_with};
use keyway_e2e::inspect::resident_kib;
use keyway_testkit::caller::{Answer, Caller, post};
use keyway_testkit::provider::{End, Ending, Failure, Provider, Reply, Seen, Stream, USAGE};
use serde_json::{Value, json};

/// How long a record may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

const ALIASES: &str = "  alias-both:
    strategy: priority
    targets:
      - { provider: claude, model: m, priority: 1 }
      - { provider: sim, model: other, priority: 2 }";

struct Case {
    provider: Provider,
    gateway: Gateway,
}

impl Case {
    fn start() -> Outcome<Self> {
        let provider = Provider::start()?;
        // 11 tokens in and 7 out are 25 millionths of a dollar.
        let priced = "    prices: { m: { input: 1, output: 2 } }\n    auth: { header: x-api-key }";
        let yaml = yaml_with(&provider, ALIASES).replace("    auth: { header: x-api-key }", priced);
        let gateway = Gateway::start(&yaml)?;
        Ok(Self { provider, gateway })
    }

    async fn ask(&self, path: &str, body: &Value) -> Outcome<Answer> {
        Ok(self.gateway.ask(path, &body.to_string()).await?)
    }

    /// The one request that reached the provider.
    #[track_caller]
    fn only(&self) -> Seen {
        let mut seen = self.provider.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.remove(0)
    }

    /// The record of the request that got this answer.
    async fn record(&self, answer: &Answer) -> Outcome<Value> {
        let id = answer.header("x-keyway-request-id").ok_or("no id")?;
        let end = Instant::now() + PATIENCE;
        loop {
            let ran = self.gateway.keyway.cli(&["why", id, "--output", "json"])?;
            match ran.code {
                Some(0) => return Ok(serde_json::from_str(&ran.stdout)?),
                Some(3) if Instant::now() < end => tokio::time::sleep(LOOK).await,
                _ => return Err(format!("{ran:?}").into()),
            }
        }
    }
}

/// A chat body with more members.
fn chat(model: &str, more: Value) -> Value {
    with(json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] }), more)
}

fn with(mut body: Value, more: Value) -> Value {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The JSON data of a stream's events.
fn data(stream: &str) -> Vec<Value> {
    let lines = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// What a chat stream says.
fn said(stream: &str) -> String {
    data(stream).iter().filter_map(|chunk| at(chunk, "/choices/0/delta/content").as_str()).collect()
}

#[tokio::test]
async fn a_whole_reply_comes_in_the_callers_dialect_and_costs_what_its_usage_says() -> Outcome {
    let case = Case::start()?;
    let more = "user-agent: sdk/1\r\nx-stainless-lang: python\r\nopenai-beta: x\r\n";
    let body = chat("claude/m", json!({ "seed": 7, "stop": ["END"] }));
    let answer = case.gateway.ask_with("/v1/chat/completions?beta=true", more, &body.to_string()).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let reply = answer.json();
    assert_eq!(at(&reply, "/choices/0/message/content"), "hello from the simulator");
    assert_eq!(
        (at(&reply, "/object"), at(&reply, "/usage/total_tokens")),
        (&json!("chat.completion"), &json!(18))
    );
    assert_eq!(answer.header("x-keyway-cost-usd"), Some("0.000025000"));
    assert_eq!(answer.header("x-keyway-dropped"), Some("seed"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-request-id"), Some("req-sim"));
    assert_eq!(answer.header("server"), None);

    let sent = case.only();
    assert_eq!(sent.target(), "/v1/messages");
    assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!((sent.header("user-agent"), sent.credential()), (Some("sdk/1"), MAIN_KEY));
    assert_eq!((sent.header("x-stainless-lang"), sent.header("openai-beta")), (None, None));
    assert_eq!(at(&sent.json(), "/stop_sequences"), &json!(["END"]));
    assert_eq!(at(&sent.json(), "/model"), "m");

    let record = case.record(&answer).await?;
    assert_eq!(at(&record, "/usage/input_tokens"), USAGE.0);
    assert_eq!(at(&record, "/usage/output_tokens"), USAGE.1);
    assert_eq!(
        (at(&record, "/cost_nanodollars"), at(&record, "/usage_source")),
        (&json!(25_000), &json!("provider"))
    );
    Ok(())
}

#[tokio::test]
async fn a_stream_comes_event_by_event_and_is_metered_whether_the_caller_asks_or_not() -> Outcome {
    let case = Case::start()?;
    for asks in [true, false] {
        let body = chat("claude/m", json!({ "stream": true, "stream_options": { "include_usage": asks } }));
        let answer = case.ask(CHAT, &body).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
        assert_eq!(said(answer.text()), "word word word ");
        assert!(answer.text().ends_with("data: [DONE]\n\n") && answer.complete);
        let told = data(answer.text()).iter().any(|chunk| at(chunk, "/usage/total_tokens") == 18);
        assert_eq!(told, asks, "{}", answer.text());
        assert_eq!(answer.header("x-keyway-cost-usd"), None);
        let record = case.record(&answer).await?;
        assert_eq!(at(&record, "/cost_nanodollars"), 25_000, "{record:#}");
        assert_eq!(at(&record, "/usage_source"), "provider");
    }
    Ok(())
}

#[tokio::test]
async fn each_of_the_three_reaches_each_other() -> Outcome {
    let case = Case::start()?;
    let surfaces = [("sim", "/v1/chat/completions"), ("claude", "/v1/messages"), ("resp", "/v1/responses")];
    let all = [CHAT, MESSAGES, RESPONSES].into_iter().flat_map(|path| surfaces.map(|to| (path, to)));
    for (path, (to, surface)) in all {
        for (stream, text) in [(false, "hello from the simulator"), (true, "word ")] {
            let turns = if path == RESPONSES { "input" } else { "messages" };
            let mut body = json!({ "model": format!("{to}/m"), "stream": stream });
            body = with(body, json!({ turns: [{ "role": "user", "content": "hi" }] }));
            if path == MESSAGES {
                body = with(body, json!({ "max_tokens": 64 }));
            }
            let answer = case.ask(path, &body).await?;
            let what = format!("{path} to {to}, stream {stream}: {}", answer.text());
            assert_eq!(answer.status, 200, "{what}");
            assert!(answer.text().contains(text) && answer.complete, "{what}");
            let last = case.provider.seen().pop().ok_or("nothing came")?;
            assert_eq!(last.path(), surface, "{what}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_tool_is_called_across() -> Outcome {
    let case = Case::start()?;
    let reply = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{ "type": "tool_use", "id": "toolu_1", "name": "look", "input": { "city": "Paris" } }],
        "stop_reason": "tool_use", "stop_sequence": null, "usage": { "input_tokens": 3, "output_tokens": 4 } });
    case.provider.script("m").always(Reply::whole("application/json", reply.to_string()));
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let tool = json!({ "type": "function", "function": { "name": "look", "parameters": schema } });
    let asked = chat("claude/m", json!({ "tools": [tool], "tool_choice": "required" }));
    let answer = case.ask(CHAT, &asked).await?;
    let call = answer.json();
    assert_eq!(at(&call, "/choices/0/finish_reason"), "tool_calls", "{call:#}");
    let call = at(&call, "/choices/0/message/tool_calls/0");
    assert_eq!(at(call, "/function/name"), "look");
    let arguments: Value =
        serde_json::from_str(at(call, "/function/arguments").as_str().unwrap_or_default())?;
    assert_eq!(arguments, json!({ "city": "Paris" }));
    assert_eq!(at(&case.only().json(), "/tool_choice/type"), "any");

    // A stream was asked for, and the provider answers whole: it is unfolded.
    let answer = case.ask(CHAT, &with(asked, json!({ "stream": true }))).await?;
    let pieces = data(answer.text());
    let arguments = pieces
        .iter()
        .filter_map(|piece| at(piece, "/choices/0/delta/tool_calls/0/function/arguments").as_str());
    assert_eq!(serde_json::from_str::<Value>(&arguments.collect::<String>())?, json!({ "city": "Paris" }));
    assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    Ok(())
}

#[tokio::test]
async fn a_stream_that_was_not_asked_for_is_folded() -> Outcome {
    let case = Case::start()?;
    case.provider.script("m").always(Reply::Stream(Stream::default()));
    let answer = case.ask(CHAT, &chat("claude/m", json!({}))).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(at(&answer.json(), "/choices/0/message/content"), "word word word ");
    assert_eq!(answer.header("x-keyway-cost-usd"), Some("0.000025000"));
    Ok(())
}

#[tokio::test]
async fn a_cut_stream_ends_with_the_callers_error_event_and_no_end_marker() -> Outcome {
    let case = Case::start()?;
    for ending in
        [End::Cut { events: 4, ending: Ending::Close }, End::Cut { events: 4, ending: Ending::Reset }]
    {
        case.provider.script("m").always(Reply::Stream(Stream { end: ending, ..Stream::default() }));
        let body =
            json!({ "model": "claude/m", "stream": true, "messages": [{ "role": "user", "content": "hi" }] });
        let answer = case.ask(CHAT, &body).await?;
        let events = data(answer.text());
        let last = events.last().ok_or("nothing came")?;
        assert_eq!(at(last, "/error/reason"), "upstream_stream_cut", "{}", answer.text());
        assert!(said(answer.text()).starts_with("word ") && !answer.text().contains("[DONE]"));
        let record = case.record(&answer).await?;
        // The input is told at the beginning; two words came of the answer.
        assert_eq!(at(&record, "/usage_source"), "partial", "{record:#}");
        assert_eq!(
            (at(&record, "/usage/input_tokens"), at(&record, "/usage/output_tokens")),
            (&json!(11), &json!(3))
        );

        let body = with(body, json!({ "model": "sim/m", "max_tokens": 9 }));
        let answer = case.ask(MESSAGES, &body).await?;
        assert!(answer.text().contains("event: error\n"), "{}", answer.text());
        assert!(!answer.text().contains("message_stop"), "{}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_translated_and_shows_no_key() -> Outcome {
    let case = Case::start()?;
    let text = Some(format!("max_tokens is too large for {MAIN_KEY}"));
    let headers =
        vec![("retry-after".to_owned(), "7".to_owned()), ("x-ratelimit-limit".to_owned(), "9".to_owned())];
    for (status, kind) in [(400, "invalid_request_error"), (429, "rate_limit_error")] {
        let failure = Failure { status, headers: headers.clone(), text: text.clone() };
        case.provider.script("m").always(Reply::Error(failure));
        let answer = case.ask(CHAT, &chat("claude/m", json!({ "seed": 1 }))).await?;
        assert_eq!(answer.status, status, "{}", answer.text());
        let error = answer.json();
        assert_eq!(at(&error, "/error/message"), "max_tokens is too large for [redacted]");
        assert_eq!(at(&error, "/error/type"), kind);
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("x-ratelimit-limit"), Some("9"));
        assert_eq!(answer.header("x-keyway-dropped"), Some("seed"));
        assert_eq!(at(&error, "/request_id").as_str(), answer.header("x-keyway-request-id"));
        let answer = case.ask(RESPONSES, &json!({ "model": "claude/m", "input": "hi" })).await?;
        assert_eq!((answer.status, at(&answer.json(), "/error/type")), (status, &json!(kind)));
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_cross_is_refused_with_its_path_and_reaches_nobody() -> Outcome {
    let case = Case::start()?;
    let detail = json!([{ "role": "user", "content": [{ "type": "input_audio",
        "input_audio": { "data": "AAAA", "format": "wav" } }] }]);
    for (body, code, path) in [
        (chat("claude/m", json!({ "n": 2 })), "unsupported", "n"),
        (chat("claude/m", json!({ "messages": detail })), "unsupported", "messages[0].content[0]"),
        (
            chat("claude/m", json!({ "messages": [{ "role": "user", "content": 7 }] })),
            "invalid_request",
            "messages[0].content",
        ),
    ] {
        let answer = case.ask(CHAT, &body).await?;
        let error = answer.json();
        assert_eq!((answer.status, at(&error, "/error/code")), (400, &json!(code)), "{error:#}");
        let param = at(&error, "/error/param").as_str().unwrap_or_default();
        assert!(param.starts_with(path), "{error:#}");
        assert!(at(&error, "/error/message").as_str().unwrap_or_default().contains(path), "{error:#}");
        assert_eq!(answer.header("x-keyway-attempts"), None);
    }
    let answer = case.ask("/v1/embeddings", &json!({ "model": "claude/m", "input": "hi" })).await?;
    let error = answer.json();
    assert_eq!((answer.status, at(&error, "/error/code")), (400, &json!("unsupported")));
    assert!(at(&error, "/error/message").as_str().unwrap_or_default().contains("embeddings"), "{error:#}");
    assert_eq!(case.provider.requests(), 0);
    Ok(())
}

#[tokio::test]
async fn other_targets_are_tried_in_whichever_dialect() -> Outcome {
    let case = Case::start()?;
    let junk = Reply::whole("application/json", r#"{"what":"no message"}"#);
    for (reply, stream) in [
        (Reply::status(500), false),
        (Reply::status(500), true),
        (junk.clone(), false),
        (junk, true),
        (Reply::FirstEventError, true),
        (Reply::cut(0, Ending::Close), true),
    ] {
        case.provider.script("m").clear().always(reply.clone());
        let answer = case.ask(CHAT, &chat("alias-both", json!({ "stream": stream }))).await?;
        assert_eq!(answer.status, 200, "{reply:?}: {}", answer.text());
        assert_eq!(answer.header("x-keyway-target"), Some("sim/other"), "{reply:?}");
        assert_eq!(case.provider.seen().pop().map(|seen| seen.path().to_owned()).as_deref(), Some(CHAT));
    }
    // What the first target cannot be told, the second can: that is no attempt.
    let before = case.provider.requests();
    let answer = case.ask(CHAT, &chat("alias-both", json!({ "n": 2 }))).await?;
    assert_eq!((answer.status, answer.header("x-keyway-target")), (200, Some("sim/other")));
    assert_eq!((answer.header("x-keyway-attempts"), case.provider.requests()), (Some("1"), before + 1));
    Ok(())
}

#[tokio::test]
async fn the_sandbox_answers_in_dialects_that_it_does_not_speak() -> Outcome {
    let case = Case::start()?;
    let yaml = yaml_with(&case.provider, "").replace(r#""sim/*""#, r#""sandbox/*""#);
    let gateway = Gateway::start(&yaml)?;
    for stream in [false, true] {
        let body = json!({ "model": "sandbox/echo", "input": "say it again", "stream": stream });
        let answer = gateway.ask(RESPONSES, &body.to_string()).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let reply = if stream {
            let last = data(answer.text()).pop().ok_or("nothing came")?;
            assert_eq!(at(&last, "/type"), "response.completed");
            at(&last, "/response").clone()
        } else {
            answer.json()
        };
        assert_eq!(at(&reply, "/output/0/content/0/text"), "say it again", "{reply:#}");
        assert_eq!(
            (at(&reply, "/object"), at(&reply, "/usage/output_tokens")),
            (&json!("response"), &json!(3))
        );
    }
    Ok(())
}

#[tokio::test]
async fn gemini_bedrock_and_cohere_callers_reach_the_others() -> Outcome {
    let case = Case::start()?;
    let parts = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] });
    let blocks = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] });
    let turns =
        json!({ "model": "claude/m", "messages": [{ "role": "user", "content": "hi" }], "stream": true });
    for (path, body, kind, first, last) in [
        (
            "/v1beta/models/claude/m:streamGenerateContent?alt=sse",
            &parts,
            "text/event-stream; charset=utf-8",
            "data: {",
            "}\n\n",
        ),
        // One JSON array, where no events are asked for.
        ("/v1beta/models/claude/m:streamGenerateContent", &parts, "application/json", "[{", "}]"),
        ("/model/claude%2Fm/converse-stream", &blocks, "application/vnd.amazon.eventstream", "\0\0", ""),
        (
            "/v2/chat",
            &turns,
            "text/event-stream; charset=utf-8",
            "event: message-start\n",
            "data: [DONE]\n\n",
        ),
    ] {
        let answer = case.ask(path, body).await?;
        let text: String = answer.body.iter().map(|byte| char::from(*byte)).collect();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}: {text}");
        assert!(text.contains("word ") && text.starts_with(first) && text.ends_with(last), "{path}: {text}");
        let record = case.record(&answer).await?;
        assert_eq!(at(&record, "/cost_nanodollars"), 25_000, "{path}: {record:#}");
        let sent = case.provider.seen().pop().ok_or("nothing came")?;
        assert_eq!((sent.target(), at(&sent.json(), "/stream")), ("/v1/messages", &json!(true)), "{path}");
    }
    // A cut answer leaves the array open.
    case.provider.script("m").always(Reply::cut(4, Ending::Close));
    let answer = case.ask("/v1beta/models/claude/m:streamGenerateContent", &parts).await?;
    assert!(
        answer.text().contains("upstream_stream_cut") && !answer.text().ends_with(']'),
        "{}",
        answer.text()
    );
    Ok(())
}

#[tokio::test]
async fn vectors_and_counts_cross_too() -> Outcome {
    let case = Case::start()?;
    let texts = json!({ "model": "sim/m", "texts": ["a"], "input_type": "search_query", "embedding_types": ["float"] });
    let answer = case.ask("/v2/embed", &texts).await?;
    assert_eq!(at(&answer.json(), "/embeddings/float/0"), &json!([0.5, -0.25]), "{}", answer.text());
    assert_eq!(at(&case.only().json(), "/input/0"), "a");
    let record = case.record(&answer).await?;
    assert_eq!(at(&record, "/usage/input_tokens"), USAGE.0, "{record:#}");
    let parts = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] });
    let answer = case.ask("/v1beta/models/claude/m:countTokens", &parts).await?;
    assert_eq!(at(&answer.json(), "/totalTokens"), USAGE.0, "{}", answer.text());
    assert_eq!(answer.header("x-keyway-cost-usd"), Some("0.000000000"));
    Ok(())
}

/// Thoughts that another dialect's model had, as they stand in a history that moves on to a provider of the caller's own.
#[tokio::test]
async fn thoughts_from_elsewhere_stay_here_and_the_reply_passes_as_it_comes() -> Outcome {
    let case = Case::start()?;
    let reply = r#"{"id":"m","type":"message","role":"assistant","model":"m","content":[],"x_new": 1.0}"#;
    case.provider.script("m").reply(Reply::whole("application/json", reply));
    let thought =
        json!({ "type": "thinking", "thinking": "hm", "signature": "kw1:DIALECT_GEMINI:s:gem:abc" });
    let text = json!({ "type": "text", "text": "yes" });
    let turns = json!([{ "role": "user", "content": "hi" }, { "role": "assistant", "content": [thought, text] },
        { "role": "user", "content": "go on" }]);
    let answer =
        case.ask(MESSAGES, &json!({ "model": "claude/m", "max_tokens": 9, "messages": turns })).await?;
    assert_eq!(answer.text(), reply);
    assert_eq!(answer.header("x-keyway-dropped"), Some("messages[1].content[0]"));
    let sent = String::from_utf8(case.only().body.to_vec())?;
    assert!(!sent.contains("kw1:") && sent.contains("yes") && sent.contains("go on"), "{sent}");

    // A chat stream of the same kind: its caller does not ask for usage and gets none, and it is metered.
    let thought =
        json!({ "type": "reasoning.text", "text": "hm", "signature": "kw1:DIALECT_GEMINI:s:gem:abc" });
    let turns = json!([{ "role": "user", "content": "hi" },
        { "role": "assistant", "content": "yes", "reasoning_details": [thought] }, { "role": "user", "content": "go on" }]);
    let answer = case.ask(CHAT, &json!({ "model": "sim/m", "stream": true, "messages": turns })).await?;
    assert_eq!(said(answer.text()), "word word word ");
    assert!(answer.header("x-keyway-dropped").is_some() && !answer.text().contains("prompt_tokens"));
    let record = case.record(&answer).await?;
    assert_eq!(at(&record, "/usage/input_tokens"), USAGE.0, "{record:#}");
    Ok(())
}

#[tokio::test]
async fn what_a_caller_is_not_told_of_a_reply_is_named() -> Outcome {
    let case = Case::start()?;
    let reply = r#"{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"one"}],"stop_reason":"stop_sequence","stop_sequence":"two","usage":{"input_tokens":3,"output_tokens":1}}"#;
    case.provider.script("m").always(Reply::whole("application/json", reply));
    let body = json!({ "model": "claude/m", "seed": 7, "stop": ["two"], "messages": [{ "role": "user", "content": "count" }] });
    let answer = case.ask(CHAT, &body).await?;
    assert_eq!((answer.status, at(&answer.json(), "/choices/0/finish_reason")), (200, &json!("stop")));
    assert_eq!(answer.header("x-keyway-dropped"), Some("seed, reply.stop_sequence"));
    Ok(())
}

/// Opens streams whose provider says everything but the end, and waits until each has said the mark.
async fn open(case: &Case, (path, mark): (&str, &str), count: usize) -> Outcome<Vec<Caller>> {
    let place = if path == RESPONSES { "input" } else { "messages" };
    let body = json!({ "model": "claude/m", "stream": true, place: [{ "role": "user", "content": "hi" }] });
    let mut callers = Vec::new();
    for _ in 0..count {
        let mut caller = case.gateway.connect().await?;
        caller.send(&post(path, TOKEN, "", body.to_string().as_bytes())).await?;
        callers.push(caller);
    }
    for caller in &mut callers {
        caller.wait_for(mark.as_bytes()).await?;
    }
    Ok(callers)
}

/// What an open stream of so many words takes of the gateway's memory, in KiB.
async fn taken(words: u32, at: (&str, &str)) -> Outcome<u64> {
    const STREAMS: usize = 100;
    // Its beginning, its block's beginning and end, and why it stops. Words come one by one, as models speak: what a
    // connection reads at once is not a stream's.
    let end = End::Stall { events: words as usize + 4 };
    let stream = Stream { words, end, gap: Duration::from_millis(1), ..Stream::default() };
    let case = Case::start()?;
    let pid = case.gateway.keyway.pid();
    case.provider.script("m").always(Reply::Stream(stream));
    // Neither is what is set aside once.
    let warm = open(&case, at, STREAMS).await?;
    let before = resident_kib(pid)?;
    let opened = open(&case, at, STREAMS).await?;
    let each = resident_kib(pid)?.saturating_sub(before) / STREAMS as u64;
    drop((warm, opened));
    Ok(each)
}

#[tokio::test]
async fn an_open_stream_takes_less_than_64_kib_however_long_it_is() -> Outcome {
    /// On a busy machine a hundred words come at once, and what holds them is measured too; not each time.
    const TRIES: usize = 4;
    let chat = (CHAT, r#""finish_reason":"stop""#);
    for (words, at) in [(10, chat), (300, chat), (300, (RESPONSES, "response.output_text.done"))] {
        let mut all = Vec::new();
        while all.len() < TRIES && all.iter().all(|each| *each >= 64) {
            all.push(taken(words, at).await?);
        }
        assert!(all.iter().any(|each| *each < 64), "{}, {words} words: {all:?} KiB a stream", at.0);
    }
    Ok(())
}
