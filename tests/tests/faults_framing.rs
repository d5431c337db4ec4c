//! Requests whose framing is broken or ambiguous, and bodies that are left unread: C3, C4 and C5 of the list of faults.

use std::time::Duration;

use keyway_e2e::gateway::{CHAT, Gateway, Outcome, TOKEN, chat, yaml};
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::provider::Provider;

fn start() -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    Ok((provider, gateway))
}

/// A request with these framing lines (each with its end) and this body as it stands on the wire.
fn framed(lines: &str, body: &str) -> Vec<u8> {
    format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {TOKEN}\r\n{lines}\r\n{body}")
        .into_bytes()
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// A request that must never be parsed: it stands where only a body or nothing may stand.
fn hidden() -> String {
    let body = chat("sim/hidden");
    format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn c3_broken_framing_is_400_closes_and_forwards_nothing() -> Outcome {
    let (provider, gateway) = start()?;
    let body = chat("sim/m");
    let length = body.len();
    let cases = [
        ("lengths that differ", format!("content-length: {length}\r\ncontent-length: 3\r\n"), body.clone()),
        ("a list of lengths", format!("content-length: {length}, 3\r\n"), body.clone()),
        ("a length with a sign", format!("content-length: +{length}\r\n"), body.clone()),
        ("a length that is no number", "content-length: 0x10\r\n".to_owned(), body.clone()),
        ("an unknown coding", "transfer-encoding: xchunked\r\n".to_owned(), chunked(&body)),
        ("chunked, then another", "transfer-encoding: chunked, gzip\r\n".to_owned(), chunked(&body)),
        ("a folded line", format!("x-a: 1\r\n folded\r\ncontent-length: {length}\r\n"), body.clone()),
        ("a blank before the colon", format!("content-length : {length}\r\n"), body.clone()),
        ("a NUL in a value", format!("x-a: a\0b\r\ncontent-length: {length}\r\n"), body.clone()),
        ("a bare CR in a value", format!("x-a: a\rb\r\ncontent-length: {length}\r\n"), body.clone()),
        (
            "a chunk size that is no number",
            "transfer-encoding: chunked\r\n".to_owned(),
            format!("zz\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk without its end",
            "transfer-encoding: chunked\r\n".to_owned(),
            format!("{length:x}\r\n{body}XX0\r\n\r\n"),
        ),
    ];
    for (name, lines, wire) in cases {
        let mut caller = gateway.connect().await?;
        caller.send(&[framed(&lines, &wire), hidden().into_bytes()].concat()).await?;
        let text = caller.rest().await.map_err(|error| format!("{name}: not closed: {error}"))?;
        let text = String::from_utf8(text.to_vec())?;
        assert!(text.starts_with("HTTP/1.1 400 "), "{name}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{name}: more than one answer: {text}");
        let models: Vec<_> = provider.seen().iter().map(|seen| seen.model()).collect();
        assert!(models.iter().all(|model| model == "good"), "{name}: forwarded {models:?}");
        gateway.goes_on(None).await.map_err(|error| format!("after {name}: {error}"))?;
    }
    assert!(provider.broken().is_empty());
    Ok(())
}

#[tokio::test]
async fn c3_where_framing_is_accepted_the_provider_sees_one_request_with_one_framing() -> Outcome {
    let (provider, gateway) = start()?;
    let body = chat("sim/m");
    let length = body.len();
    let bare = String::from_utf8(framed(&format!("content-length: {length}\r\n"), ""))?.replace("\r\n", "\n")
        + &body;
    let cases = [
        (
            "length and chunked",
            framed(&format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"), &chunked(&body)),
        ),
        (
            "chunked and length",
            framed(&format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"), &chunked(&body)),
        ),
        (
            "equal lengths twice",
            framed(&format!("content-length: {length}\r\ncontent-length: {length}\r\n"), &body),
        ),
        ("bare line feeds", bare.into_bytes()),
        (
            "chunk extensions",
            framed("transfer-encoding: chunked\r\n", &format!("{length:x};a=b\r\n{body}\r\n0\r\n\r\n")),
        ),
        (
            "trailers",
            framed("transfer-encoding: chunked\r\n", &format!("{length:x}\r\n{body}\r\n0\r\nx-t: 1\r\n\r\n")),
        ),
    ];
    for (name, bytes) in cases {
        let before = provider.requests();
        let mut caller = gateway.connect().await?;
        // What follows has no token: wherever the end of the first request is seen, it must not reach a provider.
        let answer = caller.ask(&[bytes, hidden().into_bytes()].concat()).await?;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        gateway.goes_on(None).await?;
        let seen = provider.seen();
        assert_eq!(
            seen.len(),
            before + 2,
            "{name}: {:?}",
            seen.iter().map(|seen| seen.model()).collect::<Vec<_>>()
        );
        let one = &seen[before];
        assert_eq!(one.body, chat("m"), "{name}");
        let framings = one.headers("content-length").len() + one.headers("transfer-encoding").len();
        assert_eq!(framings, 1, "{name}");
    }
    assert!(provider.broken().is_empty());
    Ok(())
}

/// Sends a request that is refused early, whose body looks like a request, and then a good one behind it.
async fn refused_then_good(gateway: &Gateway, refused: &[u8], status: u16) -> Outcome {
    let mut caller = gateway.connect().await?;
    // Where the body is not wanted the connection may be closed while it is still being sent.
    let _ = caller.send(refused).await;
    let answer =
        caller.answer().await.map_err(|error| format!("no answer for {} bytes: {error}", refused.len()))?;
    assert_eq!(answer.status, status, "{}", answer.text());
    gateway.goes_on(Some((&mut caller, &answer))).await
}

#[tokio::test]
async fn c4_a_body_left_unread_never_becomes_a_request() -> Outcome {
    const WRONG: &str = "kw-e2e-wrong-0123456789abcdefghij";
    let (provider, gateway) = start()?;
    let with_token = String::from_utf8(post(CHAT, TOKEN, "", chat("sim/hidden").as_bytes()))?;
    let small = with_token.repeat(4);
    let large = with_token.repeat((1 << 20) / with_token.len());
    for body in [&small, &large] {
        refused_then_good(&gateway, &post(CHAT, WRONG, "", body.as_bytes()), 401).await?;
        refused_then_good(&gateway, &post("/no/such/path", TOKEN, "", body.as_bytes()), 404).await?;
        let chunked = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        refused_then_good(&gateway, chunked.as_bytes(), 401).await?;
    }
    let models: Vec<_> = provider.seen().iter().map(|seen| seen.model()).collect();
    assert!(models.iter().all(|model| model == "good"), "a body was taken for requests: {models:?}");
    Ok(())
}

#[tokio::test]
async fn c4_a_refused_body_that_is_slow_to_come_is_not_waited_for() -> Outcome {
    let (provider, gateway) = start()?;
    let mut caller: Caller = gateway.connect().await?;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-length: 1000\r\n\r\n");
    let answer = tokio::time::timeout(Duration::from_secs(2), caller.ask(head.as_bytes())).await??;
    assert_eq!(answer.status, 401);
    // The rest of that body, made to look like a request, arrives after the answer.
    let late = String::from_utf8(post(CHAT, TOKEN, "", chat("sim/hidden").as_bytes()))?.repeat(5);
    // The connection may be closed already.
    let _ = caller.send(late.as_bytes()).await;
    gateway.goes_on(None).await?;
    assert!(provider.seen().iter().all(|seen| seen.model() == "good"));
    Ok(())
}

#[tokio::test]
async fn c4_expect_100_continue_is_answered_before_the_body_or_refused_without_it() -> Outcome {
    let (provider, gateway) = start()?;
    let body = chat("sim/m");
    let head = |token: &str| {
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {token}\r\nexpect: 100-continue\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )
    };
    let mut caller = gateway.connect().await?;
    caller.send(head(TOKEN).as_bytes()).await?;
    let interim = caller.wait_for(b"\r\n\r\n").await?;
    assert!(interim.starts_with(b"HTTP/1.1 100 "), "{interim:?}");
    let answer = caller.ask(body.as_bytes()).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(provider.seen()[0].header("expect"), None);
    gateway.goes_on(Some((&mut caller, &answer))).await?;

    let mut caller = gateway.connect().await?;
    caller.send(head("kw-e2e-wrong-0123456789abcdefghij").as_bytes()).await?;
    let first = caller.wait_for(b"\r\n\r\n").await?;
    assert!(first.starts_with(b"HTTP/1.1 401 "), "asked for a body that it refuses: {first:?}");
    Ok(())
}

// === C5 ===

#[tokio::test]
async fn c5_nothing_becomes_a_tunnel() -> Outcome {
    let (provider, gateway) = start()?;
    let target = provider.address();
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned();
    let connect =
        format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    for bytes in [preface, connect] {
        let mut caller = gateway.connect().await?;
        caller.send(bytes.as_bytes()).await?;
        // Some servers say nothing to a preface of another protocol.
        if let Ok((status, _)) = caller.head().await {
            assert!([400, 404, 405].contains(&status), "{bytes}: {status}");
        }
    }
    let body = chat("sim/m");
    for upgrade in ["websocket", "h2c"] {
        let lines =
            format!("connection: upgrade\r\nupgrade: {upgrade}\r\ncontent-length: {}\r\n", body.len());
        let answer = gateway.connect().await?.ask(&framed(&lines, &body)).await?;
        assert!([200, 400, 405].contains(&answer.status), "{upgrade}: {}", answer.text());
    }
    assert!(provider.seen().iter().all(|seen| seen.header("upgrade").is_none()));
    assert!(provider.broken().is_empty());
    gateway.goes_on(None).await
}

#[tokio::test]
async fn requests_sent_one_behind_the_other_are_answered_in_order() -> Outcome {
    let (provider, gateway) = start()?;
    let two =
        [framed("content-length: 0\r\n", ""), post(CHAT, TOKEN, "", chat("sim/second").as_bytes())].concat();
    let mut caller = gateway.connect().await?;
    let first = caller.ask(&two).await?;
    assert_eq!(first.status, 400, "{}", first.text());
    let second = caller.answer().await?;
    assert_eq!(
        (second.status, &*second.json()["model"].to_string()),
        (200, "\"second\""),
        "{}",
        second.text()
    );
    assert_eq!(provider.requests(), 1);
    Ok(())
}
