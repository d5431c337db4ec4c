//! A gateway that is its own provider: C18 of the list of faults. And a body that stops coming: C9.

use std::time::{Duration, Instant};

use keyway_e2e::expect::openai_reason;
use keyway_e2e::gateway::{CHAT, Gateway, Outcome, TOKEN, chat, yaml};
use keyway_testkit::provider::Provider;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What one request becomes before it is known to go in a ring: itself, and three hops.
const HOPS: u64 = 4;

/// A body that brings nothing is given up after thirty seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests that the gateway has begun.
async fn begun(gateway: &Gateway) -> Outcome<u64> {
    let text = reqwest::get(format!("{}/metrics", gateway.keyway.ops_url())).await?.text().await?;
    let ended = text.lines().filter(|line| line.starts_with("keyway_requests_total{"));
    Ok(ended.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// The alias `ring`, which leads to the gateway itself at that address.
fn apply_ring(gateway: &Gateway, own: &str) -> Outcome {
    let ring = format!(
        "providers:\n  own: {{ dialect: openai-chat, base_url: \"{own}\", keys: [{{ name: main, secret: {TOKEN} }}] }}\n\
         models:\n  ring: {{ targets: [{{ provider: own, model: ring }}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"*\"] }}\n"
    );
    let file = gateway.keyway.write("ring.yaml", &ring)?.display().to_string();
    let ran = tokio::task::block_in_place(|| gateway.keyway.cli(&["apply", "-f", &file]));
    assert_eq!(ran?.code, Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c18_a_gateway_that_is_its_own_provider_says_so_and_amplifies_nothing() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let own = gateway.keyway.base_url();
    apply_ring(&gateway, own)?;
    let before = begun(&gateway).await?;
    let began = Instant::now();
    let answer = gateway.ask(CHAT, &chat("ring")).await?;
    let requests = begun(&gateway).await? - before;
    println!("{} after {:?}, {requests} requests in all: {}", answer.status, began.elapsed(), answer.text());
    openai_reason(&answer, 508, "upstream_error", "loop_detected");
    assert_eq!(requests, HOPS, "nothing is tried again on the way");
    gateway.goes_on(None).await
}

#[tokio::test]
async fn c9_a_body_that_stops_coming_is_408_and_takes_no_key() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let mut tcp = TcpStream::connect(gateway.address).await?;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: keyway\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\n\r\n{{\"model\":"
    );
    let began = Instant::now();
    tcp.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, tcp.read_to_string(&mut answer)).await??;
    println!("answered {:?} after the last byte of its body", began.elapsed());
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(provider.requests(), 0);
    gateway.goes_on(None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c18_a_ring_over_a_private_address_that_is_not_loopbacks_own_is_seen() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    apply_ring(&gateway, &gateway.keyway.base_url().replace("127.0.0.1", "[::ffff:127.0.0.1]"))?;
    let answer = gateway.ask(CHAT, &chat("ring")).await?;
    openai_reason(&answer, 508, "upstream_error", "loop_detected");
    Ok(())
}
