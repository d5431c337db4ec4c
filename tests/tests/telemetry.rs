//! Traces of requests and metrics, as an operator sees them.

use keyway_e2e::collector::{Collector, Span};
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, Outcome, TOKEN, chat, streamed};
use keyway_testkit::caller::{Answer, Caller};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::{Ending, Provider, Reply, Stream, USAGE};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A span of the caller's, and all but the end of its traces' ids.
const TRACE: &str = "0af7651916cd43dd8448eb211c8031";
const CALLERS_SPAN: &str = "b7ad6b7169203331";
/// Words of prompts and answers, which no span may hold.
const PROMPT: &str = "tell-nobody-of-this-prompt";
const WORD: &str = "tell-nobody-of-this-answer ";

/// The server's span and the `N` attempts under it, oldest first.
fn tree<const N: usize>(spans: &[Span]) -> Outcome<(Span, [Span; N])> {
    let (mut servers, mut attempts): (Vec<Span>, Vec<Span>) =
        spans.iter().cloned().partition(|span| *span.at("/kind") == 2);
    let server = servers.pop().ok_or("no server span")?;
    assert!(servers.is_empty(), "{spans:?}");
    attempts.sort_by_key(|span| span.nanos("start"));
    for attempt in &attempts {
        assert_eq!(*attempt.at("/kind"), 3, "{attempt:?}");
        assert_eq!(attempt.text("parent"), server.text("id"), "{attempt:?}");
        assert!(attempt.nanos("start") >= server.nanos("start"), "{spans:?}");
        assert!(attempt.nanos("end") <= server.nanos("end"), "{spans:?}");
    }
    let attempts = attempts.try_into().map_err(|attempts| format!("not {N} attempts: {attempts:?}"))?;
    Ok((server, attempts))
}

/// `sim` answers; `alias-pair` tries `sim/down` first and `sim/m` then.
fn yaml(provider: &Provider) -> String {
    let base = provider.base_url();
    format!(
        r#"providers:
  sim: {{ dialect: openai-chat, base_url: "{base}", keys: [{{ name: main, secret: {MAIN_KEY} }}] }}
models:
  alias-pair:
    strategy: priority
    targets:
      - {{ provider: sim, model: down, priority: 1 }}
      - {{ provider: sim, model: m, priority: 2 }}
teams:
  blue: {{}}
clients:
  tester: {{ token: {TOKEN}, team: blue, models: ["sim/*", "alias-*"] }}
"#
    )
}

fn traced(provider: &Provider, collector: &str, delay: &str) -> Outcome<Gateway> {
    let up = Keyway::up().config(yaml(provider)).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
    Gateway::of(up.env("OTEL_BSP_SCHEDULE_DELAY", delay))
}

/// A trace of its own for each request of a test.
fn trace(number: u8) -> String {
    format!("{TRACE}{number:02x}")
}

async fn ask(gateway: &Gateway, trace: &str, body: &str) -> Outcome<Answer> {
    let context = format!("traceparent: 00-{trace}-{CALLERS_SPAN}-01\r\n");
    Ok(gateway.ask_with(CHAT, &context, &body.replace("\"hi\"", &format!("\"{PROMPT}\""))).await?)
}

#[tokio::test]
async fn one_request_is_one_trace_and_holds_no_secret() -> Outcome {
    let provider = Provider::start()?;
    provider.script("down").always(Reply::status(500));
    let slow =
        Stream { words: 3, word: WORD.to_owned(), gap: Duration::from_millis(100), ..Stream::default() };
    provider.script("slow").always(Reply::Stream(slow));
    provider.script("cut").always(Reply::cut(1, Ending::Reset));
    let mut collector = Collector::start()?;
    let gateway = traced(&provider, &collector.url(), "50")?;

    plain(&gateway, &mut collector).await?;
    stream(&gateway, &mut collector).await?;
    second_target(&gateway, &mut collector).await?;
    cut_stream(&gateway, &mut collector).await?;
    refused(&gateway, &mut collector).await?;

    let seen = provider.seen();
    assert!(!seen.is_empty());
    for request in &seen {
        assert_eq!(request.header("traceparent"), None, "a provider learnt of the caller's trace");
    }
    let printed = collector.printed();
    for secret in [TOKEN, MAIN_KEY, PROMPT, WORD.trim()] {
        assert!(!printed.contains(secret), "{secret} stands in a span");
    }
    Ok(())
}

