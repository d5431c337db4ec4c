//! Rotations against replicas that are gRPC clients: what operators see, and when a version may be called retired.

use crate::{
    api::Operator,
    support::{Replica, Started, hello, start, stop},
};
use keyway_proto::{
    fleet::v1::{Beat, KeyUse, ProbeResult, from_replica, to_replica},
    snapshot::v1::CredentialState,
};
use keyway_snapshot::Snapshot;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::{sync::mpsc, task::JoinHandle};

const FILE: &str = "sk-first-0000000000000000000000";

/// A replica that does what a data plane does, with what it should count set by the test.
struct Sim {
    counts: Arc<Mutex<Counts>>,
    beats: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    /// In flight, by id.
    in_flight: Vec<(String, u64)>,
    /// Its disk stays behind.
    kept: Option<keyway_proto::snapshot::v1::Version>,
    /// What the provider says to a probe.
    status: u32,
    /// Secrets that it was asked to try.
    tried: Vec<String>,
    served: Option<Snapshot>,
}

impl Sim {
    async fn join(running: &Started, id: &str, status: u32) -> Self {
        let mut replica = Replica::connect(running, hello(id)).await.unwrap();
        let counts = Arc::new(Mutex::new(Counts { status, ..Counts::default() }));
        let (beats, mut wanted) = mpsc::channel(8);
        let first = replica.take().await;
        counts.lock().served = Some(first);
        let shared = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            loop {
                replica.say(beat(&shared)).await;
                tokio::select! {
                    Some(()) = wanted.recv() => {}
                    heard = replica.next() => match heard {
                        Some(to_replica::Message::Probe(probe)) => {
                            let status = shared.lock().status;
                            let secret = String::from_utf8(probe.secret).unwrap();
                            shared.lock().tried.push(secret);
                            let result = ProbeResult { id: probe.id, status, ..ProbeResult::default() };
                            replica.say(from_replica::Message::ProbeResult(result)).await;
                        }
                        Some(to_replica::Message::Begin(begin)) => {
                            let snapshot = replica.take_begun(begin).await;
                            shared.lock().served = Some(snapshot);
                        }
                        Some(_) => {}
                        None => return,
                    },
                }
            }
        });
        let sim = Self { counts, beats, task };
        sim.tell().await;
        sim
    }

    /// Says what it counts now.
    async fn tell(&self) {
        self.beats.send(()).await.unwrap();
    }

    fn states(&self) -> Vec<(String, CredentialState)> {
        let counts = self.counts.lock();
        let served = counts.served.as_ref().unwrap();
        let mut all: Vec<_> = served
            .credentials
            .get("openai")
            .into_iter()
            .flatten()
            .map(|one| (String::from_utf8(one.secret.expose().to_vec()).unwrap(), one.state))
            .collect();
        all.sort_by_key(|(secret, _)| secret.clone());
        all
    }
}

fn beat(counts: &Mutex<Counts>) -> from_replica::Message {
    let counts = counts.lock();
    let served = counts.served.as_ref().unwrap();
    let keys = counts.in_flight.iter().map(|(id, in_flight)| KeyUse {
        id: id.clone(),
        in_flight: *in_flight,
        started: *in_flight,
        ..KeyUse::default()
    });
    from_replica::Message::Beat(Beat {
        version: Some(served.version.into()),
        state_hash: served.hash.0.to_vec(),
        kept: counts.kept,
        keys: keys.collect(),
        ..Beat::default()
    })
}

async fn with_key(running: &Started) -> Operator {
    let operator = Operator::of(running);
    let file = json!({ "providers": { "openai": { "keys": [{ "name": "main", "secret": FILE }] } } });
    operator.good(Method::POST, "/apply", json!({ "file": file })).await;
    operator
}

fn rotate(secret: &str) -> Value {
    json!({ "secret": secret, "overlap": 0 })
}

async fn rollout(operator: &Operator, wanted: &str) -> Value {
    until(operator, |view| view["outcome"] == wanted).await
}

