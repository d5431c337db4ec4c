//! What is revoked is cut under running requests: a whole data plane between a control plane and a provider of a few
//! lines each.

#![cfg(test)]

#[cfg(test)]
mod gateway;
#[cfg(test)]
#[path = "../peer/mod.rs"]
mod peer;
#[cfg(test)]
mod plane;
#[cfg(test)]
mod provider;

use gateway::{Gateway, PATIENCE, rest, until};
use keyway_proto::{fleet::v1::ProbeResult, snapshot::v1::CredentialState as Is};
use plane::State;
use std::time::{Duration, Instant};
use tokio::time::timeout;

async fn provider() -> String {
    provider::start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_ends_streams_in_band_and_within_milliseconds() {
    const STREAMS: usize = 200;
    let mut state = State::new(provider().await, &[(1, Is::Active)]);
    let mut gateway = Gateway::start(state.clone()).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = gateway.ask("stream").await;
        until(&mut stream, "hello").await;
        streams.push(stream);
    }
    state.keys = vec![(1, Is::Retiring), (2, Is::Active)];
    gateway.plane.push(state.clone()).await;
    assert_eq!(gateway.plane.use_of(1).await, Some((Is::Retiring, STREAMS as u64)), "retiring cuts nothing");
    state.keys = vec![(1, Is::Revoked), (2, Is::Active)];
    let began = Instant::now();
    gateway.plane.push(state).await;
    let acked = began.elapsed();
    for stream in &mut streams {
        let end = rest(stream).await;
        assert!(end.contains("credential_revoked") && !end.contains("[DONE]"), "{end}");
    }
    println!("{STREAMS} streams: ACK after {acked:?}, all cut after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(2));
    gateway.plane.until_unused(1).await;
    assert!(gateway.ops("/snapshot").await.contains(r#""state":"revoked""#));
    assert!(gateway.ops("/metrics").await.contains("keyway_cuts_total{reason=\"credential_revoked\"} 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_without_an_answer_goes_on_with_the_next_key() {
    let mut state = State::new(provider().await, &[(1, Is::Active)]);
    let mut gateway = Gateway::start(state.clone()).await;
    let mut waits = gateway.ask("silent-for-1").await;
    gateway.plane.until_used(1).await;
    state.keys = vec![(1, Is::Revoked), (2, Is::Active)];
    gateway.plane.push(state).await;
    let answer = rest(&mut waits).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-keyway-attempts: 2"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_passes_through_is_cut_and_so_is_one_that_its_caller_does_not_read() {
    let mut state = State::new(provider().await, &[(1, Is::Active)]);
    let mut gateway = Gateway::start(state.clone()).await;
    let mut passes = gateway.ask("half").await;
    until(&mut passes, "aaaa").await;
    let mut unread = gateway.ask("stream-endless").await;
    until(&mut unread, "hello").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    state.keys = vec![(1, Is::Revoked), (2, Is::Active)];
    gateway.plane.push(state).await;
    gateway.plane.until_unused(1).await;
    assert!(rest(&mut passes).await.len() < provider::PROMISED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_key_lets_streams_go_on() {
    let mut state = State::new(provider().await, &[(1, Is::Active)]);
    let mut gateway = Gateway::start(state.clone()).await;
    let mut stream = gateway.ask("stream-for-500-ms").await;
    until(&mut stream, "hello").await;
    state.keys = vec![(2, Is::Active)];
    gateway.plane.push(state).await;
    assert_eq!(gateway.plane.use_of(1).await, Some((Is::Unspecified, 1)));
    let end = rest(&mut stream).await;
    assert!(end.contains("[DONE]") && !end.contains("revoked"), "{end}");
    gateway.plane.until_unused(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_client_is_cut_and_gets_401() {
    let mut state = State::new(provider().await, &[(1, Is::Active)]);
    let mut gateway = Gateway::start(state.clone()).await;
    let mut stream = gateway.ask("stream").await;
    until(&mut stream, "hello").await;
    let mut waits = gateway.ask("silent-for-1").await;
    gateway.plane.until_in_flight(1, 2).await;
    state.token = "kw_2";
    gateway.plane.push(state).await;
    let end = rest(&mut stream).await;
    assert!(end.contains("client_revoked") && !end.contains("[DONE]"), "{end}");
    assert!(rest(&mut waits).await.starts_with("HTTP/1.1 401"));
    assert!(rest(&mut gateway.ask("echo").await).await.starts_with("HTTP/1.1 401"));
    gateway.plane.until_in_flight(1, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_new_key_falls_back_to_the_one_that_waits_to_go() {
    let mut state = State::new(provider().await, &[(1, Is::Active)]);
    let mut gateway = Gateway::start(state.clone()).await;
    state.keys = vec![(1, Is::Retiring), (provider::REFUSED, Is::Active)];
    gateway.plane.push(state).await;
    for _ in 0..3 {
        let answer = rest(&mut gateway.ask("echo").await).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("sk-1"), "{answer}");
    }
    let metrics = gateway.ops("/metrics").await;
    assert!(metrics.contains("keyway_key_standby_uses_total{key=\"p/main/1\"} 3"), "{metrics}");
    assert!(metrics.contains("keyway_key_refused_total{key=\"p/main/666\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withheld_keys_and_secrets_without_a_lease_are_named() {
    let mut state = State::new(provider().await, &[]);
    state.withheld = "secret_integrity";
    let mut gateway = Gateway::start(state.clone()).await;
    let answer = rest(&mut gateway.ask("echo").await).await;
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("secret_integrity"), "{answer}");
    state.keys = vec![(1, Is::Active)];
    state.lease_seconds = 1;
    gateway.plane.push(state.clone()).await;
    assert!(rest(&mut gateway.ask("echo").await).await.starts_with("HTTP/1.1 200"));
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let answer = rest(&mut gateway.ask("echo").await).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("secrets_unavailable"), "{answer}");
    assert!(gateway.ops("/readyz").await.contains("\"secrets_unavailable\":true"));
    gateway.plane.life_sign().await;
    let back = async {
        while !rest(&mut gateway.ask("echo").await).await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, back).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_staged_secret_is_probed_before_any_state_holds_it() {
    let mut gateway = Gateway::start(State::new(provider().await, &[])).await;
    let said = |result: ProbeResult| (result.status, result.key_invalid, result.reason);
    for (secret, status, key_invalid) in
        [("sk-1", 200, false), ("sk-666", 401, false), ("gemini-bad", 400, true), ("odd", 400, false)]
    {
        let result = gateway.plane.probe(secret).await;
        assert_eq!(said(result), (status, key_invalid, String::new()), "{secret}");
    }
    let own = said(gateway.plane.probe("").await);
    assert_eq!(own, (0, false, "no such key version here".to_owned()));
}