async fn plain(gateway: &Gateway, collector: &mut Collector) -> Outcome {
    let answer = ask(gateway, &trace(1), &chat("sim/m")).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let spans = collector.spans(&trace(1), 2)?;
    let (server, [attempt]) = tree(&spans)?;
    assert_eq!(server.text("parent"), CALLERS_SPAN);
    assert_eq!(server.text("name"), "POST /v1/chat/completions");
    assert_eq!(server.text("resource/service.name"), "keyway-dataplane");
    assert!(!server.text("resource/service.instance.id").is_empty(), "{server:?}");
    server.assert(&[
        ("http.request.method", "POST"),
        ("http.route", "/v1/chat/completions"),
        ("http.response.status_code", "200"),
        ("keyway.client", "tester"),
        ("keyway.team", "blue"),
        ("keyway.request_id", answer.header("x-keyway-request-id").unwrap_or_default()),
        ("keyway.snapshot", answer.header("x-keyway-snapshot").unwrap_or_default()),
        ("error.type", ""),
    ]);
    assert_eq!(attempt.text("name"), "chat m");
    let (input, output) = (USAGE.0.to_string(), USAGE.1.to_string());
    attempt.assert(&[
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "sim"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.usage.input_tokens", &input),
        ("gen_ai.usage.output_tokens", &output),
        ("server.address", "127.0.0.1"),
        ("http.response.status_code", "200"),
        ("error.type", ""),
    ]);
    assert!(attempt.attribute("keyway.key").starts_with("sim/main"), "{attempt:?}");
    assert!(!server.is_error() && !attempt.is_error());
    Ok(())
}

async fn stream(gateway: &Gateway, collector: &mut Collector) -> Outcome {
    let answer = ask(gateway, &trace(2), &streamed("sim/slow")).await?;
    assert!(answer.complete && answer.text().contains("[DONE]"), "{}", answer.text());
    let spans = collector.spans(&trace(2), 2)?;
    let (server, [attempt]) = tree(&spans)?;
    let first = server.nanos("events/first_token");
    assert!(first >= server.nanos("start"), "{server:?}");
    // Two more words followed, 100 ms apart: the span lives as long as the stream.
    let after = Duration::from_nanos(server.nanos("end").saturating_sub(first));
    assert!(after >= Duration::from_millis(180), "{after:?} {server:?}");
    attempt.assert(&[("gen_ai.request.model", "slow"), ("http.response.status_code", "200")]);
    attempt.assert(&[("gen_ai.usage.output_tokens", &USAGE.1.to_string())]);
    Ok(())
}

async fn second_target(gateway: &Gateway, collector: &mut Collector) -> Outcome {
    let answer = ask(gateway, &trace(3), &chat("alias-pair")).await?;
    assert_eq!((answer.status, answer.header("x-keyway-attempts")), (200, Some("2")), "{}", answer.text());
    let spans = collector.spans(&trace(3), 3)?;
    let (server, [down, up]) = tree(&spans)?;
    server.assert(&[("http.response.status_code", "200"), ("error.type", "")]);
    down.assert(&[
        ("gen_ai.request.model", "down"),
        ("http.response.status_code", "500"),
        ("error.type", "upstream_status"),
        ("gen_ai.usage.output_tokens", ""),
    ]);
    up.assert(&[("gen_ai.request.model", "m"), ("http.response.status_code", "200")]);
    assert!(down.is_error() && !up.is_error() && !server.is_error());
    assert!(down.nanos("end") <= up.nanos("start"));
    Ok(())
}

async fn cut_stream(gateway: &Gateway, collector: &mut Collector) -> Outcome {
    let answer = ask(gateway, &trace(4), &streamed("sim/cut")).await?;
    assert!(answer.text().contains("upstream_error"), "{}", answer.text());
    let spans = collector.spans(&trace(4), 2)?;
    let (server, [attempt]) = tree(&spans)?;
    for span in [server, attempt] {
        span.assert(&[("error.type", "upstream_stream_cut"), ("http.response.status_code", "200")]);
        assert!(span.is_error());
    }
    Ok(())
}

