//! What callers can do to the gateway: C1, C2, C7, C14, C15 and C19 of the list of faults.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use keyway_e2e::expect::{anthropic_error, openai_error, openai_reason, stream_error};
use keyway_e2e::gateway::{CHAT, Gateway, MESSAGES, Outcome, TOKEN, chat, streamed, yaml};
use keyway_e2e::inspect::{forget_peak, peak_kib, resident_kib};
use keyway_testkit::caller::{Answer, Caller, post};
use keyway_testkit::provider::{End, Ending, Provider, Reply, Seen, Stream, Surface, events};
use serde_json::Value;

/// What nobody was given.
const WRONG: &str = "kw-e2e-wrong-0123456789abcdefghij";

fn request_with(path: &str, credential: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\n{credential}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

// === C1 ===

#[tokio::test]
async fn c1_missing_malformed_and_unknown_tokens_get_one_and_the_same_answer() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let unknown = format!("authorization: Bearer {WRONG}\r\n");
    let differing = format!("authorization: Bearer {TOKEN}\r\nx-api-key: {WRONG}\r\n");
    let mut texts = Vec::new();
    for credential in [
        "",
        "authorization: Bearer\r\n",
        "authorization: Basic a2V5\r\n",
        "x-api-key: kw\r\n",
        &unknown,
        &differing,
    ] {
        let answer = gateway.ask_and_go_on(&request_with(CHAT, credential, &chat("sim/m"))).await?;
        let error = openai_error(&answer, 401, "invalid_api_key");
        texts.push(error["message"].as_str().unwrap_or_default().to_owned());
        let answer = gateway.ask_and_go_on(&request_with(MESSAGES, credential, &chat("claude/m"))).await?;
        anthropic_error(&answer, 401, "authentication_error");
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    let models: Vec<_> = provider.seen().iter().map(|seen| seen.model()).collect();
    assert!(models.iter().all(|model| model == "good"), "went upstream: {models:?}");
    Ok(())
}

#[tokio::test]
async fn c1_the_time_of_a_refusal_does_not_tell_which_kind_it_is() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let unknown = format!("authorization: Bearer {WRONG}\r\n");
    // The last differs from a valid token in its last letter only.
    let near = format!("authorization: Bearer {}X\r\n", TOKEN.get(..TOKEN.len() - 1).unwrap_or_default());
    // Each kind from a source of its own, since sources that send wrong tokens are slowed down.
    let kinds = [
        ("", "127.0.0.31"),
        ("authorization: Basic a\r\n", "127.0.0.32"),
        (&*unknown, "127.0.0.33"),
        (&*near, "127.0.0.34"),
    ];
    // In turn, and the fastest of each counts: what the test machine does beside it only adds.
    let mut fastest = [Duration::MAX; 4];
    for _ in 0..16 {
        for ((credential, source), fastest) in kinds.iter().zip(&mut fastest) {
            let mut caller = Caller::connect_from(source.parse()?, gateway.address).await?;
            let asked = Instant::now();
            let answer = caller.ask(&request_with(CHAT, credential, &chat("sim/m"))).await?;
            *fastest = asked.elapsed().min(*fastest);
            assert_eq!(answer.status, 401);
        }
    }
    let (least, most) = (fastest.iter().min().copied(), fastest.iter().max().copied());
    let bound = least.unwrap_or_default() * 3 + Duration::from_millis(1);
    assert!(most.unwrap_or(Duration::MAX) < bound, "{fastest:?}");
    Ok(())
}