async fn until(operator: &Operator, holds: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        let view = operator.get("/keys/openai/main/rollout").await;
        if holds(&view) {
            return view;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never: {}", operator.get("/keys/openai/main/rollout").await);
}

#[tokio::test]
async fn a_rotation_is_probed_activated_confirmed_and_told() {
    let running = start();
    let operator = with_key(&running).await;
    let (a, b) = (Sim::join(&running, "a", 200).await, Sim::join(&running, "b", 200).await);
    // A long stream uses the old version on one replica.
    a.counts.lock().in_flight = vec![("openai/main/1".to_owned(), 1)];
    a.tell().await;
    let view =
        operator.good(Method::POST, "/keys/openai/main/rotate", rotate("sk-second-111111111111111")).await;
    assert_eq!((&view["version"], &view["probe"]["verdict"]), (&json!(2), &json!("verified")), "{view}");
    let tried = [&a, &b].map(|sim| sim.counts.lock().tried.clone()).concat();
    assert_eq!(tried, ["sk-second-111111111111111"], "one replica tried it");
    // It is out of the snapshots, and one replica still uses it: that is no retirement.
    let view = until(&operator, |view| view["unconfirmed"] == json!(["a"])).await;
    assert_eq!((&view["step"], &view["in_flight_old"]), (&json!("withdrawn"), &json!(1)), "{view}");
    assert_eq!(b.states(), [("sk-second-111111111111111".to_owned(), CredentialState::Active)]);
    a.counts.lock().in_flight = vec![("openai/main/1".to_owned(), 0)];
    a.tell().await;
    let view = rollout(&operator, "retired").await;
    assert_eq!((&view["replicas"], &view["acknowledged"]), (&json!(2), &json!(2)));
    assert!(view["ack_micros"].as_u64().unwrap() > 0);
    let key = operator.get("/keys/openai/main").await;
    assert_eq!(
        (&key["versions"][0]["state"], &key["versions"][1]["state"]),
        (&json!("retired"), &json!("active"))
    );
    let history = operator.get("/keys/openai/main/history").await;
    let actions: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["key.rotate", "key.probe", "key.activate", "key.withdraw", "key.retire", "key.done"],
        "{history}"
    );
    assert!(!history.to_string().contains("sk-second-1111"));
    let report = operator.get("/keys/openai/main/report").await;
    let bytes = |field: &str| {
        let text = report[field].as_str().unwrap().as_bytes();
        text.chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect::<Vec<u8>>()
    };
    let evidence = report["evidence"].as_str().unwrap().as_bytes();
    assert!(keyway_controlplane::vault::verify(&bytes("public_key"), evidence, &bytes("signature")));
    a.task.abort();
    b.task.abort();
    stop(running).await;
}

#[tokio::test]
async fn what_the_disk_would_bring_back_is_not_retired() {
    let running = start();
    let operator = with_key(&running).await;
    let a = Sim::join(&running, "a", 200).await;
    let old = a.counts.lock().served.as_ref().unwrap().version;
    a.counts.lock().kept = Some(old.into());
    operator.good(Method::POST, "/keys/openai/main/rotate", rotate("sk-second-111111111111111")).await;
    until(&operator, |view| view["unconfirmed"] == json!(["a"])).await;
    a.counts.lock().kept = None;
    a.tell().await;
    rollout(&operator, "retired").await;
    a.task.abort();
    stop(running).await;
}

#[tokio::test]
async fn a_refused_key_and_an_unreachable_provider_change_nothing_in_use() {
    let running = start();
    let operator = with_key(&running).await;
    let a = Sim::join(&running, "a", 401).await;
    let (status, fault) =
        operator.bad(Method::POST, "/keys/openai/main/rotate", rotate("sk-bad-2222222222222222")).await;
    assert_eq!((status, fault["code"].as_str()), (422, Some("key_probe_failed")), "{fault}");
    assert!(!fault.to_string().contains("sk-bad"));
    a.counts.lock().status = 500;
    let (status, fault) =
        operator.bad(Method::POST, "/keys/openai/main/rotate", rotate("sk-new-3333333333333333")).await;
    assert_eq!((status, fault["code"].as_str()), (502, Some("provider_unreachable")), "{fault}");
    assert_eq!(a.states(), [(FILE.to_owned(), CredentialState::Active)]);
    // The same secret again once the provider answers: the same version goes on.
    a.counts.lock().status = 200;
    let view =
        operator.good(Method::POST, "/keys/openai/main/rotate", rotate("sk-new-3333333333333333")).await;
    assert_eq!(view["version"], 3, "{view}");
    rollout(&operator, "retired").await;
    let key = operator.get("/keys/openai/main").await;
    let states: Vec<&str> =
        key["versions"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["retired", "rejected", "active"]);
    a.task.abort();
    stop(running).await;
}

