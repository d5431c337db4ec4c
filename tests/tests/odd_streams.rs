//! Streams as no SDK would write them come through byte for byte: comments, CRLF, no blank after the colon, fields and
//! events that nobody knows. Where the caller did not ask for usage, the one chunk that comes of asking is missing.

use keyway_e2e::gateway::{CHAT, Gateway, MESSAGES, Outcome, RESPONSES, yaml};
use keyway_testkit::provider::{Provider, Reply};

const CHUNKS: &str = concat!(
    ": a comment\r\n\r\n",
    "data:{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "id: 7\nretry: 10\ndata: {\"choices\" : [ {\"index\":0,\"delta\":{\"content\":\"h\\u00e9\"}}],\"x\":null}\r\n\r\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
);
/// The chunk that OpenAI sends when usage was asked for.
const USAGE: &str = concat!(
    "data: {\"id\":\"c\",\"choices\":[],",
    "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n"
);
const DONE: &str = "data: [DONE]\n\n";

const MESSAGE: &str = concat!(
    "event: message_start\n",
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n: comment\n\n",
    "event: x_unknown\ndata: {\"type\":\"x_unknown\",\"n\":1.0}\r\n\r\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":2}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

const RESPONSE: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n",
    "event: response.output_text.delta\ndata:{\"type\":\"response.output_text.delta\",\"delta\":\"h\\u00e9\"}\r\n\r\n",
    "event: response.completed\n",
    "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n\n",
);

/// Asks with `body` for a stream that the provider writes as `sent`, and asserts what arrives to the byte.
async fn arrives(path: &str, body: &str, sent: &str, arrived: &str) -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    provider.script("m").always(Reply::whole("text/event-stream", sent.to_owned()));
    let answer = gateway.ask(path, body).await?;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), gateway.keyway.log());
    assert!(answer.complete);
    assert_eq!(answer.text(), arrived);
    Ok(())
}

#[tokio::test]
async fn a_chat_stream_whose_caller_asked_for_usage() -> Outcome {
    let body = r#"{"model":"sim/m","stream":true,"stream_options":{"include_usage":true}}"#;
    let whole = [CHUNKS, USAGE, DONE].concat();
    arrives(CHAT, body, &whole, &whole).await
}

#[tokio::test]
async fn a_chat_stream_whose_caller_did_not_ask() -> Outcome {
    let body = r#"{"model":"sim/m","stream":true}"#;
    arrives(CHAT, body, &[CHUNKS, USAGE, DONE].concat(), &[CHUNKS, DONE].concat()).await
}

#[tokio::test]
async fn a_message_stream() -> Outcome {
    arrives(MESSAGES, r#"{"model":"claude/m","max_tokens":9,"stream":true}"#, MESSAGE, MESSAGE).await
}

#[tokio::test]
async fn a_response_stream() -> Outcome {
    arrives(RESPONSES, r#"{"model":"resp/m","stream":true}"#, RESPONSE, RESPONSE).await
}
