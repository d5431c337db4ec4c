//! Keys are rotated one after the other while replicas serve: no request fails, and no key is used after the command
//! said that it is retired.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, Outcome, TOKEN, chat, streamed};
use keyway_e2e::rotation::{Change, quantile, rotate, rotate_from_file, secret, until, yaml};
use keyway_testkit::load::{Done, Load, Running};
use keyway_testkit::process::{Keyway, binary};
use keyway_testkit::provider::Provider;

/// Requests during the rotations, half of them streams.
const REQUESTS: u64 = 100_000;
/// The same under `cargo xtask test --long`.
const LONG_REQUESTS: u64 = 1_000_000;
const ROTATIONS: u32 = 20;
/// Callers of each kind.
const CALLERS: usize = 8;

const LATENCY_ROTATIONS: u32 = 40;
/// The same under `cargo xtask test --long`.
const LONG_LATENCY_ROTATIONS: u32 = 100;

/// Activation to last acknowledgement at p99 with ten replicas.
const ACK_BOUND: Duration = Duration::from_millis(50);
/// The same of programs built without optimisation, on a machine on which more runs: no promise, but still far below
/// what a timer or a heartbeat in the way would cost.
const DEBUG_ACK_BOUND: Duration = Duration::from_millis(800);

/// Until the load has moved on by its next share, on a busy machine.
const SHARE_LIMIT: Duration = Duration::from_secs(120);

fn is_long() -> bool {
    std::env::var_os("KEYWAY_LONG").is_some()
}

/// Callers of whole replies and of streams, until both are stopped.
struct Traffic {
    /// By kind.
    served: [Arc<AtomicU64>; 2],
    whole: Running,
    streams: Running,
}

// === impl Traffic ===

impl Traffic {
    fn start(gateway: &Gateway, callers: usize, pause: Duration) -> Self {
        let served: [Arc<AtomicU64>; 2] = Default::default();
        let load = |kind: &Arc<AtomicU64>, body: String, end: &'static [u8]| {
            let served = Arc::clone(kind);
            let check = move |done: &Done<'_>| {
                served.fetch_add(1, Ordering::Relaxed);
                match (done.status, done.body.ends_with(end)) {
                    (StatusCode::OK, true) => Ok(()),
                    (StatusCode::OK, false) => Err(format!("without its end: {:?}", done.body)),
                    (status, _) => Err(format!("status {status}: {:?}", done.body)),
                }
            };
            Load {
                to: gateway.address,
                callers,
                path: CHAT.to_owned(),
                token: TOKEN.to_owned(),
                body: Bytes::from(body),
                pause,
                check: Arc::new(check),
            }
        };
        let [whole, streams] = &served;
        let whole = load(whole, chat("sim/m"), b"}").start();
        let streams = load(streams, streamed("sim/m"), b"data: [DONE]\n\n").start();
        Self { served, whole, streams }
    }

    /// Waits for so many requests, half of them streams.
    async fn reaches(&self, count: u64) -> Outcome {
        let half = |one: &Arc<AtomicU64>| one.load(Ordering::Relaxed) >= count / 2;
        until(SHARE_LIMIT, &format!("{count} requests served"), || Ok(self.served.iter().all(half))).await
    }

    /// What came of both, in words; nothing may have failed.
    async fn stop(self) -> String {
        let mut told = Vec::new();
        for (kind, running) in [("whole", self.whole), ("streamed", self.streams)] {
            let counts = running.stop().await;
            assert_eq!(counts.failures(), 0, "{kind}: {:?}", counts.failed);
            let [p50, p99, worst] = [0.5, 0.99, 1.0].map(|share| counts.quantile(share));
            told.push(format!("{} {kind}: p50 {p50:?}, p99 {p99:?}, the slowest {worst:?}", counts.ok));
        }
        told.join("\n")
    }
}

