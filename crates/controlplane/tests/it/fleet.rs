//! A replica made of a gRPC client sees what a file brings about.

use crate::node::{Node, join_token, strange};
use crate::support::{ADMIN_TOKEN, Replica, apply, author, hello, start, stop, until};
use keyway_controlplane::fleet::{Asked, ReplicaState};
use keyway_proto::fleet::v1::{
    Beat, Hello, ProbeResult, fleet_client::FleetClient, from_replica, to_replica,
};
use keyway_snapshot::Dialect;
use std::time::Duration;
use tokio::time::timeout;
use tonic::Code;

const ASKED: Asked<'static> = Asked { provider: "openai", key: "default", version: 1, secret: None };
const FILE: &str = "
providers:
  openai: { api_key: sk-test-000000000000000000000001 }
  my-vllm: { dialect: openai-chat, base_url: 'http://10.0.0.7:8000', auth: none, models: [qwen] }
models:
  fast: { targets: [{ provider: openai, model: gpt-4o-mini }, { provider: my-vllm, model: qwen }] }
clients:
  openclaw-1: { token: a-client-token-of-24-characters, models: [fast] }
";

async fn connect(running: &keyway_controlplane::Running, id: &str) -> Replica {
    Replica::connect(running, hello(id)).await.unwrap()
}