#[tokio::test]
async fn c1_a_source_of_wrong_tokens_is_slowed_down_and_a_valid_token_never() -> Outcome {
    const SLOW: Duration = Duration::from_millis(50);
    const MANY: usize = 60;
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let source: IpAddr = "127.0.0.41".parse()?;
    let wrong = post(CHAT, WRONG, "", chat("sim/m").as_bytes());
    let mut slowest = Duration::ZERO;
    for _ in 0..MANY {
        let asked = Instant::now();
        let answer = Caller::connect_from(source, gateway.address).await?.ask(&wrong).await?;
        assert_eq!(answer.status, 401);
        slowest = slowest.max(asked.elapsed());
        if slowest >= SLOW {
            break;
        }
    }
    assert!(slowest >= SLOW, "{MANY} wrong tokens, and the slowest answer took {slowest:?}");

    let mut times = Vec::new();
    for _ in 0..5 {
        let asked = Instant::now();
        let good = post(CHAT, TOKEN, "", chat("sim/good").as_bytes());
        let answer = Caller::connect_from(source, gateway.address).await?.ask(&good).await?;
        assert_eq!(answer.status, 200);
        times.push(asked.elapsed());
    }
    let median = {
        times.sort();
        times[times.len() / 2]
    };
    assert!(median < SLOW, "a valid token waits: {times:?}");
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let asked = Instant::now();
        let answer = Caller::connect_from("127.0.0.42".parse()?, gateway.address).await?.ask(&wrong).await?;
        assert_eq!(answer.status, 401);
        fastest = fastest.min(asked.elapsed());
    }
    assert!(fastest < SLOW, "another source waits: {fastest:?}");
    Ok(())
}

// === C2 ===

#[tokio::test]
async fn c2_a_model_that_is_not_allowed_is_403_and_an_unknown_one_404_with_near_names() -> Outcome {
    let provider = Provider::start()?;
    let file = yaml(&provider)
        + "  narrow: { token: kw-e2e-narrow-0123456789abcdef, models: [\"sim/one\", \"alias-public\"] }\n"
        + "models:\n  alias-public: { targets: [{ provider: sim, model: m }] }\n"
        + "  alias-hidden: { targets: [{ provider: sim, model: m }] }\n";
    let gateway = Gateway::start(&file)?;
    let ask = async |path: &str, model: &str| -> Outcome<Answer> {
        let bytes = post(path, "kw-e2e-narrow-0123456789abcdef", "", chat(model).as_bytes());
        gateway.ask_and_go_on(&bytes).await
    };
    openai_error(&ask(CHAT, "sim/two").await?, 403, "model_not_allowed");
    anthropic_error(&ask(MESSAGES, "claude/two").await?, 403, "permission_error");
    let unknown = ask(CHAT, "alias-publik").await?;
    openai_error(&unknown, 404, "model_not_found");
    assert!(unknown.text().contains("alias-public"), "no near name: {}", unknown.text());
    assert!(!unknown.text().contains("alias-hidden"), "a name of others: {}", unknown.text());
    anthropic_error(&ask(MESSAGES, "no-such-model").await?, 404, "not_found_error");
    let models: Vec<_> = provider.seen().iter().map(|seen| seen.model()).collect();
    assert!(models.iter().all(|model| model == "good"), "went upstream: {models:?}");
    Ok(())
}

// === C7 ===

#[tokio::test]
async fn c7_forwarding_and_internal_headers_are_dropped() -> Outcome {
    const DROPPED: [&str; 12] = [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "forwarded",
        "x-real-ip",
        "via",
        "x-keyway-tags",
        "x-keyway-cache",
        "cookie",
        "openai-organization",
        "openai-project",
        "accept-encoding",
    ];
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let mut more: String = DROPPED.iter().map(|name| format!("{name}: evil-value=1\r\n")).collect();
    more.push_str(
        "x-custom: kept\r\nconnection: x-hop\r\nx-hop: evil-value\r\nproxy-authorization: evil-value\r\n",
    );
    let mut caller = gateway.connect().await?;
    let answer = caller.ask(&post(CHAT, TOKEN, &more, chat("sim/m").as_bytes())).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = provider.seen().remove(0);
    let head = std::str::from_utf8(&seen.head)?.to_owned();
    assert!(!head.contains("evil-value") && !head.contains(TOKEN), "{head}");
    assert_eq!(seen.header("x-custom"), Some("kept"));
    assert_eq!(seen.header("host"), Some(&*provider.address().to_string()));
    gateway.goes_on(None).await
}

