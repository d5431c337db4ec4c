//! Providers that are too slow, each in its own phase: U5, U6, U11 and U12 of the list of faults.

use std::time::{Duration, Instant};

use bytes::Bytes;
use keyway_e2e::expect::{anthropic_error, openai_error, openai_reason, stream_error};
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, MESSAGES, Outcome, TOKEN, chat, streamed};
use keyway_testkit::caller::{Answer, post};
use keyway_testkit::provider::{End, Ending, Provider, Reply, Step, Stream, Surface, events};

/// What the provider of these tests may take in each phase.
const LIMIT: Duration = Duration::from_millis(800);
/// What a busy test machine may add.
const SLACK: Duration = Duration::from_secs(2);

fn start() -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    let base = provider.base_url();
    let common = format!(
        "base_url: \"{base}\", timeouts: {{ total: 800ms, first_token: 800ms, idle: 800ms }}, \
         keys: [{{ name: main, secret: {MAIN_KEY} }}]"
    );
    let yaml = format!(
        "providers:\n  sim: {{ dialect: openai-chat, {common} }}\n  \
         claude: {{ dialect: anthropic-messages, auth: {{ header: x-api-key }}, {common} }}\n\
         models:\n  alias-once: {{ retries: 0, targets: [{{ provider: sim, model: silent }}] }}\n\
         clients:\n  tester: {{ token: {TOKEN} }}\n"
    );
    let gateway = Gateway::start(&yaml)?;
    Ok((provider, gateway))
}

/// Asks and asserts that the answer came after the limit and not much later.
async fn timed(gateway: &Gateway, path: &str, more: &str, body: &str, limit: Duration) -> Outcome<Answer> {
    let asked = Instant::now();
    let answer = gateway.ask_with(path, more, body).await?;
    let took = asked.elapsed();
    assert!(took >= limit && took < limit + SLACK, "{took:?} for a limit of {limit:?}: {}", answer.text());
    Ok(answer)
}

#[tokio::test]
async fn u6_a_provider_that_never_answers_is_504() -> Outcome {
    let (provider, gateway) = start()?;
    provider.script("silent").always(Reply::Silent);
    let answer = timed(&gateway, CHAT, "", &chat("sim/silent"), LIMIT).await?;
    openai_error(&answer, 504, "upstream_timeout");
    let answer = timed(&gateway, CHAT, "", &streamed("sim/silent"), LIMIT).await?;
    openai_reason(&answer, 504, "upstream_timeout", "first_token_timeout");
    let answer = timed(&gateway, MESSAGES, "", &chat("claude/silent"), LIMIT).await?;
    anthropic_error(&answer, 504, "timeout_error");
    let seen = provider.until(SLACK, |seen| seen.iter().all(|seen| seen.left_at().is_some())).await;
    assert!(seen.is_ok(), "upstream was not cancelled at the limit");
    gateway.goes_on(None).await
}

#[tokio::test]
async fn u6_headers_alone_are_no_first_token() -> Outcome {
    let (provider, gateway) = start()?;
    provider
        .script("stall")
        .always(Reply::Stream(Stream { end: End::Stall { events: 0 }, ..Stream::default() }));
    let answer = timed(&gateway, CHAT, "", &streamed("sim/stall"), LIMIT).await?;
    openai_reason(&answer, 504, "upstream_timeout", "first_token_timeout");
    gateway.goes_on(None).await
}

#[tokio::test]
async fn u6_the_callers_own_limit_is_tighter() -> Outcome {
    const TIGHT: Duration = Duration::from_millis(150);
    let (provider, gateway) = start()?;
    provider.script("silent").always(Reply::Silent);
    for body in [chat("alias-once"), streamed("alias-once")] {
        let asked = Instant::now();
        let answer = timed(&gateway, CHAT, "x-keyway-timeout-ms: 150\r\n", &body, TIGHT).await?;
        openai_error(&answer, 504, "upstream_timeout");
        println!("150 ms asked for, {:?} taken", asked.elapsed());
    }
    assert!(provider.seen().iter().all(|seen| seen.header("x-keyway-timeout-ms").is_none()));
    let bad = gateway.ask_with(CHAT, "x-keyway-timeout-ms: soon\r\n", &chat("sim/good")).await?;
    openai_error(&bad, 400, "invalid_request");
    gateway.goes_on(None).await
}

