use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{ANY, End, Ending, Framing, LineEnd, Outcome, Provider, Reply, Stream, Surface, Whole, events};
use crate::caller::{Answer, Caller, post};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

fn body(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

async fn ask(provider: &Provider, path: &str, model: &str, stream: bool) -> std::io::Result<Answer> {
    let mut caller = Caller::connect(provider.address()).await?;
    caller.ask(&post(path, "sk-a", "", body(model, stream).as_bytes())).await
}

#[tokio::test]
async fn a_good_answer_has_usage_and_the_request_is_recorded_to_the_byte() {
    let provider = Provider::start().unwrap();
    let request = post(CHAT, "sk-a", "X-Odd:  spaces \r\n", body("m", false).as_bytes());
    let mut caller = Caller::connect(provider.address()).await.unwrap();
    let first = caller.ask(&request).await.unwrap();
    let second = caller.ask(&request).await.unwrap();
    assert_eq!(first.json()["usage"]["total_tokens"], 18);
    assert_eq!(second.status, 200);

    let seen = provider.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!([&seen[0].head[..], &seen[0].body[..]].concat(), request);
    assert_eq!((seen[0].connection, seen[1].connection), (1, 1));
    assert_eq!(seen[0].header("x-odd"), Some("spaces"));
    assert_eq!(seen[0].credential(), "sk-a");
    assert_eq!(provider.keys()["sk-a"].requests, 2);
    assert!(matches!(seen[0].outcome, Some(Outcome::Answered(_))));
}

#[tokio::test]
async fn every_surface_answers_in_its_own_form() {
    let provider = Provider::start().unwrap();
    for (path, pointer) in [
        (CHAT, "/choices/0/message/content"),
        ("/v1/completions", "/choices/0/text"),
        ("/v1/responses", "/output/0/content/0/text"),
        ("/v1/embeddings", "/data/0/embedding/0"),
        (MESSAGES, "/content/0/text"),
        ("/v1/messages/count_tokens", "/input_tokens"),
    ] {
        let answer = ask(&provider, path, "m", false).await.unwrap();
        assert!(answer.json().pointer(pointer).is_some(), "{path}: {}", answer.text());
    }
    for (path, end) in [
        (CHAT, "data: [DONE]\n\n"),
        ("/v1/completions", "data: [DONE]\n\n"),
        ("/v1/responses", "\n\n"),
        (MESSAGES, "data: {\"type\":\"message_stop\"}\n\n"),
    ] {
        let answer = ask(&provider, path, "m", true).await.unwrap();
        assert!(answer.text().ends_with(end), "{path}: {}", answer.text());
        assert!(answer.complete);
    }
}

#[tokio::test]
async fn scripts_hold_per_model_in_order_and_then_the_standing_reply() {
    let provider = Provider::start().unwrap();
    provider.script("m").reply(Reply::status(500)).reply(Reply::rate_limited("7"));
    provider.script(ANY).always(Reply::status(529));
    let first = ask(&provider, CHAT, "m", false).await.unwrap();
    let second = ask(&provider, CHAT, "m", false).await.unwrap();
    let third = ask(&provider, MESSAGES, "m", false).await.unwrap();
    assert_eq!((first.status, second.status, third.status), (500, 429, 529));
    assert_eq!(second.header("retry-after"), Some("7"));
    assert_eq!(third.json()["error"]["type"], "overloaded_error");
    provider.script(ANY).clear();
    assert_eq!(ask(&provider, CHAT, "m", false).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_refused_key_is_refused_with_its_name_in_the_text() {
    let provider = Provider::start().unwrap();
    provider.refuse_key("sk-a", 401);
    let refused = ask(&provider, CHAT, "m", false).await.unwrap();
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("sk-a"));
    provider.accept_key("sk-a");
    assert_eq!(ask(&provider, CHAT, "m", false).await.unwrap().status, 200);
    assert_eq!(provider.keys()["sk-a"].refused, 1);
}

#[tokio::test]
async fn a_stream_is_cut_by_fin_by_rst_and_inside_an_event() {
    let provider = Provider::start().unwrap();
    let whole = events(Surface::Chat, "m", &Stream::default(), false).concat();
    for (reply, bytes) in [
        (Reply::cut(2, Ending::Close), None),
        (Reply::cut(2, Ending::Reset), None),
        (
            Reply::Stream(Stream {
                end: End::CutAt { bytes: 200, ending: Ending::Close },
                ..Stream::default()
            }),
            Some(200),
        ),
    ] {
        provider.script("m").reply(reply.clone());
        let answer = ask(&provider, CHAT, "m", true).await.unwrap();
        assert!(!answer.complete, "{reply:?}");
        assert!(whole.starts_with(&answer.body), "{reply:?}");
        assert!(bytes.is_none_or(|bytes| bytes == answer.body.len()), "{reply:?}");
    }
}

#[tokio::test]
async fn the_form_of_a_stream_is_as_told() {
    let provider = Provider::start().unwrap();
    let told = Stream { line_end: LineEnd::CrLf, bom: true, split: 3, words: 2, ..Stream::default() };
    provider.script("m").reply(Reply::Stream(told.clone()));
    let answer = ask(&provider, CHAT, "m", true).await.unwrap();
    let mut expected = b"\xef\xbb\xbf".to_vec();
    expected.extend(events(Surface::Chat, "m", &told, false).concat());
    assert_eq!(answer.body, expected);
    assert!(answer.text().ends_with("[DONE]\r\n\r\n"));

    let unmarked = Stream { end: End::NoMarker, ..Stream::default() };
    provider.script("m").reply(Reply::Stream(unmarked));
    let answer = ask(&provider, CHAT, "m", true).await.unwrap();
    assert!(answer.complete && !answer.text().contains("[DONE]"));
}

#[tokio::test]
async fn a_held_stream_goes_on_when_it_is_released() {
    let provider = Provider::start().unwrap();
    provider.script("m").reply(Reply::Stream(Stream { end: End::Hold { events: 2 }, ..Stream::default() }));
    let mut caller = Caller::connect(provider.address()).await.unwrap();
    caller.send(&post(CHAT, "sk-a", "", body("m", true).as_bytes())).await.unwrap();
    let before = caller.wait_for(b"word ").await.unwrap();
    assert!(!before.windows(6).any(|window| window == b"[DONE]"));
    assert!(provider.seen()[0].outcome.is_none());
    provider.release();
    caller.wait_for(b"data: [DONE]\n\n").await.unwrap();
}

#[tokio::test]
async fn framing_can_be_wrong() {
    let provider = Provider::start().unwrap();
    let answer = |framing| Reply::Whole(Whole { body: Bytes::from("12345"), framing, ..Whole::default() });
    for (framing, complete) in [
        (Framing::LengthOff(3), false),
        (Framing::LengthOff(-2), true),
        (Framing::UntilClose, true),
        (Framing::Both, true),
    ] {
        provider.script("m").reply(answer(framing));
        let got = ask(&provider, CHAT, "m", false).await.unwrap();
        assert_eq!(got.complete, complete, "{framing:?}");
    }
}

#[tokio::test]
async fn a_long_line_and_a_flood_of_comments_are_made_on_the_fly() {
    let provider = Provider::start().unwrap();
    provider
        .script("m")
        .reply(Reply::LongLine { bytes: 4 << 20 })
        .reply(Reply::CommentFlood { after: 1, comments: 2048 });
    let long = ask(&provider, CHAT, "m", true).await.unwrap();
    assert!(long.body.len() > 4 << 20);
    let flood = ask(&provider, CHAT, "m", true).await.unwrap();
    assert_eq!(flood.text().lines().filter(|line| line.starts_with(": ")).count(), 2048);
    assert!(flood.text().ends_with("[DONE]\n\n"));
}

#[tokio::test]
async fn interim_heads_drips_redirects_and_first_event_errors() {
    let provider = Provider::start().unwrap();
    let script = provider.script("m");
    script.reply(Reply::Interim { status: 103, times: 3 });
    assert_eq!(ask(&provider, CHAT, "m", false).await.unwrap().status, 200);
    script.reply(Reply::redirect(307, "http://127.0.0.2:1/v1"));
    let moved = ask(&provider, CHAT, "m", false).await.unwrap();
    assert_eq!((moved.status, moved.header("location")), (307, Some("http://127.0.0.2:1/v1")));
    script.reply(Reply::FirstEventError);
    let failed = ask(&provider, CHAT, "m", true).await.unwrap();
    assert!(failed.text().starts_with("data: {\"error\""));
    script.reply(Reply::Drip { gap: Duration::from_micros(1) });
    assert!(ask(&provider, CHAT, "m", true).await.unwrap().text().ends_with("[DONE]\n\n"));
}

#[tokio::test]
async fn it_knows_when_the_caller_left() {
    let provider = Provider::start().unwrap();
    provider.script("m").reply(Reply::Silent);
    provider.script("m").reply(Reply::Stream(Stream { end: End::Stall { events: 1 }, ..Stream::default() }));
    for round in 0..2 {
        let mut caller = Caller::connect(provider.address()).await.unwrap();
        caller.send(&post(CHAT, "sk-a", "", body("m", true).as_bytes())).await.unwrap();
        let arrived = provider.until(Duration::from_secs(5), |seen| seen.len() == round + 1).await;
        assert!(arrived.unwrap()[round].outcome.is_none());
        let left = Instant::now();
        drop(caller);
        let seen =
            provider.until(Duration::from_secs(5), |seen| seen[round].left_at().is_some()).await.unwrap();
        assert!(seen[round].left_after(left).unwrap() < Duration::from_millis(100));
    }
}

#[tokio::test]
async fn what_is_no_clean_request_is_kept_apart() {
    let provider = Provider::start().unwrap();
    for head in [
        "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\nx",
        "POST / HTTP/1.1\r\nbad name: 1\r\n\r\n",
        "junk\r\n\r\n",
    ] {
        let mut caller = Caller::connect(provider.address()).await.unwrap();
        caller.send(head.as_bytes()).await.unwrap();
        assert!(caller.closed().await.unwrap(), "{head}");
    }
    assert_eq!(provider.broken().len(), 4);
    assert_eq!(provider.requests(), 0);
}

#[tokio::test]
async fn accepted_keys_change_while_it_runs_and_uses_are_counted_with_times() {
    let provider = Provider::start().unwrap();
    provider.accept_only(&["sk-old"]);
    let ask = async |key: &str| {
        let mut caller = crate::caller::Caller::connect(provider.address()).await.unwrap();
        caller.ask(&crate::caller::post("/v1/chat/completions", key, "", br#"{"model":"m"}"#)).await.unwrap()
    };
    assert_eq!((ask("sk-old").await.status, ask("sk-new").await.status), (200, 401));
    provider.accept_key("sk-new");
    assert_eq!(ask("sk-new").await.status, 200);
    provider.refuse_key("sk-old", 401);
    let refused = ask("sk-old").await;
    assert_eq!(refused.status, 401);
    let error = refused.json()["error"].clone();
    assert_eq!(
        (&error["type"], &error["code"]),
        (&"invalid_request_error".into(), &"invalid_api_key".into())
    );
    let keys = provider.keys();
    assert_eq!((keys["sk-old"].requests, keys["sk-old"].refused), (2, 1));
    assert_eq!((keys["sk-new"].requests, keys["sk-new"].refused), (2, 1));
    assert!(keys["sk-old"].first < keys["sk-new"].first && keys["sk-new"].last < keys["sk-old"].last);
}