#[tokio::test]
async fn c7_a_body_that_names_a_destination_is_refused() -> Outcome {
    let provider = Provider::start()?;
    let elsewhere = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    for field in ["api_base", "base_url"] {
        let body = format!(r#"{{"model":"sim/m","{field}":"{}","messages":[]}}"#, elsewhere.base_url());
        let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "", body.as_bytes())).await?;
        let code = answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        assert!(["invalid_request", "unsupported"].contains(&&*code), "{}", answer.text());
        let error = openai_reason(&answer, 400, &code, "unsupported_parameter");
        assert_eq!(error["param"], field);
    }
    assert_eq!(elsewhere.connections(), 0);
    assert!(provider.seen().iter().all(|seen| seen.model() == "good"));
    Ok(())
}

// === C14 ===

#[tokio::test]
async fn c14_a_caller_that_does_not_read_holds_the_provider_back_and_no_memory() -> Outcome {
    const EVENTS: u32 = 4_000;
    let provider = Provider::start()?;
    let form = Stream { words: EVENTS, word: "x".repeat(8 << 10), ..Stream::default() };
    provider.script("large").always(Reply::Stream(form.clone()));
    let gateway = Gateway::start(&yaml(&provider))?;
    gateway.goes_on(None).await?;
    let pid = gateway.keyway.pid();
    forget_peak(pid)?;
    let before = resident_kib(pid)?;
    let place = provider.requests();
    let mut caller = gateway.connect().await?;
    let body = streamed("sim/large")
        .replace(r#""stream":true"#, r#""stream":true,"stream_options":{"include_usage":true}"#);
    caller.send(&post(CHAT, TOKEN, "", body.as_bytes())).await?;
    // 32 MiB are ready; nobody reads. The whole second is what is observed.
    let done = provider
        .until(Duration::from_secs(1), |seen| seen.get(place).is_some_and(|seen| seen.outcome.is_some()));
    assert!(done.await.is_err(), "the provider could send everything though nobody reads");
    let grown = peak_kib(pid)?.saturating_sub(before);
    println!("32 MiB ready and unread: {grown} KiB more at the peak");
    assert!(grown < 4 << 10, "{grown} KiB for one stream that is not read");
    let answer = caller.answer().await?;
    assert!(
        answer.complete && answer.body == events(Surface::Chat, "large", &form, true).concat(),
        "other bytes"
    );
    Ok(())
}

#[tokio::test]
async fn c14_a_caller_that_takes_nothing_for_a_minute_is_closed_and_its_usage_settled() -> Outcome {
    const LIMIT: Duration = Duration::from_secs(60);
    let provider = Provider::start()?;
    let form = Stream { words: 4_000, word: "x".repeat(8 << 10), ..Stream::default() };
    provider.script("large").always(Reply::Stream(form));
    let gateway = Gateway::start(&yaml(&provider))?;
    let mut caller = gateway.connect().await?;
    caller.send(&post(CHAT, TOKEN, "", streamed("sim/large").as_bytes())).await?;
    caller.wait_for(b"data:").await?;
    let begun = Instant::now();
    let gone = |seen: &[Seen]| seen.first().is_some_and(|seen| seen.left_at().is_some());
    let seen =
        provider.until(LIMIT * 2, gone).await.map_err(|_| "the provider still waits for its reader")?;
    let after = seen.first().and_then(|seen| seen.left_after(begun)).ok_or("it did not leave")?;
    println!("cut after {after:?}");
    assert!(after >= LIMIT - Duration::from_secs(1), "cut after {after:?} already");
    let end = Instant::now() + Duration::from_secs(20);
    let record = loop {
        let logs = gateway.keyway.cli(&["logs", "--output", "json"])?;
        if let Some(line) = logs.stdout.lines().next() {
            break serde_json::from_str::<Value>(line)?;
        }
        assert!(Instant::now() < end, "no record: {logs:?}");
    };
    assert_eq!(record["reason"], "downstream_stall", "{record}");
    assert!(
        record["usage"]["input_tokens"].as_u64() > Some(0)
            && record["usage"]["output_tokens"].as_u64() > Some(0),
        "{record}"
    );
    gateway.goes_on(None).await
}

// === C19 ===

#[tokio::test]
async fn c19_a_token_in_the_query_is_taken_and_goes_no_further() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    for (query, upstream) in [
        (format!("?key={TOKEN}"), ""),
        (format!("?key={TOKEN}&beta=true"), "?beta=true"),
        (format!("?beta=true&key={TOKEN}&x=%20"), "?beta=true&x=%20"),
    ] {
        let place = provider.requests();
        let bytes = request_with(&format!("{CHAT}{query}"), "", &chat("sim/m"));
        let answer = gateway.ask_and_go_on(&bytes).await?;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let seen = provider.seen();
        assert_eq!(seen[place].target(), format!("{CHAT}{upstream}"));
    }
    assert!(!gateway.keyway.log().contains(TOKEN), "a token in the log");
    Ok(())
}

