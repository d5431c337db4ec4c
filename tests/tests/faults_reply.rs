//! Answers that no provider should give: U13, U16 to U19 and U23 of the list of faults.

use std::time::Duration;

use bytes::Bytes;
use keyway_e2e::expect::{anthropic_reason, assert_no_secret, openai_error, openai_reason};
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, MESSAGES, Outcome, TOKEN, chat, streamed, yaml};
use keyway_testkit::caller::post;
use keyway_testkit::provider::{Ending, Framing, Provider, Reply, Step, Surface, Whole, good};

fn single() -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    Ok((provider, gateway))
}

// === U13, U16 ===

/// A 200 that is JSON by its head, and whose length is known only at its end.
const EMPTY_IN_CHUNKS: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";

#[tokio::test]
async fn u13_a_200_that_is_a_web_page_or_empty_is_502_and_not_forwarded() -> Outcome {
    let (provider, gateway) = single()?;
    let page = "<html>log in to the network to go on</html>";
    let replies = [
        Reply::whole("text/html; charset=utf-8", page),
        Reply::Whole(Whole { body: page.into(), ..Whole::default() }),
        Reply::Whole(Whole::default()),
        Reply::whole("application/json", ""),
        Reply::whole("text/plain", page),
        Reply::Steps(vec![Step::Send(Bytes::from_static(EMPTY_IN_CHUNKS))]),
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        let model = format!("m{number}");
        provider.script(&model).always(reply.clone());
        for stream in [false, true] {
            let body = |name: &str| if stream { streamed(name) } else { chat(name) };
            let bytes = post(CHAT, TOKEN, "", body(&format!("sim/{model}")).as_bytes());
            let answer =
                gateway.ask_and_go_on(&bytes).await.map_err(|error| format!("{reply:?}: {error}"))?;
            openai_reason(&answer, 502, "upstream_error", "upstream_bad_content_type");
            assert!(!answer.text().contains("html"), "{}", answer.text());
            let bytes = post(MESSAGES, TOKEN, "", body(&format!("claude/{model}")).as_bytes());
            let answer = gateway.ask_and_go_on(&bytes).await?;
            anthropic_reason(&answer, 502, "api_error", "upstream_bad_content_type");
            assert!(!answer.text().contains("html"), "{}", answer.text());
        }
    }
    Ok(())
}

#[tokio::test]
async fn u13_an_event_stream_of_nothing_is_no_answer() -> Outcome {
    let (provider, gateway) = single()?;
    provider.script("m").always(Reply::whole("text/event-stream", ""));
    let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "", streamed("sim/m").as_bytes())).await?;
    openai_error(&answer, 502, "upstream_error");
    Ok(())
}

#[tokio::test]
async fn u16_an_encoded_reply_that_nobody_asked_for_is_502() -> Outcome {
    let (provider, gateway) = single()?;
    for kind in ["application/json", "text/event-stream"] {
        let headers = [("content-type", kind), ("content-encoding", "gzip")];
        provider.script("m").reply(Reply::Whole(Whole {
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0].into(),
            ..Whole::default()
        }));
        // Answers good ones to any further attempt would hide the fault.
        provider.script("m").always(Reply::Whole(Whole {
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            ..Whole::default()
        }));
        let body = if kind.starts_with("text") { streamed("sim/m") } else { chat("sim/m") };
        let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "", body.as_bytes())).await?;
        openai_reason(&answer, 502, "upstream_error", "upstream_bad_encoding");
    }
    assert_eq!(provider.seen()[0].header("accept-encoding"), Some("identity"));
    Ok(())
}

// === U17 ===

#[tokio::test]
async fn u17_a_reply_with_wrong_framing_poisons_no_connection() -> Outcome {
    let (provider, gateway) = single()?;
    let reply = |framing: Framing| {
        Reply::Whole(Whole {
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: good(Surface::Chat, "m"),
            framing,
            ..Whole::default()
        })
    };
    // Shorter than it says: a cut answer never reaches the caller.
    provider.script("short").always(reply(Framing::LengthOff(7)));
    let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "", chat("sim/short").as_bytes())).await?;
    openai_error(&answer, 502, "upstream_error");

    // Longer than it says, or two lengths: what is left over must not become the next answer.
    for (name, framing) in [("long", Framing::LengthOff(-7)), ("both", Framing::Both)] {
        provider.script(name).always(reply(framing));
        for _ in 0..3 {
            let answer = gateway.ask(CHAT, &chat(&format!("sim/{name}"))).await?;
            assert!([200, 502].contains(&answer.status), "{name}: {}", answer.text());
            if answer.status == 502 {
                openai_error(&answer, 502, "upstream_error");
            }
            let next = gateway.ask(CHAT, &chat("sim/good")).await?;
            assert_eq!(next.status, 200, "{name}: {}", next.text());
            assert_eq!(next.body, good(Surface::Chat, "good"), "{name}: bytes of another answer");
        }
    }
    Ok(())
}

