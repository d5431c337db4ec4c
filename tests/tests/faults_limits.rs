//! Limits of time that hold to an answer's last byte, and each for its own target: replies that pass through, fallbacks
//! with limits of their own, and pings in streams that are translated.

use std::time::{Duration, Instant};

use bytes::Bytes;
use keyway_e2e::expect::{openai_error, stream_error};
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, Outcome, TOKEN, chat, streamed};
use keyway_testkit::provider::{Ending, Provider, Reply, Step, Stream, Surface, events};

/// What the providers with limits may take in each phase.
const LIMIT: Duration = Duration::from_millis(800);
/// What a caller in a hurry allows.
const HURRY: Duration = Duration::from_millis(300);
/// How long the first target takes to fail: longer than the fallback may take.
const FIRST: Duration = Duration::from_millis(1200);
/// What a busy test machine may add.
const SLACK: Duration = Duration::from_secs(3);
/// Bytes of a reply that come before it stalls.
const PART: &str = "{\"id\":\"chatcmpl-1\",\"object\":\"chat.comple";

/// `sim` and `claude` have limits, `slow` has none. Each alias tries a model of `slow` before one of `sim`; each another,
/// since one that failed would be asked last the next time.
fn start() -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    let common =
        format!("base_url: \"{}\", keys: [{{ name: main, secret: {MAIN_KEY} }}]", provider.base_url());
    let limits = "timeouts: { total: 800ms, first_token: 800ms, idle: 800ms }";
    let both = |first: &str, then: &str| {
        format!(
            "{{ strategy: priority, targets: [{{ provider: slow, model: {first}, priority: 1 }}, \
             {{ provider: sim, model: {then}, priority: 2 }}] }}"
        )
    };
    let yaml = format!(
        "providers:\n  sim: {{ dialect: openai-chat, {limits}, {common} }}\n  \
         slow: {{ dialect: openai-chat, {common} }}\n  \
         claude: {{ dialect: anthropic-messages, auth: {{ header: x-api-key }}, {limits}, {common} }}\n\
         models:\n  alias-whole: {}\n  alias-stream: {}\n  alias-silent: {}\nclients:\n  tester: {{ token: {TOKEN} }}\n",
        both("late-1", "good"),
        both("late-2", "good"),
        both("late-3", "silent"),
    );
    let gateway = Gateway::start(&yaml)?;
    Ok((provider, gateway))
}

/// A reply with this line of its head about its length, of which nothing comes after its first bytes.
fn stalled(length: &str, part: &str) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{length}\r\n\r\n{part}");
    Reply::Steps(vec![Step::Send(Bytes::from(head)), Step::Wait(Duration::from_secs(60))])
}

#[tokio::test]
async fn a_reply_that_passes_through_and_stalls_is_cut_at_its_limit() -> Outcome {
    let (provider, gateway) = start()?;
    let chunk = format!("{:x}\r\n{PART}\r\n", PART.len());
    provider.script("chunked").always(stalled("transfer-encoding: chunked", &chunk));
    provider.script("large").always(stalled("content-length: 300000", PART));
    let hurry = format!("x-keyway-timeout-ms: {}\r\n", HURRY.as_millis());
    for model in ["sim/chunked", "sim/large"] {
        for (more, limit) in [("", LIMIT), (&*hurry, HURRY)] {
            let asked = Instant::now();
            let answer = gateway.ask_with(CHAT, more, &chat(model)).await?;
            let took = asked.elapsed();
            assert_eq!((answer.status, answer.text()), (200, PART), "{model}");
            assert!(!answer.complete, "{model}: half a reply looks whole");
            assert!(took >= limit && took < limit + SLACK, "{model}: {took:?} for a limit of {limit:?}");
        }
    }
    let seen = provider.until(SLACK, |seen| seen.iter().all(|seen| seen.left_at().is_some())).await;
    assert!(seen.is_ok(), "upstream was not cancelled at the limit");
    gateway.goes_on(None).await
}

#[tokio::test]
async fn a_fallbacks_own_limit_begins_with_it() -> Outcome {
    let (provider, gateway) = start()?;
    let failed = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
    let late = vec![Step::Wait(FIRST), Step::Send(Bytes::from_static(failed))];
    for model in ["late-1", "late-2", "late-3"] {
        provider.script(model).always(Reply::Steps(late.clone()));
    }
    provider.script("silent").always(Reply::Silent);
    for body in [chat("alias-whole"), streamed("alias-stream")] {
        let answer = gateway.ask(CHAT, &body).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let tried = [answer.header("x-keyway-target"), answer.header("x-keyway-attempts")];
        assert_eq!(tried, [Some("sim/good"), Some("2")]);
    }
    let asked = Instant::now();
    let answer = gateway.ask(CHAT, &chat("alias-silent")).await?;
    let took = asked.elapsed();
    // Its own limit is not the request's: the first one gets another try, and its word is the last.
    openai_error(&answer, 500, "upstream_error");
    let least = FIRST + LIMIT + FIRST;
    assert!(took >= least && took < least + SLACK, "{took:?}");
    Ok(())
}

/// A stream of messages whose first events come at once, then `amid` step by step, then the others and the
/// connection's end.
fn messages(amid: Vec<Step>) -> Reply {
    let mut first = events(Surface::Messages, "m", &Stream::default(), false);
    let rest = first.split_off(3.min(first.len()));
    let head = Bytes::from_static(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    );
    let (first, rest) = (Bytes::from(first.concat()), Bytes::from(rest.concat()));
    let begun = vec![Step::Send(head), Step::Send(first)];
    Reply::Steps([begun, amid, vec![Step::Send(rest), Step::End(Ending::Close)]].concat())
}

#[tokio::test]
async fn pings_count_as_life_where_they_are_translated_away() -> Outcome {
    let (provider, gateway) = start()?;
    for (model, sent) in [
        ("pings", Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n")),
        ("comments", Bytes::from_static(b": still here\r\n\r\n")),
    ] {
        let ping = || [Step::Wait(Duration::from_millis(150)), Step::Send(sent.clone())];
        provider.script(model).always(messages((0..8).flat_map(|_| ping()).collect()));
        let answer = gateway.ask(CHAT, &streamed(&format!("claude/{model}"))).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    }
    gateway.goes_on(None).await
}

#[tokio::test]
async fn a_drip_of_bytes_is_no_life_where_it_is_translated() -> Outcome {
    let (provider, gateway) = start()?;
    let drip = Step::Drip { bytes: Bytes::from(vec![b'x'; 800]), gap: Duration::from_millis(20) };
    let begun = Step::Send(Bytes::from_static(b"event: ping\ndata: {"));
    provider.script("drip").always(messages(vec![begun, drip]));
    let asked = Instant::now();
    let answer = gateway.ask(CHAT, &streamed("claude/drip")).await?;
    stream_error(&answer, CHAT, "upstream_idle_timeout");
    assert!(asked.elapsed() < LIMIT + SLACK, "{:?}", asked.elapsed());
    gateway.goes_on(None).await
}
