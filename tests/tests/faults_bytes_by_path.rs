//! Same dialect means same bytes, both ways, where paths name the model: Gemini and Bedrock; and Cohere, whose paths are
//! its own. Replies are streams of every framing, and whole ones.

use keyway_e2e::gateway::{Gateway, MAIN_KEY, Outcome, TOKEN};
use keyway_testkit::provider::{Provider, Reply};
use std::collections::HashMap;

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";
const FRAMES: &str = "application/vnd.amazon.eventstream";

const CHUNK: &str = r#"{ "candidates": [{"content": {"parts": [{"text": "é\u00e9 🦀"}], "role": "model"}, "index": 0}], "x": 1.50e+003 }"#;
const LAST: &str = r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}}"#;
/// `messageStart`, `contentBlockDelta`, `messageStop`, `metadata`, as botocore reads them.
const CONVERSED: &str = include_str!("frames/converse.hex");
/// One `chunk`.
const INVOKED: &str = include_str!("frames/invoke.hex");
const COHERE: &str = concat!(
    "event: content-delta\r\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"é\"}}}}\r\n\r\n",
    "event: message-end\ndata: {\"type\": \"message-end\", \"delta\": {\"finish_reason\": \"COMPLETE\"}}\n\ndata: [DONE]\n\n",
);
/// What a body may hold beside its model.
const ODD: &str =
    "\t\"big\":12345678901234567890123, \"nul\":null,\r\n \"s\":\"\\u00e9\\/ é 🦀\",\"x\":{\"a\":1,\"a\":2}";