#[tokio::test]
async fn two_at_once_back_again_and_versions_that_are_gone() {
    let running = start();
    let operator = with_key(&running).await;
    let a = Sim::join(&running, "a", 200).await;
    let slow = json!({ "secret": "sk-second-111111111111111", "overlap": "10m" });
    operator.good(Method::POST, "/keys/openai/main/rotate", slow.clone()).await;
    let first = operator.good(Method::POST, "/keys/openai/main/rotate", slow).await;
    assert_eq!(first["version"], 2, "the same call again is the same rotation");
    let other = rotate("sk-third-222222222222222");
    let (status, fault) = operator.bad(Method::POST, "/keys/openai/main/rotate", other.clone()).await;
    assert_eq!((status, fault["code"].as_str()), (409, Some("rotation_in_progress")));
    assert!(fault["message"].as_str().is_some_and(|text| text.contains(" by bootstrap ")), "{fault}");
    let standby = [
        (FILE.to_owned(), CredentialState::Retiring),
        ("sk-second-111111111111111".to_owned(), CredentialState::Active),
    ];
    assert_eq!(a.states(), standby);
    operator.good(Method::POST, "/keys/openai/main/rollback", json!({})).await;
    rollout(&operator, "rolled_back").await;
    assert_eq!(a.states(), [(FILE.to_owned(), CredentialState::Active)]);
    operator.good(Method::POST, "/keys/openai/main/rotate", other).await;
    rollout(&operator, "retired").await;
    operator.good(Method::POST, "/keys/openai/main/destroy", json!({ "version": 1 })).await;
    let (status, fault) =
        operator.bad(Method::POST, "/keys/openai/main/rollback", json!({ "version": 1 })).await;
    assert_eq!((status, fault["code"].as_str()), (422, Some("missing_secrets")));
    let (status, fault) =
        operator.bad(Method::POST, "/keys/openai/main/rotate", rotate("sk-second-111111111111111")).await;
    assert_eq!((status, fault["field"].as_str()), (422, Some("secret")), "{fault}");
    a.task.abort();
    stop(running).await;
}

#[tokio::test]
async fn revoked_is_told_to_replicas_until_all_are_rid_of_it() {
    let running = start();
    let operator = with_key(&running).await;
    let a = Sim::join(&running, "a", 200).await;
    let spare = json!({ "secret": "sk-spare-1111111111111111" });
    operator.good(Method::POST, "/keys/openai/spare", spare).await;
    a.counts.lock().in_flight = vec![("openai/main/1".to_owned(), 1)];
    a.tell().await;
    operator.good(Method::POST, "/keys/openai/main/revoke", json!({})).await;
    let view = rollout(&operator, "running").await;
    assert_eq!(view["old"], json!([{ "version": 1, "state": "revoked" }]), "{view}");
    for _ in 0..1000 {
        if a.states().iter().any(|(secret, state)| secret.is_empty() && *state == CredentialState::Revoked) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let told = (String::new(), CredentialState::Revoked);
    assert!(a.states().contains(&told), "{:?}", a.states());
    a.counts.lock().in_flight.clear();
    a.tell().await;
    rollout(&operator, "revoked").await;
    assert_eq!(secrets_of(&running, "openai"), 1, "its secret is erased");
    a.task.abort();
    stop(running).await;
}

#[tokio::test]
async fn progress_comes_as_events_and_ends_with_the_rotation() {
    let running = start();
    let operator = with_key(&running).await;
    let a = Sim::join(&running, "a", 200).await;
    operator.good(Method::POST, "/keys/openai/main/rotate", rotate("sk-second-111111111111111")).await;
    let text = operator.text("/keys/openai/main/events").await;
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!((&last["step"], &last["outcome"]), (&json!("done"), &json!("retired")));
    a.task.abort();
    stop(running).await;
}

#[tokio::test]
async fn a_key_does_not_move_to_another_address_by_itself() {
    let running = start();
    let operator = with_key(&running).await;
    let moved = json!({ "base_url": "https://elsewhere.example/v1" });
    let (status, fault) = operator.bad(Method::PUT, "/providers/openai", moved.clone()).await;
    assert_eq!((status, fault["code"].as_str()), (409, Some("secret_integrity")), "{fault}");
    let entered =
        json!({ "base_url": "https://elsewhere.example/v1", "keys": [{ "name": "main", "secret": FILE }] });
    operator.good(Method::PUT, "/providers/openai", entered).await;
    let allowed = json!({ "origin": "https://third.example" });
    operator.good(Method::POST, "/keys/openai/main/allow-origin", allowed).await;
    operator.good(Method::PUT, "/providers/openai", json!({ "base_url": "https://third.example/v1" })).await;
    assert_eq!(secrets_of(&running, "openai"), 1, "older seals are erased");
    stop(running).await;
}

/// Beside them lies the authority's own.
fn secrets_of(running: &Started, provider: &str) -> usize {
    running.plane.vault().ids().unwrap().iter().filter(|id| id.provider == provider).count()
}