/// Rotates once; from the moment when the command says retired, the provider refuses the old key.
fn next(gateway: &Gateway, provider: &Provider, number: u32, replicas: u64) -> Outcome<Change> {
    let old = if number == 1 { MAIN_KEY.to_owned() } else { secret(number - 1) };
    let new = secret(number);
    provider.accept_key(&new);
    let from = if number.is_multiple_of(2) { rotate } else { rotate_from_file };
    let args = ["--overlap", "0s", "--wait", "retired"];
    let change = tokio::task::block_in_place(|| from(&gateway.keyway, &new, &args))?;
    provider.refuse_key(&old, 401);
    change.ends("retired");
    assert_eq!((change.number("acknowledged"), change.number("replicas")), (Some(replicas), Some(replicas)));
    Ok(change)
}

/// Every key of the test was used, and none after it was retired.
fn assert_none_used_after(provider: &Provider, rotations: u32) {
    let keys = provider.keys();
    let late: BTreeMap<_, _> = keys.iter().filter(|(_, one)| one.refused > 0).collect();
    assert!(late.is_empty(), "used after they were retired: {late:?}");
    assert_eq!(keys.len(), rotations as usize + 1, "{keys:?}");
}

/// How long the last acknowledgement took at p99, and more of it in words.
fn told(changes: &[Change]) -> Outcome<(Duration, String)> {
    let acks: Option<Vec<Duration>> = changes.iter().map(Change::last_ack).collect();
    let acks = acks.ok_or("a rotation without ack_micros")?;
    let took: Vec<Duration> = changes.iter().map(|change| change.took).collect();
    let [p50, p99, worst] = [0.5, 0.99, 1.0].map(|share| quantile(&acks, share));
    let [whole_p50, whole_p99] = [0.5, 0.99].map(|share| quantile(&took, share));
    let words = format!(
        "{} rotations: activation to last ACK p50 {p50:?}, p99 {p99:?}, the slowest {worst:?}\n\
         the whole command, until retired: p50 {whole_p50:?}, p99 {whole_p99:?}",
        changes.len()
    );
    Ok((p99, words))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_rotations_under_load_fail_no_request_and_no_old_key_is_used_again() -> Outcome {
    let provider = Provider::start()?;
    provider.accept_only(&[MAIN_KEY]);
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(3))?;
    let requests = if is_long() { LONG_REQUESTS } else { REQUESTS };
    let traffic = Traffic::start(&gateway, CALLERS, Duration::ZERO);
    let share = requests / u64::from(ROTATIONS + 1);
    let mut changes = Vec::new();
    for number in 1..=ROTATIONS {
        traffic.reaches(share * u64::from(number)).await?;
        changes.push(next(&gateway, &provider, number, 3)?);
    }
    traffic.reaches(requests).await?;
    println!("{}\n{}", traffic.stop().await, told(&changes)?.1);
    assert_none_used_after(&provider, ROTATIONS);
    let served: u64 = changes.iter().filter_map(|change| change.number("served_new")).sum();
    assert!(served > 0, "no rotation saw a request on its new key");
    gateway.goes_on(None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_replicas_acknowledge_within_the_bound() -> Outcome {
    let provider = Provider::start()?;
    provider.accept_only(&[MAIN_KEY]);
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(10))?;
    let rotations = if is_long() { LONG_LATENCY_ROTATIONS } else { LATENCY_ROTATIONS };
    let traffic = Traffic::start(&gateway, 2, Duration::from_millis(20));
    let mut changes = Vec::new();
    for number in 1..=rotations {
        changes.push(next(&gateway, &provider, number, 10)?);
    }
    let (p99, words) = told(&changes)?;
    println!("{}\n{words}", traffic.stop().await);
    assert_none_used_after(&provider, rotations);
    let bound = if binary("keyway")?.components().any(|part| part.as_os_str() == "debug") {
        DEBUG_ACK_BOUND
    } else {
        ACK_BOUND
    };
    assert!(p99 < bound, "p99 of activation to last ACK is {p99:?}, and may be {bound:?}");
    Ok(())
}