// === C15 ===

/// How soon the provider must see that nobody waits any more.
const CANCEL: Duration = Duration::from_millis(100);

/// Asks, leaves, and gives how long afterwards the provider saw it.
async fn leave(gateway: &Gateway, provider: &Provider, path: &str, body: &str) -> Outcome<Duration> {
    let place = provider.requests();
    let mut caller = gateway.connect().await?;
    caller.send(&post(path, TOKEN, "", body.as_bytes())).await?;
    let came = provider.until(Duration::from_secs(5), |seen| seen.len() > place).await;
    came.map_err(|seen| format!("{path} did not arrive: {} requests", seen.len()))?;
    if !body.contains("/silent") {
        caller.wait_for(b"data:").await?;
    }
    let left = Instant::now();
    drop(caller);
    let gone = |seen: &[Seen]| seen.get(place).is_some_and(|seen| seen.left_at().is_some());
    let seen = provider.until(Duration::from_secs(5), gone).await;
    let seen = seen.map_err(|_| format!("{path} {body}: upstream goes on for 5 s"))?;
    assert_eq!(seen.len(), place + 1, "tried again for nobody");
    Ok(seen.get(place).and_then(|seen| seen.left_after(left)).unwrap_or(Duration::MAX))
}

/// Leaves three times; the middle one counts, since the test machine may be busy with something else.
async fn leave_and_judge(gateway: &Gateway, provider: &Provider, path: &str, body: &str) -> Outcome {
    let mut times = Vec::new();
    for _ in 0..3 {
        times.push(leave(gateway, provider, path, body).await?);
    }
    times.sort();
    let middle = times.get(1).copied().unwrap_or(Duration::MAX);
    assert!(middle <= CANCEL, "{path} {body}: upstream was cancelled after {times:?}");
    Ok(())
}

#[tokio::test]
async fn c15_a_caller_that_leaves_cancels_upstream_within_100_ms() -> Outcome {
    let provider = Provider::start()?;
    let stalled = Stream { end: End::Stall { events: 3 }, ..Stream::default() };
    let busy = Stream { words: 2_000, gap: Duration::from_millis(5), ..Stream::default() };
    provider.script("silent").always(Reply::Silent);
    provider.script("stalled").always(Reply::Stream(stalled));
    provider.script("busy").always(Reply::Stream(busy));
    let gateway = Gateway::start(&yaml(&provider))?;
    for (path, name) in [(CHAT, "sim"), (MESSAGES, "claude")] {
        leave_and_judge(&gateway, &provider, path, &chat(&format!("{name}/silent"))).await?;
        for model in ["silent", "stalled", "busy"] {
            leave_and_judge(&gateway, &provider, path, &streamed(&format!("{name}/{model}"))).await?;
        }
    }
    gateway.goes_on(None).await
}

#[tokio::test]
async fn c15_a_caller_that_stays_gets_an_error_event_when_the_provider_leaves() -> Outcome {
    let provider = Provider::start()?;
    provider.script("m").always(Reply::cut(2, Ending::Close));
    let gateway = Gateway::start(&yaml(&provider))?;
    let answer = gateway.ask_and_go_on(&post(CHAT, TOKEN, "", streamed("sim/m").as_bytes())).await?;
    stream_error(&answer, CHAT, "upstream_stream_cut");
    Ok(())
}