#[tokio::test]
async fn u12_a_stream_that_stalls_ends_with_an_error_event() -> Outcome {
    let (provider, gateway) = start()?;
    provider
        .script("stall")
        .always(Reply::Stream(Stream { end: End::Stall { events: 3 }, ..Stream::default() }));
    for (path, name) in [(CHAT, "sim"), (MESSAGES, "claude")] {
        let answer = timed(&gateway, path, "", &streamed(&format!("{name}/stall")), LIMIT).await?;
        let before = stream_error(&answer, path, "upstream_idle_timeout");
        assert!(!before.is_empty());
    }
    let seen = provider.until(SLACK, |seen| seen.iter().all(|seen| seen.left_at().is_some())).await;
    assert!(seen.is_ok(), "upstream was not cancelled");
    gateway.goes_on(None).await
}

/// A stream whose head and first event come at once, then `rest` step by step, then the connection's end.
fn begun(rest: Vec<Step>) -> Reply {
    let first = events(Surface::Chat, "m", &Stream::default(), false).swap_remove(0);
    let head = Bytes::from_static(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    );
    Reply::Steps([vec![Step::Send(head), Step::Send(first)], rest, vec![Step::End(Ending::Close)]].concat())
}

#[tokio::test]
async fn u11_a_drip_of_bytes_that_never_makes_an_event_is_no_life() -> Outcome {
    let (provider, gateway) = start()?;
    let drip = Step::Drip { bytes: Bytes::from(vec![b'x'; 800]), gap: Duration::from_millis(20) };
    provider.script("drip").always(begun(vec![Step::Send(Bytes::from_static(b"data: {")), drip]));
    let answer = timed(&gateway, CHAT, "", &streamed("sim/drip"), LIMIT).await?;
    stream_error(&answer, CHAT, "upstream_idle_timeout");
    gateway.goes_on(None).await
}

#[tokio::test]
async fn u11_pings_count_as_life() -> Outcome {
    let (provider, gateway) = start()?;
    let ping = || [Step::Wait(Duration::from_millis(150)), Step::Send(Bytes::from_static(b": ping\n\n"))];
    let mut steps: Vec<_> = (0..8).flat_map(|_| ping()).collect();
    steps.push(Step::Send(Bytes::from_static(b"data: [DONE]\n\n")));
    provider.script("pings").always(begun(steps));
    let answer = gateway.ask(CHAT, &streamed("sim/pings")).await?;
    assert_eq!(answer.status, 200);
    assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    assert_eq!(answer.text().matches(": ping").count(), 8);
    Ok(())
}

#[tokio::test]
async fn u11_a_stream_may_last_longer_than_the_limit_for_whole_replies() -> Outcome {
    let (provider, gateway) = start()?;
    let slow = Stream { words: 12, gap: Duration::from_millis(80), ..Stream::default() };
    provider.script("slow").always(Reply::Stream(slow));
    let mut caller = gateway.connect().await?;
    let answer = caller.ask(&post(CHAT, TOKEN, "", streamed("sim/slow").as_bytes())).await?;
    assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    gateway.goes_on(Some((&mut caller, &answer))).await
}

#[tokio::test]
async fn u5_a_connect_that_hangs_ends_at_its_limit() -> Outcome {
    // A listener whose queue is full and never emptied: further connects hang.
    let listener = tokio::net::TcpSocket::new_v4()?;
    listener.bind("127.0.0.1:0".parse()?)?;
    let address = listener.local_addr()?;
    let _listener = listener.listen(1)?;
    let mut queued = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        queued.push(connected?);
        assert!(queued.len() < 64, "the queue never fills");
    }
    let gateway = Gateway::start(&format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"http://{address}/v1\", timeouts: {{ connect: 800ms }}, \
         keys: [{{ name: main, secret: {MAIN_KEY} }}] }}\nmodels:\n  alias-once: {{ retries: 0, targets: \
         [{{ provider: sim, model: m }}] }}\nclients:\n  tester: {{ token: {TOKEN} }}\n"
    ))?;
    let answer = timed(&gateway, CHAT, "", &chat("alias-once"), LIMIT).await?;
    openai_error(&answer, 504, "upstream_timeout");
    Ok(())
}