async fn refused(gateway: &Gateway, collector: &mut Collector) -> Outcome {
    let answer = ask(gateway, &trace(5), &chat("other/m")).await?;
    assert_eq!(answer.status, 404, "{}", answer.text());
    let spans = collector.spans(&trace(5), 1)?;
    let (server, []) = tree(&spans)?;
    assert!(!server.is_error());
    server.assert(&[("error.type", "model_not_found"), ("http.response.status_code", "404")]);
    Ok(())
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_end_and_the_samplers_word_counts() -> Outcome {
    let provider = Provider::start()?;
    let mut collector = Collector::start()?;
    // An hour: only the end sends anything.
    let mut gateway = traced(&provider, &collector.url(), "3600000")?;
    assert_eq!(ask(&gateway, &trace(1), &chat("sim/m")).await?.status, 200);
    // This caller's trace is not recorded (flag 00).
    let context = format!("traceparent: 00-{}-{CALLERS_SPAN}-00\r\n", trace(2));
    assert_eq!(gateway.ask_with(CHAT, &context, &chat("sim/m")).await?.status, 200);
    let ended = gateway.keyway.process().stop()?;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", gateway.keyway.log());
    assert_eq!(collector.spans(&trace(1), 2)?.len(), 2);
    assert_eq!(collector.all().filter(|span| span.text("trace") == trace(2)).count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_away_costs_no_request_and_the_end_is_bounded() -> Outcome {
    let provider = Provider::start()?;
    // Takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut gateway = traced(&provider, &format!("http://{}", silent.local_addr()?), "50")?;
    for _ in 0..20 {
        assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    }
    let began = Instant::now();
    let ended = gateway.keyway.process().stop()?;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", gateway.keyway.log());
    // Two seconds for the last spans; the rest is a busy machine's.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    Ok(())
}

/// Every sample by its name and labels; fails on a line that is no Prometheus text.
async fn metrics(gateway: &Gateway) -> Outcome<BTreeMap<String, f64>> {
    let address = gateway.keyway.ops_url().trim_start_matches("http://").parse()?;
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let answer = Caller::connect(address).await?.ask(request).await?;
    assert_eq!(answer.status, 200);
    let mut samples = BTreeMap::new();
    let mut family = String::new();
    for line in answer.text().lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.split_once(' ').is_some_and(|(_, text)| !text.is_empty()), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').ok_or("a TYPE without a type")?;
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            name.clone_into(&mut family);
        } else {
            let (name, value) = line.rsplit_once(' ').ok_or_else(|| format!("no sample: {line}"))?;
            let bare = name.split('{').next().unwrap_or_default();
            assert!(bare.starts_with(&family) && !family.is_empty(), "{line} stands under {family}");
            assert!(name.ends_with('}') == name.contains('{'), "{line}");
            assert!(samples.insert(name.to_owned(), value.parse()?).is_none(), "twice: {line}");
        }
    }
    Ok(samples)
}

#[tokio::test]
async fn every_line_of_metrics_is_well_formed_and_counts_move() -> Outcome {
    let provider = Provider::start()?;
    provider.script("down").always(Reply::status(500));
    provider.script("held").always(Reply::Stream(Stream {
        end: keyway_testkit::provider::End::Hold { events: 1 },
        ..Stream::default()
    }));
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)))?;
    let before = metrics(&gateway).await?;
    assert_eq!(gateway.ask(CHAT, &chat("alias-pair")).await?.status, 200);
    assert_eq!(gateway.ask(CHAT, &streamed("sim/m")).await?.status, 200);
    assert_eq!(gateway.ask(CHAT, &chat("other/m")).await?.status, 404);
    let mut held = gateway.connect().await?;
    held.send(&keyway_testkit::caller::post(CHAT, TOKEN, "", streamed("sim/held").as_bytes())).await?;
    held.wait_for(b"data:").await?;
    // What was used stands here a few milliseconds after a request's end.
    let deadline = Instant::now() + Duration::from_secs(5);
    let during = loop {
        let during = metrics(&gateway).await?;
        let used = |name: &str| during.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
        if used("keyway_usage_requests_total{kept=\"record\"}") >= 3.0 {
            break during;
        }
        assert!(Instant::now() < deadline, "three requests are not metered after 5 s");
    };
    let moved = |name: &str| during.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
    for (name, by) in [
        ("keyway_requests_total{outcome=\"2xx\"}", 2.0),
        ("keyway_requests_total{outcome=\"4xx\"}", 1.0),
        ("keyway_request_duration_seconds_count", 3.0),
        ("keyway_request_duration_seconds_bucket{le=\"+Inf\"}", 3.0),
        ("keyway_first_token_seconds_count", 2.0),
        ("keyway_requests_in_flight", 1.0),
        ("keyway_attempts_total{outcome=\"answered\"}", 3.0),
        ("keyway_attempts_total{outcome=\"upstream_status\"}", 1.0),
        ("keyway_retries_total", 1.0),
        ("keyway_refusals_total{code=\"model_not_found\"}", 1.0),
        ("keyway_model_requests_total{target=\"sim/m\",outcome=\"served\"}", 2.0),
        ("keyway_tokens_total{target=\"sim/m\",kind=\"output\"}", 2.0 * USAGE.1 as f64),
        ("keyway_unpriced_requests_total{target=\"sim/m\"}", 2.0),
        ("keyway_spans_total{outcome=\"exported\"}", 0.0),
    ] {
        assert!((moved(name) - by).abs() < f64::EPSILON, "{name} moved by {} and not {by}", moved(name));
    }
    assert!(moved("keyway_uptime_seconds") > 0.0);
    assert!(during.get("keyway_snapshot_age_seconds").is_some_and(|age| *age > 0.0));
    Ok(())
}
