//! Unchanged bytes: where caller and provider speak one dialect, only the model's name changes in a request, and
//! nothing in a reply. The one exception is a chat stream whose caller did not ask for usage: Keyway asks for it, and
//! withholds the chunk that comes of it.

use keyway_e2e::gateway::{CHAT, Gateway, MESSAGES, Outcome, RESPONSES, yaml};
use keyway_testkit::provider::{Provider, Reply};
use serde_json::Value;

/// Bytes that any rewriting through a JSON library would change: order, blanks, escapes, long numbers, unknown fields,
/// a nested `model`, and the model itself last. `MODEL` is replaced.
const ODD: &str = r#" { "messages" :[ {"content":"caf\u00e9 \/ \ud83d\ude00 \u0000","role":"user","model":"MODEL"}],
	"max_tokens":64, "x_unknown": {"model":"MODEL","n":1.10000000000000000000001e+5,"big":12345678901234567890123},
  "empty":{ }, "input":"hi" EXTRA,"model" : "MODEL" }
"#;

/// A reply that any rewriting would change.
const ODD_REPLY: &str = " {\"id\":\"x\",\"\\u0069\":1.0E+2,\n\"usage\" : {\"prompt_tokens\":1,\"completion_tokens\":2 }, \"model\":\"m\"}\n\n";

/// Chunks as some provider might write them: comments, CRLF, no blank after the colon, unknown events and fields.
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

/// Sends `body` (with `sim/m` and the like for MODEL) and asserts that the reply is `reply` to the byte. Returns the
/// body that the provider saw, and the one that it would have seen with the model's name alone changed.
async fn through(path: &str, body: &str, reply: Reply, expected: &str) -> Outcome<(String, String)> {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    provider.script("m").always(reply);
    let name = match path {
        MESSAGES => "claude/m",
        RESPONSES => "resp/m",
        _ => "sim/m",
    };
    // Only the last `MODEL` is the field itself; the others are the caller's content.
    let (before, after) = body.rsplit_once("MODEL").unwrap_or((body, ""));
    let more = if path == MESSAGES { "anthropic-version: 2023-06-01\r\n" } else { "" };
    let answer = gateway.ask_with(path, more, &format!("{before}{name}{after}")).await?;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), gateway.keyway.log());
    assert!(answer.complete);
    assert_eq!(answer.text(), expected, "the reply's bytes");
    let seen = provider.seen();
    let [seen] = seen.as_slice() else { return Err(format!("{} requests", seen.len()).into()) };
    Ok((String::from_utf8(seen.body.to_vec())?, format!("{before}m{after}")))
}

fn odd(extra: &str) -> String {
    ODD.replace(" EXTRA", extra)
}

/// `whole` is `part` with one run of bytes put in. Returns that run.
fn inserted<'a>(whole: &'a str, part: &str) -> Option<&'a str> {
    let head = whole.bytes().zip(part.bytes()).take_while(|(one, other)| one == other).count();
    let rest = part.len() - head;
    let tail = whole.len().checked_sub(rest)?;
    (whole.as_bytes().get(tail..)? == part.as_bytes().get(head..)?).then(|| whole.get(head..tail)).flatten()
}

#[tokio::test]
async fn whole_replies_and_their_requests() -> Outcome {
    for path in [CHAT, MESSAGES, RESPONSES] {
        let reply = Reply::whole("application/json", ODD_REPLY);
        let (seen, wanted) = through(path, &odd(""), reply, ODD_REPLY).await?;
        assert_eq!(seen, wanted, "{path}: the request's bytes");
    }
    Ok(())
}

#[tokio::test]
async fn a_chat_stream_whose_caller_asked_for_usage() -> Outcome {
    let body = odd(r#", "stream" :true,"stream_options": {"include_usage" : true, "x":1}"#);
    let stream = [CHUNKS, USAGE, DONE].concat();
    let (seen, wanted) =
        through(CHAT, &body, Reply::whole("text/event-stream", stream.clone()), &stream).await?;
    assert_eq!(seen, wanted, "the request's bytes");
    Ok(())
}

#[tokio::test]
async fn a_chat_stream_whose_caller_did_not_ask() -> Outcome {
    let stream = [CHUNKS, USAGE, DONE].concat();
    let withheld = [CHUNKS, DONE].concat();
    let (seen, wanted) =
        through(CHAT, &odd(r#", "stream" :true"#), Reply::whole("text/event-stream", stream), &withheld)
            .await?;
    let added = inserted(&seen, &wanted).ok_or_else(|| format!("more than an insertion: {seen}"))?;
    assert!(added.contains("stream_options"), "{added}");
    let json: Value = serde_json::from_str(&seen)?;
    assert_eq!(
        json.pointer("/stream_options"),
        Some(&serde_json::json!({ "include_usage": true })),
        "{seen}"
    );
    Ok(())
}

#[tokio::test]
async fn stream_options_without_usage_are_kept() -> Outcome {
    let stream = [CHUNKS, USAGE, DONE].concat();
    let withheld = [CHUNKS, DONE].concat();
    for options in [r#"{ "x" : 1 }"#, "{ }", r#"{"include_usage":false, "x":1}"#] {
        let body = odd(&format!(r#", "stream":true, "stream_options" : {options}"#));
        let reply = Reply::whole("text/event-stream", stream.clone());
        let (seen, _) = through(CHAT, &body, reply, &withheld).await?;
        let json: Value = serde_json::from_str(&seen)?;
        let mut wanted: Value = serde_json::from_str(options)?;
        if let Some(fields) = wanted.as_object_mut() {
            fields.insert("include_usage".to_owned(), Value::Bool(true));
        }
        assert_eq!(json.pointer("/stream_options"), Some(&wanted), "{seen}");
        // All that stands around the options is untouched.
        let around =
            body.split(options).map(|part| part.rsplit_once("MODEL").map_or(part, |(before, _)| before));
        for part in around {
            assert!(seen.contains(part), "no {part} in {seen}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn streams_of_other_dialects() -> Outcome {
    let messages = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n: comment\n\n",
        "event: x_unknown\ndata: {\"type\":\"x_unknown\",\"n\":1.0}\r\n\r\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":2}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let responses = concat!(
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n",
        "event: response.output_text.delta\ndata:{\"type\":\"response.output_text.delta\",\"delta\":\"h\\u00e9\"}\r\n\r\n",
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n\n",
    );
    for (path, stream) in [(MESSAGES, messages), (RESPONSES, responses)] {
        let body = odd(r#", "stream" :true"#);
        let (seen, wanted) = through(path, &body, Reply::whole("text/event-stream", stream), stream).await?;
        assert_eq!(seen, wanted, "{path}: the request's bytes");
    }
    Ok(())
}