#[tokio::test]
async fn an_applied_file_is_a_state_that_a_replica_takes() {
    let running = start();
    let mut replica = connect(&running, "r1").await;
    let first = replica.take().await;
    assert!(first.clients.is_empty() && first.providers.contains_key("sandbox"));

    let applied = running.plane.apply(&author(), apply(FILE)).await.unwrap();
    let snapshot = replica.take().await;
    assert_eq!((snapshot.version, snapshot.version > first.version), (applied.version, true));
    let digest = snapshot.settings.digest_key.digest(b"a-client-token-of-24-characters");
    let client = snapshot.clients.by_digest(&digest).unwrap();
    assert_eq!(&*client.name, "openclaw-1");
    snapshot.resolve(client, "fast").unwrap();
    snapshot.resolve(client, "openai/gpt-4o-mini").unwrap_err();
    assert_eq!(snapshot.credentials["openai"][0].secret.expose(), b"sk-test-000000000000000000000001");
    assert_eq!(snapshot.providers["my-vllm"].surfaces[0].dialect, Dialect::OpenaiChat);

    timeout(Duration::from_secs(5), running.plane.fleet().acknowledged(1, applied.version)).await.unwrap();
    let seen = running.plane.fleet().list().remove(0);
    assert_eq!((seen.id.as_str(), seen.state, seen.lag), ("r1", ReplicaState::Ready, 0));
    assert_eq!(seen.snapshot, Some(applied.version.to_string()));

    let again = running.plane.apply(&author(), apply(FILE)).await.unwrap();
    assert_eq!((again.changes, again.version), (vec![], applied.version));
    stop(running).await;
    assert_eq!(replica.end().await.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_refused_state_is_shown_and_not_sent_again() {
    let running = start();
    let mut replica = connect(&running, "r1").await;
    replica.take().await;
    let applied = running.plane.apply(&author(), apply(FILE)).await.unwrap();
    replica.refuse().await;
    until("rejected", || running.plane.fleet().list()[0].state == ReplicaState::Rejected).await;
    let refused = running.plane.fleet().list()[0].refused.clone().unwrap();
    assert_eq!(
        (refused.snapshot, refused.reason.as_str()),
        (applied.version.to_string(), "not to my liking")
    );
    drop(replica);
    until("lost", || running.plane.fleet().list()[0].state == ReplicaState::Lost).await;

    // The same process comes back: the refused state is not tried again, the next one is.
    let mut replica = connect(&running, "r1").await;
    let next = running
        .plane
        .apply(&author(), apply("clients: { b: { token: another-token-of-24-characters } }"))
        .await
        .unwrap();
    assert_eq!(replica.take().await.version, next.version);
    until("ready", || running.plane.fleet().list()[0].state == ReplicaState::Ready).await;
    stop(running).await;
}

#[tokio::test]
async fn strangers_and_other_schemas_are_refused() {
    let running = start();
    let fleet = running.fleet.to_string();
    let unasked = FleetClient::new(strange(&fleet).await).sync(tokio_stream::empty()).await.err().unwrap();
    assert_eq!(unasked.code(), Code::Unauthenticated);
    // A certificate speaks for its own node's replicas alone.
    let token = join_token(&format!("http://{}", running.admin), ADMIN_TOKEN).await;
    let node = Node::join(&fleet, &token, "r1").await.unwrap();
    for other in ["r2", "r11", "r1~", ""] {
        let mut refused = Replica::connect_to(&fleet, &node, hello(other)).await.unwrap();
        let code = refused.end().await.code();
        assert!(matches!(code, Code::FailedPrecondition | Code::InvalidArgument), "{other}");
    }
    let mut newer = Replica::connect(&running, Hello { schema: 99, ..hello("r1") }).await.unwrap();
    assert_eq!(newer.end().await.code(), Code::FailedPrecondition);
    assert!(running.plane.fleet().list().is_empty());
    stop(running).await;
}

#[tokio::test]
async fn drain_and_probe_go_down_the_stream() {
    let running = start();
    let mut replica = connect(&running, "r1").await;
    replica.take().await;
    let plane = std::sync::Arc::clone(&running.plane);
    let probing = tokio::spawn(async move { plane.fleet().probe(&ASKED).await });
    let to_replica::Message::Probe(probe) = replica.hear().await else { panic!("a probe was asked for") };
    assert_eq!((probe.provider.as_str(), probe.key.as_str(), probe.version), ("openai", "default", 1));
    let result = ProbeResult {
        id: probe.id,
        status: 200,
        latency_micros: 1500,
        reason: String::new(),
        key_invalid: false,
    };
    replica.say(from_replica::Message::ProbeResult(result)).await;
    let probed = probing.await.unwrap().unwrap();
    assert_eq!((probed.status, probed.latency), (200, Duration::from_micros(1500)));

    running.plane.fleet().drain("r1", "a test").unwrap();
    let to_replica::Message::Drain(drain) = replica.hear().await else { panic!("a drain was ordered") };
    assert_eq!(drain.reason, "a test");
    let beat = Beat { draining: true, requests_in_flight: 3, ..Beat::default() };
    replica.say(from_replica::Message::Beat(beat)).await;
    until("in flight", || running.plane.fleet().list()[0].in_flight == 3).await;
    assert_eq!(running.plane.fleet().list()[0].state, ReplicaState::Draining);
    replica.say(from_replica::Message::Beat(Beat { draining: true, ended: true, ..Beat::default() })).await;
    until("ended", || running.plane.fleet().list()[0].in_flight == 0).await;
    drop(replica);
    until("gone", || running.plane.fleet().list().is_empty()).await;
    running.plane.fleet().probe(&ASKED).await.unwrap_err();
    stop(running).await;
}

/// Change committed to last ACK with ten replicas. Printed; the bound is loose because the machine is shared.
#[tokio::test]
async fn ten_replicas_acknowledge_at_once() {
    let running = start();
    let mut replicas = Vec::new();
    for n in 0..10 {
        let mut replica = connect(&running, &format!("r{n}")).await;
        replica.take().await;
        replicas.push(tokio::spawn(async move {
            loop {
                replica.take().await;
            }
        }));
    }
    let mut worst = Duration::ZERO;
    for n in 0..20 {
        let started = std::time::Instant::now();
        let yaml = format!("clients: {{ c: {{ token: a-client-token-of-24-characters, models: [m{n}] }} }}");
        let applied = running.plane.apply(&author(), apply(&yaml)).await.unwrap();
        timeout(Duration::from_secs(5), running.plane.fleet().acknowledged(10, applied.version))
            .await
            .unwrap();
        worst = worst.max(started.elapsed());
    }
    println!("change to last of 10 ACKs, worst of 20: {worst:?}");
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    replicas.iter().for_each(tokio::task::JoinHandle::abort);
    stop(running).await;
}
