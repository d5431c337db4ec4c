//! What providers can do before the first byte of an answer: U1, U2 and U3 of the list of faults.

use std::time::{Duration, Instant};

use keyway_e2e::expect::{anthropic_error, anthropic_reason, assert_no_secret, openai_error, openai_reason};
use keyway_e2e::gateway::{
    CHAT, Gateway, MAIN_KEY, MESSAGES, Outcome, SPARE_KEY, TOKEN, chat, streamed, yaml,
};
use keyway_testkit::caller::post;
use keyway_testkit::provider::{ANY, Ending, Failure, Provider, Reply, Surface, error};
use serde_json::Value;

/// Attempts that one request may make at most: one and two more.
const ATTEMPTS: usize = 3;

/// Two providers behind `alias-pair` (the first is tried first) and each alone as `one/…` and `two/…`.
fn pair(first: &str, second: &str) -> String {
    let line = |name: &str, base: &str| {
        format!(
            "  {name}: {{ dialect: openai-chat, base_url: \"{base}\", keys: [{{ name: main, secret: {MAIN_KEY} }}] }}\n"
        )
    };
    format!(
        "providers:\n{}{}models:\n  alias-pair:\n    strategy: priority\n    targets:\n      \
         - {{ provider: one, model: m, priority: 1 }}\n      - {{ provider: two, model: m, priority: 2 }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"alias-*\", \"one/*\", \"two/*\"] }}\n",
        line("one", first),
        line("two", second)
    )
}

fn two() -> Outcome<(Provider, Provider, Gateway)> {
    let (one, two) = (Provider::start()?, Provider::start()?);
    let gateway = Gateway::start(&pair(&one.base_url(), &two.base_url()))?;
    Ok((one, two, gateway))
}

fn single() -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    Ok((provider, gateway))
}

#[tokio::test]
async fn a_target_that_is_slower_than_its_own_limit_is_followed_by_the_next_and_rests() -> Outcome {
    let (one, two) = (Provider::start()?, Provider::start()?);
    let (slow, good) = (one.base_url(), two.base_url());
    let gateway = Gateway::start(&format!(
        r#"providers:
  one: {{ dialect: openai-chat, base_url: "{slow}", timeouts: {{ total: 300ms, first_token: 300ms }}, keys: [{{ name: main, secret: {MAIN_KEY} }}] }}
  two: {{ dialect: openai-chat, base_url: "{good}", keys: [{{ name: main, secret: {MAIN_KEY} }}] }}
models:
  alias-slow:
    strategy: priority
    targets: [{{ provider: one, model: m, priority: 1 }}, {{ provider: two, model: m, priority: 2 }}]
clients:
  tester: {{ token: {TOKEN} }}
"#
    ))?;
    one.script(ANY).always(Reply::Silent);
    for body in [chat("alias-slow"), streamed("alias-slow")] {
        let answer = gateway.ask(CHAT, &body).await?;
        assert_eq!(
            (answer.status, answer.header("x-keyway-target")),
            (200, Some("two/m")),
            "{}",
            answer.text()
        );
    }
    let alone = gateway.ask(CHAT, &chat("one/m")).await?;
    openai_reason(&alone, 504, "upstream_timeout", "upstream_timeout");
    Ok(())
}

// === U1 ===

#[tokio::test]
async fn u1_a_429_falls_over_to_the_next_target_and_cools_the_first() -> Outcome {
    let (one, two, gateway) = two()?;
    one.script(ANY).always(Reply::rate_limited("30"));
    for (round, stream) in [(1, false), (2, true)] {
        let body = if stream { streamed("alias-pair") } else { chat("alias-pair") };
        let answer = gateway.ask(CHAT, &body).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-keyway-target"), Some("two/m"));
        assert_eq!(one.requests(), 1, "round {round}: a cooled target was asked again");
        assert_eq!(two.requests(), round);
    }
    // A beat later whoever asks why learns that it rests.
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let ran = gateway.keyway.cli(&["explain", "--client", "tester", "--model", "alias-pair"])?;
        if ran.stdout.contains("one/main/1 rests for m on 1 of 1 replicas") {
            return Ok(());
        }
        assert!(Instant::now() < end, "{}", ran.stdout);
    }
}