#[tokio::test]
async fn u17_informational_heads_are_passed_over_and_a_flood_of_them_ends() -> Outcome {
    let (provider, gateway) = single()?;
    provider.script("few").always(Reply::Interim { status: 103, times: 3 });
    let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "", chat("sim/few").as_bytes())).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-interim"), None);

    provider.script("many").always(Reply::Interim { status: 103, times: 50_000 });
    let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "", chat("sim/many").as_bytes())).await?;
    assert!([200, 502].contains(&answer.status), "{}", answer.text());
    Ok(())
}

// === U19, U23 ===

#[tokio::test]
async fn u19_cookies_hop_by_hop_headers_and_our_key_are_stripped_from_replies() -> Outcome {
    let (provider, gateway) = single()?;
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("x-echo", format!("Bearer {MAIN_KEY}")),
        ("x-echo-plain", MAIN_KEY.to_owned()),
        ("set-cookie", "session=1".to_owned()),
        ("connection", "x-hop".to_owned()),
        ("x-hop", "1".to_owned()),
        ("proxy-authenticate", "Basic".to_owned()),
        ("keep-alive", "timeout=5".to_owned()),
        ("x-kept", "yes".to_owned()),
    ];
    provider.script("m").always(Reply::Whole(Whole {
        headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        body: good(Surface::Chat, "m"),
        ..Whole::default()
    }));
    let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "", chat("sim/m").as_bytes())).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_no_secret(&answer);
    for name in ["x-echo", "x-echo-plain", "set-cookie", "x-hop", "proxy-authenticate", "keep-alive"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("x-kept"), Some("yes"));
    Ok(())
}

#[tokio::test]
async fn u23_a_resting_connection_that_the_provider_closed_costs_no_request() -> Outcome {
    let (provider, gateway) = single()?;
    let body = good(Surface::Chat, "m");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let whole = Bytes::from([head.as_bytes(), &body].concat());
    for (name, wait) in [("at-once", 0), ("soon", 2), ("later", 20)] {
        for ending in [Ending::Close, Ending::Reset] {
            let steps =
                [Step::Send(whole.clone()), Step::Wait(Duration::from_millis(wait)), Step::End(ending)];
            provider.script(name).always(Reply::Steps(steps.to_vec()));
            for round in 0..10 {
                let answer = gateway.ask(CHAT, &chat(&format!("sim/{name}"))).await?;
                assert_eq!(answer.status, 200, "{name} {ending:?}, round {round}: {}", answer.text());
                assert_eq!(answer.body, body);
            }
        }
    }
    gateway.goes_on(None).await
}

// === U18 ===

#[tokio::test]
async fn u18_a_redirect_is_never_followed() -> Outcome {
    let (provider, gateway) = single()?;
    let elsewhere = Provider::start()?;
    for status in [301, 302, 303, 307, 308] {
        let model = format!("m{status}");
        provider
            .script(&model)
            .always(Reply::redirect(status, &format!("{}/chat/completions", elsewhere.base_url())));
        for stream in [false, true] {
            let body = |name: &str| if stream { streamed(name) } else { chat(name) };
            let bytes = post(CHAT, TOKEN, "", body(&format!("sim/{model}")).as_bytes());
            let answer = gateway.ask_and_go_on(&bytes).await?;
            openai_reason(&answer, 502, "upstream_error", "upstream_redirect");
            assert_eq!(answer.header("location"), None);
            let bytes = post(MESSAGES, TOKEN, "", body(&format!("claude/{model}")).as_bytes());
            anthropic_reason(&gateway.ask_and_go_on(&bytes).await?, 502, "api_error", "upstream_redirect");
        }
    }
    assert_eq!(elsewhere.connections(), 0, "the second host was connected to");
    Ok(())
}
