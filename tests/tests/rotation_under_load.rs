//! What Keyway is for: a provider key is replaced again and again while three replicas serve. No request fails, and from the
//! moment when the command says that a version is retired nobody uses it: from then on the provider refuses it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, Outcome, TOKEN, chat, streamed, yaml};
use keyway_e2e::inspect::children;
use keyway_testkit::load::{Counts, Done, Load, Running, wants_ok};
use keyway_testkit::process::{Keyway, Ran};
use keyway_testkit::provider::Provider;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Requests that are served while keys change, half of them streams.
const REQUESTS: u64 = 100_000;
const ROTATIONS: usize = 20;
/// On ten replicas.
const MANY_ROTATIONS: usize = 40;
/// From the commit that activates to the last acknowledgement of ten replicas. The reach is 50 ms; a test machine whose
/// cores also run callers and provider gets some more.
const ACK_LIMIT: Duration = Duration::from_millis(100);

fn load(gateway: &Gateway, body: String, callers: usize) -> Load {
    let complete = |done: &Done<'_>| -> Result<(), String> {
        wants_ok()(done)?;
        let stream = done.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        if stream && !done.body.ends_with(b"data: [DONE]\n\n") {
            Err("a cut stream".to_owned())
        } else {
            Ok(())
        }
    };
    Load {
        to: gateway.address,
        callers,
        path: CHAT.to_owned(),
        token: TOKEN.to_owned(),
        body: Bytes::from(body),
        pause: Duration::ZERO,
        check: Arc::new(complete),
    }
}

fn rotate(gateway: &Gateway, secret: &str) -> Outcome<Ran> {
    let file = gateway.keyway.write("new.key", secret)?;
    let file = file.to_str().unwrap_or_default();
    let args =
        ["--output", "json", "key", "rotate", "sim/main", "--from-file", file, "--overlap", "0s", "--wait"];
    Ok(tokio::task::block_in_place(|| gateway.keyway.cli(&args))?)
}

/// The last line of what the command printed: the result.
fn result(ran: &Ran) -> Outcome<Value> {
    let line = ran.stdout.lines().next_back().ok_or("it printed nothing")?;
    Ok(serde_json::from_str(line)?)
}

/// Rotates so often; gives from activation to last ACK of each, sorted.
fn rotations(gateway: &Gateway, provider: &Provider, times: usize) -> Outcome<Vec<Duration>> {
    let mut old = MAIN_KEY.to_owned();
    let mut acks = Vec::new();
    for n in 0..times {
        let new = format!("sk-sim-turn-{n:04}-0123456789abcdef");
        let ran = rotate(gateway, &new)?;
        assert_eq!(ran.code, Some(0), "rotation {n}: {ran:?}");
        // Whoever uses it from now on fails.
        provider.refuse_key(&old, 401);
        let view = result(&ran)?;
        let of = |field: &str| view.get(field).cloned().unwrap_or_default();
        assert_eq!((of("outcome"), of("failed")), ("retired".into(), 0.into()), "{view}");
        acks.push(Duration::from_micros(of("ack_micros").as_u64().ok_or("no time of the last ACK")?));
        old = new;
    }
    acks.sort_unstable();
    Ok(acks)
}

fn quantile(sorted: &[Duration], share: usize) -> Duration {
    sorted.get((sorted.len() * share / 100).min(sorted.len() - 1)).copied().unwrap_or_default()
}

/// Every retired key with what it did after it was refused: must be nothing.
fn used_after(provider: &Provider) -> Vec<(String, u64)> {
    let used = provider.keys().into_iter().filter(|(_, key)| key.refused > 0);
    used.map(|(key, one)| (key, one.refused)).collect()
}

async fn served(provider: &Provider, enough: u64, since: Instant) -> Outcome {
    while (provider.requests() as u64) < enough {
        assert!(since.elapsed() < Duration::from_secs(240), "{} requests", provider.requests());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn ended(all: Vec<Running>) -> Vec<Counts> {
    let mut counts = Vec::new();
    for one in all {
        counts.push(one.stop().await);
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_rotations_under_load_fail_no_request_and_leave_no_use_behind() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(3))?;
    let began = Instant::now();
    let loads = vec![load(&gateway, chat("sim/a"), 8).start(), load(&gateway, streamed("sim/b"), 8).start()];
    served(&provider, REQUESTS / 20, began).await?;
    let acks = rotations(&gateway, &provider, ROTATIONS)?;
    let in_time = provider.requests();
    served(&provider, REQUESTS, began).await?;
    let counts = ended(loads).await;
    let (plain, streams) = (counts[0].ok, counts[1].ok);
    println!(
        "{ROTATIONS} rotations on 3 replicas, {in_time} requests meanwhile, {plain} plain and {streams} streams in all in {:?}; \
         activation to last ACK: p50 {:?}, p99 {:?}; requests p50 {:?}, p99.9 {:?}, max {:?}",
        began.elapsed(),
        quantile(&acks, 50),
        quantile(&acks, 99),
        counts[0].quantile(0.5),
        counts[0].quantile(0.999),
        counts[0].quantile(1.0),
    );
    for one in &counts {
        assert_eq!(one.failures(), 0, "{:?}", one.failed);
        assert!(one.ok > REQUESTS / 5, "both kinds: {} of {REQUESTS}", one.ok);
    }
    assert_eq!(used_after(&provider), [], "a key was used after it was called retired");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_replicas_acknowledge_at_once() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(10))?;
    let loads = vec![Load { pause: Duration::from_millis(5), ..load(&gateway, chat("sim/a"), 4) }.start()];
    let acks = rotations(&gateway, &provider, MANY_ROTATIONS)?;
    println!(
        "{MANY_ROTATIONS} rotations on 10 replicas; activation to last ACK: p50 {:?}, p99 {:?}, max {:?}",
        quantile(&acks, 50),
        quantile(&acks, 99),
        quantile(&acks, 100),
    );
    for one in ended(loads).await {
        assert_eq!(one.failures(), 0, "{:?}", one.failed);
    }
    assert_eq!(used_after(&provider), []);
    assert!(quantile(&acks, 99) < ACK_LIMIT, "{acks:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_replica_is_named_and_holds_nobody_up() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(3))?;
    let frozen = children(gateway.keyway.pid())?.into_iter().next().ok_or("no replica")?;
    let frozen = i32::try_from(frozen).ok().and_then(Pid::from_raw).ok_or("no process")?;
    kill_process(frozen, Signal::STOP)?;
    let began = Instant::now();
    let ran = rotate(&gateway, "sk-sim-next-0123456789abcdef");
    let took = began.elapsed();
    kill_process(frozen, Signal::CONT)?;
    let ran = ran?;
    let view = result(&ran)?;
    println!("one of three frozen: {took:?}, exit {:?}, silent {}", ran.code, view["silent"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert_eq!(view["silent"].as_array().map(Vec::len), Some(1), "{view}");
    assert_eq!(view["acknowledged"], 2, "{view}");
    assert!(took < Duration::from_secs(5), "the deadline for ACKs is 2 s: {took:?}");
    // It goes on by itself once the frozen one answers again.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let ran = tokio::task::block_in_place(|| {
            gateway.keyway.cli(&["--output", "json", "key", "show", "sim/main"])
        })?;
        let key: Value = serde_json::from_str(&ran.stdout)?;
        if key["versions"][0]["state"] == "retired" {
            return Ok(());
        }
        assert!(Instant::now() < deadline, "{key}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