#[tokio::test]
async fn u1_the_last_targets_429_passes_with_its_wait_and_its_body() -> Outcome {
    let (provider, gateway) = single()?;
    for (path, name, surface) in [(CHAT, "sim", Surface::Chat), (MESSAGES, "claude", Surface::Messages)] {
        let failure = Failure {
            status: 429,
            headers: vec![
                ("retry-after".to_owned(), "7".to_owned()),
                ("x-ratelimit-remaining-requests".to_owned(), "0".to_owned()),
            ],
            text: Some("slow down, please".to_owned()),
        };
        provider.script("m").always(Reply::Error(failure));
        let before = provider.requests();
        let body = chat(&format!("{name}/m"));
        let mut caller = gateway.connect().await?;
        let answer = caller.ask(&post(path, TOKEN, "", body.as_bytes())).await?;
        assert_eq!(answer.status, 429);
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"));
        assert_eq!(answer.body, error(surface, 429, "slow down, please"), "{}", answer.text());
        let tries = provider.requests() - before;
        assert!((1..=ATTEMPTS).contains(&tries), "{tries} attempts");
        // Cooled, but the only one: still tried, once.
        let again = caller.ask(&post(path, TOKEN, "", body.as_bytes())).await?;
        assert_eq!(again.status, 429);
        assert_eq!(provider.requests() - before, tries + 1, "the cooled target is tried once per request");
        provider.script("m").clear();
        assert_eq!(gateway.ask(path, &body).await?.status, 200);
        gateway.goes_on(Some((&mut caller, &again))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn u1_a_passing_error_that_quotes_the_key_is_redacted() -> Outcome {
    let (provider, gateway) = single()?;
    for status in [400, 404, 409, 413, 422, 429] {
        let model = format!("m{status}");
        provider.script(&model).always(Reply::status(status));
        let answer = gateway.ask(CHAT, &chat(&format!("sim/{model}"))).await?;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains("the simulator says"), "{}", answer.text());
        assert_no_secret(&answer);
    }
    Ok(())
}

// === U2 ===

#[tokio::test]
async fn u2_a_5xx_before_any_byte_is_retried_at_most_twice_and_then_told_in_our_words() -> Outcome {
    let (provider, gateway) = single()?;
    for (status, overloaded_or_api) in
        [(500, "api_error"), (502, "api_error"), (503, "overloaded_error"), (529, "overloaded_error")]
    {
        for (path, name) in [(CHAT, "sim"), (MESSAGES, "claude")] {
            let model = format!("m{status}");
            provider.script(&model).always(Reply::status(status));
            let before = provider.requests();
            let body = chat(&format!("{name}/{model}"));
            let answer = gateway.ask_and_go_on(&post(path, TOKEN, "", body.as_bytes())).await?;
            let tries = provider.seen()[before..].iter().filter(|seen| seen.model() == model).count();
            assert!((1..=ATTEMPTS).contains(&tries), "{status}: {tries} attempts");
            assert!(!answer.text().contains("the simulator says"), "upstream text: {}", answer.text());
            if path == MESSAGES {
                anthropic_error(&answer, status, overloaded_or_api);
                continue;
            }
            let error = openai_error(&answer, status, "upstream_error");
            let attempts = error["attempts"].as_array().cloned().unwrap_or_default();
            assert_eq!(attempts.len(), tries, "{}", answer.text());
            for attempt in attempts {
                assert_eq!(attempt["target"], format!("sim/{model}"));
                assert_eq!(attempt["status"], status);
                assert!(attempt["reason"].is_string(), "{attempt}");
            }
            provider.script(&model).clear();
            assert_eq!(gateway.ask(path, &body).await?.status, 200, "recovered");
        }
    }
    Ok(())
}

#[tokio::test]
async fn u2_a_5xx_falls_over_to_the_next_target() -> Outcome {
    for status in [500, 502, 503, 529] {
        let (one, two, gateway) = two()?;
        one.script(ANY).always(Reply::status(status));
        for stream in [false, true] {
            let body = if stream { streamed("alias-pair") } else { chat("alias-pair") };
            let answer = gateway.ask(CHAT, &body).await?;
            assert_eq!(answer.status, 200, "{status}: {}", answer.text());
            assert_eq!(answer.header("x-keyway-target"), Some("two/m"));
        }
        assert_eq!(two.requests(), 2);
        let told: u32 = gateway
            .ask(CHAT, &chat("alias-pair"))
            .await?
            .header("x-keyway-attempts")
            .unwrap_or("0")
            .parse()?;
        assert_eq!(told, 1, "a cooled target is passed over");
    }
    Ok(())
}

#[tokio::test]
async fn u2_connections_that_fail_or_end_without_an_answer_fall_over() -> Outcome {
    // A port on which nobody listens, and which nobody else gets meanwhile.
    let bound = tokio::net::TcpSocket::new_v4()?;
    bound.bind("127.0.0.1:0".parse()?)?;
    let nobody = bound.local_addr()?;
    let second = Provider::start()?;
    let gateway = Gateway::start(&pair(&format!("http://{nobody}/v1"), &second.base_url()))?;
    for body in [chat("alias-pair"), streamed("alias-pair")] {
        let answer = gateway.ask(CHAT, &body).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-keyway-target"), Some("two/m"));
    }
    let refused = gateway.ask(CHAT, &chat("one/m")).await?;
    openai_reason(&refused, 502, "upstream_error", "upstream_unreachable");
    assert!(!refused.text().contains(&nobody.to_string()), "an address: {}", refused.text());
    drop(gateway);

    for ending in [Ending::Close, Ending::Reset] {
        let (one, _two, gateway) = two()?;
        one.script(ANY).always(Reply::HangUp(ending));
        let answer = gateway.ask(CHAT, &chat("alias-pair")).await?;
        assert_eq!(answer.status, 200, "{ending:?}: {}", answer.text());
        assert_eq!(answer.header("x-keyway-target"), Some("two/m"));
    }
    Ok(())
}

#[tokio::test]
async fn u2_after_the_first_byte_nothing_is_tried_again() -> Outcome {
    let (one, two, gateway) = two()?;
    one.script(ANY).always(Reply::cut(2, Ending::Reset));
    let answer = gateway.ask(CHAT, &streamed("alias-pair")).await?;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("upstream_stream_cut"), "{}", answer.text());
    assert_eq!((one.requests(), two.requests()), (1, 0));
    Ok(())
}

#[tokio::test]
async fn u2_an_error_as_a_streams_first_event_falls_over_as_before_the_first_byte() -> Outcome {
    let (one, _two, gateway) = two()?;
    one.script(ANY).always(Reply::FirstEventError);
    let answer = gateway.ask(CHAT, &streamed("alias-pair")).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-keyway-target"), Some("two/m"), "{}", answer.text());
    assert!(answer.text().ends_with("data: [DONE]\n\n") && !answer.text().contains("overloaded"));
    Ok(())
}

#[tokio::test]
async fn u2_retries_stay_within_their_share_of_all_requests() -> Outcome {
    const REQUESTS: usize = 60;
    /// A fifth, or ten for each core in a window of ten seconds, of which the test may touch two.
    const RETRIES: usize = 50;
    let (provider, gateway) = single()?;
    provider.script(ANY).always(Reply::status(500));
    for number in 0..REQUESTS {
        // A model of its own each time, so that no cool-down hides the retries.
        assert_eq!(gateway.ask(CHAT, &chat(&format!("sim/m{number}"))).await?.status, 500);
    }
    let retries = provider.requests() - REQUESTS;
    println!("{REQUESTS} requests that fail: {retries} retries");
    assert!(retries <= RETRIES, "{retries} retries for {REQUESTS} requests");
    Ok(())
}

// === U3 ===

/// One provider with two keys of equal weight.
fn two_keys(provider: &Provider) -> String {
    let keys = |name: &str| {
        format!("[{{ name: main, secret: {MAIN_KEY} }}, {{ name: {name}, secret: {SPARE_KEY} }}]")
    };
    let base = provider.base_url();
    format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{base}\", keys: {0} }}\n  claude:\n    \
         dialect: anthropic-messages\n    base_url: \"{base}\"\n    auth: {{ header: x-api-key }}\n    keys: {0}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\", \"claude/*\"] }}\n",
        keys("spare")
    )
}