/// One call: path and body as the caller sends them, the same at the provider, and its reply.
struct Case {
    asked: (&'static str, String),
    arrives: (&'static str, String),
    reply: (&'static str, Vec<u8>),
}

fn case(asked: (&'static str, &str), arrives: (&'static str, &str), reply: (&'static str, &[u8])) -> Case {
    Case {
        asked: (asked.0, asked.1.replace("ODD", ODD)),
        arrives: (arrives.0, arrives.1.replace("ODD", ODD)),
        reply: (reply.0, reply.1.to_vec()),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

fn gemini() -> Vec<Case> {
    let body = "{ \"contents\" : [],ODD }\n";
    let stream = format!("data: {CHUNK}\r\n\r\ndata: {LAST}\r\n\r\n");
    let list = format!("[{CHUNK}\n,\r\n{LAST}\n]");
    let batch =
        |name: &str| format!("{{\"requests\":[{{\"model\":\"{name}\",ODD}},{{\"model\" : \"{name}\"}}]}}");
    vec![
        case(
            ("/v1beta/models/gem/m-1:generateContent", body),
            ("/v1beta/models/m-1:generateContent", body),
            (JSON, LAST.as_bytes()),
        ),
        case(
            ("/v1/models/gem%2Fm-1:streamGenerateContent?alt=sse", body),
            ("/v1beta/models/m-1:streamGenerateContent?alt=sse", body),
            (SSE, stream.as_bytes()),
        ),
        case(
            ("/v1beta1/publishers/google/models/alias:streamGenerateContent", body),
            ("/v1beta/models/m-1:streamGenerateContent", body),
            (JSON, list.as_bytes()),
        ),
        case(
            (
                "/v1beta/models/alias:countTokens",
                r#"{"generateContentRequest":{"model":"models/alias",ODD}}"#,
            ),
            ("/v1beta/models/m-1:countTokens", r#"{"generateContentRequest":{"model":"models/m-1",ODD}}"#),
            (JSON, br#"{ "totalTokens": 31 }"#),
        ),
        case(
            ("/v1beta/models/gem/m-1:embedContent", r#"{"model": "models/gem/m-1",ODD}"#),
            ("/v1beta/models/m-1:embedContent", r#"{"model": "models/m-1",ODD}"#),
            (JSON, br#"{"embedding":{"values":[0.10, -1e-3]}}"#),
        ),
        case(
            ("/v1/models/gem/m-1:batchEmbedContents", &batch("models/gem/m-1")),
            ("/v1beta/models/m-1:batchEmbedContents", &batch("models/m-1")),
            (JSON, br#"{"embeddings":[{"values":[0.10]},{"values":[2]}]}"#),
        ),
    ]
}

fn bedrock() -> Vec<Case> {
    let body = "{ \"messages\" : [],ODD }\n";
    vec![
        case(
            ("/model/bed%2Fa.nova-v1%3A0/converse", body),
            ("/model/a.nova-v1%3A0/converse", body),
            (JSON, br#"{"output":{"message":{"role":"assistant","content":[{"text":"x"}]}}, "stopReason":"end_turn"}"#),
        ),
        case(
            ("/model/bed%2Farn%3Aaws%3Ax%2Fy/converse-stream", body),
            ("/model/arn%3Aaws%3Ax%2Fy/converse-stream", body),
            (FRAMES, &bytes(CONVERSED)),
        ),
        case(
            ("/model/bed/m/count-tokens", r#"{"input":{"converse":{ODD}}}"#),
            ("/model/m/count-tokens", r#"{"input":{"converse":{ODD}}}"#),
            (JSON, br#"{"inputTokens":5}"#),
        ),
        case(
            ("/model/bed/m/invoke", r#"{"anthropic_version":"bedrock-2023-05-31","model":"kept",ODD}"#),
            ("/model/m/invoke", r#"{"anthropic_version":"bedrock-2023-05-31","model":"kept",ODD}"#),
            (JSON, br#"{"type":"message", "usage":{"input_tokens":3}}"#),
        ),
        case(
            ("/model/bed/m/invoke-with-response-stream", "{ODD}"),
            ("/model/m/invoke-with-response-stream", "{ODD}"),
            (FRAMES, &bytes(INVOKED)),
        ),
    ]
}

fn cohere() -> Vec<Case> {
    let rerank = (JSON, &br#"{"results":[{"index":1,"relevance_score":0.90}],"meta":{}}"#[..]);
    vec![
        case(
            ("/v2/chat", "{ODD ,\"model\" : \"coh/c\",\"stream\":false}"),
            ("/v2/chat", "{ODD ,\"model\" : \"c\",\"stream\":false}"),
            (JSON, br#"{"id":"1","message":{"role":"assistant"},"finish_reason":"COMPLETE"}"#),
        ),
        case(
            ("/v2/chat", "{\"stream\":true,\"model\":\"coh/c\",ODD}"),
            ("/v2/chat", "{\"stream\":true,\"model\":\"c\",ODD}"),
            (SSE, COHERE.as_bytes()),
        ),
        case(
            ("/v2/embed", "{\"model\":\"coh/c\",\"texts\":[\"a\"],ODD}"),
            ("/v2/embed", "{\"model\":\"c\",\"texts\":[\"a\"],ODD}"),
            (JSON, br#"{"embeddings":{"float":[[0.10]]},"meta":{"billed_units":{"input_tokens":2}}}"#),
        ),
        case(("/v2/rerank", "{\"model\":\"coh/c\",ODD}"), ("/v2/rerank", "{\"model\":\"c\",ODD}"), rerank),
        case(("/v1/rerank", "{\"model\":\"coh/c\",ODD}"), ("/v2/rerank", "{\"model\":\"c\",ODD}"), rerank),
        case(("/rerank", "{\"model\":\"coh/c\",ODD}"), ("/v2/rerank", "{\"model\":\"c\",ODD}"), rerank),
    ]
}

#[tokio::test]
async fn requests_and_replies_pass_byte_for_byte_but_for_the_models_name() -> Outcome {
    let cases: Vec<Case> = [gemini(), bedrock(), cohere()].into_iter().flatten().collect();
    let provider = Provider::start()?;
    let replies: HashMap<Vec<u8>, (&str, Vec<u8>)> = cases
        .iter()
        .map(|case| (key(case.arrives.0, case.arrives.1.as_bytes()), case.reply.clone()))
        .collect();
    provider.decide(move |seen| match replies.get(&key(seen.target(), &seen.body)) {
        Some((kind, body)) => Reply::whole(kind, body.clone()),
        None => Reply::status(418),
    });
    let host = provider.address();
    let gateway = Gateway::start(&format!(
        r#"providers:
  gem: {{ dialect: gemini, base_url: "http://{host}/v1beta", auth: {{ header: x-goog-api-key }}, api_key: {MAIN_KEY} }}
  bed: {{ dialect: bedrock-converse, region: us-east-1, base_url: "http://{host}", api_key: {MAIN_KEY} }}
  coh: {{ dialect: cohere-chat, base_url: "http://{host}/v2", api_key: {MAIN_KEY} }}
models:
  alias: {{ targets: [{{ provider: gem, model: m-1 }}] }}
clients:
  tester: {{ token: {TOKEN} }}
"#
    ))?;
    for case in &cases {
        let (path, body) = &case.asked;
        let place = provider.requests();
        let answer = gateway.ask(path, body).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let seen = &provider.seen()[place];
        assert_eq!((seen.target(), &*seen.body), (case.arrives.0, case.arrives.1.as_bytes()), "{path}");
        assert_eq!(answer.header("content-type"), Some(case.reply.0), "{path}");
        assert!(answer.body == case.reply.1, "{path}: other bytes: {}", answer.text());
    }
    Ok(())
}

fn key(path: &str, body: &[u8]) -> Vec<u8> {
    [path.as_bytes(), b" ", body].concat()
}