#[tokio::test]
async fn u3_a_refused_key_is_benched_and_another_is_used() -> Outcome {
    for status in [401, 403] {
        let provider = Provider::start()?;
        let gateway = Gateway::start(&two_keys(&provider))?;
        provider.refuse_key(MAIN_KEY, status);
        let mut caller = gateway.connect().await?;
        for round in 0..24 {
            let body = if round % 2 == 0 { chat("sim/m") } else { streamed("sim/m") };
            let answer = caller.ask(&post(CHAT, TOKEN, "", body.as_bytes())).await?;
            assert_eq!(answer.status, 200, "{status}, round {round}: {}", answer.text());
            assert_no_secret(&answer);
        }
        let keys = provider.keys();
        let main = keys.get(MAIN_KEY).copied().unwrap_or_default();
        assert_eq!((main.requests, main.refused), (1, 1), "{status}: the refused key is tried once");
        assert_eq!(keys.get(SPARE_KEY).map(|spare| spare.requests), Some(24));
    }
    Ok(())
}

#[tokio::test]
async fn u3_when_all_keys_are_refused_the_caller_never_sees_our_401() -> Outcome {
    for status in [401, 403] {
        let provider = Provider::start()?;
        let gateway = Gateway::start(&two_keys(&provider))?;
        for key in [MAIN_KEY, SPARE_KEY] {
            provider.refuse_key(key, status);
        }
        for stream in [false, true] {
            let body = |name: &str| if stream { streamed(name) } else { chat(name) };
            let answer = gateway.ask(CHAT, &body("sim/m")).await?;
            let error = openai_reason(&answer, 502, "upstream_error", "upstream_auth_failed");
            // Also where nothing was tried, since all keys rest.
            let target = error.pointer("/attempts/0/target").and_then(Value::as_str);
            assert_eq!(target, Some("sim/m"), "{}", answer.text());
            assert!(!answer.text().contains("the simulator says"), "{}", answer.text());
            let answer = gateway.ask(MESSAGES, &body("claude/m")).await?;
            anthropic_reason(&answer, 502, "api_error", "upstream_auth_failed");
            assert!(!answer.text().contains("the simulator says"), "{}", answer.text());
        }
        let tries: u64 = provider.keys().values().map(|key| key.requests).sum();
        assert!(tries <= 16, "{tries} requests with keys known to be refused");
    }
    Ok(())
}

#[tokio::test]
async fn u3_a_provider_whose_only_key_is_refused_falls_over_to_the_next_target() -> Outcome {
    let (one, two, gateway) = two()?;
    one.refuse_key(MAIN_KEY, 401);
    for round in 1..=4 {
        let answer = gateway.ask(CHAT, &chat("alias-pair")).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(two.requests(), round);
    }
    assert_eq!(one.requests(), 1, "benched after the first refusal");
    Ok(())
}
