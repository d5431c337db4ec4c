//! Many replicas, each a gRPC client of this process, at a control plane that is a process of its own: they all come back
//! at once after its end (P3 of the list of faults), or one of them refuses what the others take (P6).

use crate::{
    node::{Node, join_token},
    support::{Received, Replica, hello},
};
use keyway_proto::fleet::v1::{Beat, Hello, to_replica};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const REPLICAS: usize = 200;
/// All of them serve what is in force so soon after the start of the control plane.
const IN_SYNC: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(30);
/// A second push of what was refused would come at once; a life sign comes every second.
const BEATS: usize = 3;

/// `keyway-controlplane` over a directory that outlives it.
struct Control {
    child: Child,
    fleet: String,
    admin: String,
    admin_token: String,
}

impl Control {
    fn start(home: &Path, config: &Path) -> Self {
        let ready: PathBuf = home.join("ready.json");
        // Of the process before.
        let _ = std::fs::remove_file(&ready);
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyway-controlplane"));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["--admin-listen", "127.0.0.1:0", "--fleet-listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(home).arg("--config").arg(config).arg("--ready-file").arg(&ready);
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        let facts: Value = loop {
            match std::fs::read(&ready) {
                Ok(bytes) => break serde_json::from_slice(&bytes).unwrap(),
                Err(_) => assert!(child.try_wait().unwrap().is_none() && began.elapsed() < DEADLINE),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let token =
            |name: &str| std::fs::read_to_string(facts[name].as_str().unwrap()).unwrap().trim().to_owned();
        Self {
            child,
            fleet: facts["fleet_addr"].as_str().unwrap().to_owned(),
            admin: facts["admin_url"].as_str().unwrap().to_owned(),
            admin_token: token("admin_token_file"),
        }
    }

    /// The node that all replicas here run on.
    async fn join(&self) -> Node {
        let token = join_token(&self.admin, &self.admin_token).await;
        Node::join(&self.fleet, &token, "herd").await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let request = reqwest::Client::new().get(format!("{}/api/v1{path}", self.admin));
        request.bearer_auth(&self.admin_token).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let request = reqwest::Client::new().post(format!("{}/api/v1{path}", self.admin));
        let answer = request.bearer_auth(&self.admin_token).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}");
        answer.json().await.unwrap()
    }

    /// Asks until it holds of the list of replicas.
    async fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let fleet = self.get("/fleet").await;
            let all = fleet.as_array().cloned().unwrap_or_default();
            if holds(&all) {
                return all;
            }
            assert!(began.elapsed() < DEADLINE, "never: {what}: {fleet}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Resident memory in KiB: now, or at most so far.
    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // As a crash; one that has ended already is all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn connect(control: &Control, node: &Node, number: usize) -> Replica {
    let name = format!("herd~{number}");
    let hello = Hello { incarnation: name.clone(), ..hello(&name) };
    Replica::connect_to(&control.fleet, node, hello).await.unwrap()
}

/// All come at once with nothing in hand; each takes the whole state. Gives its bytes too.
async fn herd(control: &Control, node: &Node) -> (Vec<Replica>, usize) {
    let mut coming = JoinSet::new();
    for number in 0..REPLICAS {
        let (fleet, node) = (control.fleet.clone(), node.clone());
        coming.spawn(async move {
            let name = format!("herd~{number}");
            let hello = Hello { incarnation: name.clone(), ..hello(&name) };
            let mut replica = Replica::connect_to(&fleet, &node, hello).await.unwrap();
            let received = replica.state().await;
            replica.acknowledge_unread(&received).await;
            (replica, size(&received))
        });
    }
    let all = coming.join_all().await;
    let bytes = all.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default();
    (all.into_iter().map(|(replica, _)| replica).collect(), bytes)
}

fn size(received: &Received) -> usize {
    received.resources.iter().map(|resource| resource.body.len()).sum()
}

/// Every one acknowledged what is in force. They say nothing more, so they may be called silent.
fn all_serve(all: &[Value]) -> bool {
    let newest = all.first().map(|one| &one["snapshot"]);
    let serves = |one: &Value| one["lag"] == 0 && Some(&one["snapshot"]) == newest && one["state"] != "lost";
    all.len() == REPLICAS && newest.is_some_and(Value::is_string) && all.iter().all(serves)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_two_hundred_replicas_come_back_at_once() {
    let home = TempDir::new().unwrap();
    let config = home.path().join("keyway.yaml");
    let models: Vec<String> =
        (0..40).map(|number| format!("openai/a-model-with-a-long-name-{number:04}")).collect();
    let clients: serde_json::Map<String, Value> = (0..400)
        .map(|number| {
            let token = format!("a-client-token-of-24-characters-{number}");
            (format!("client-{number}"), json!({ "token": token, "models": models }))
        })
        .collect();
    let file = json!({ "clients": clients, "providers": { "openai": { "api_key": "sk-test-000000000000000000000001" } } });
    std::fs::write(&config, file.to_string()).unwrap();

    // One after the other, so that what a rush costs is not in it.
    let control = Control::start(home.path(), &config);
    let node = control.join().await;
    let mut replicas = Vec::new();
    for number in 0..REPLICAS {
        let mut replica = connect(&control, &node, number).await;
        let received = replica.state().await;
        replica.acknowledge_unread(&received).await;
        replicas.push(replica);
    }
    control.until("all serve", all_serve).await;
    let steady = control.memory("VmRSS:");
    drop(control);
    drop(replicas);

    let control = Control::start(home.path(), &config);
    let began = Instant::now();
    let (replicas, bytes) = herd(&control, &node).await;
    control.until("all serve again", all_serve).await;
    let took = began.elapsed();
    let most = control.memory("VmHWM:");
    println!(
        "{REPLICAS} replicas took {bytes} bytes each and were in sync {took:?} after the start; {most} KiB at most, {steady} KiB \
         before"
    );
    assert!(took < IN_SYNC, "{took:?}");
    assert!(most < 2 * steady, "{most} KiB at most, {steady} KiB before");
    assert!(bytes > 400_000, "{bytes}");
    drop(replicas);
}

#[tokio::test]
async fn p6_one_that_refuses_is_named_and_holds_up_nobody() {
    let home = TempDir::new().unwrap();
    let config = home.path().join("keyway.yaml");
    std::fs::write(&config, "{}\n").unwrap();
    let control = Control::start(home.path(), &config);
    let node = control.join().await;
    let (mut good, mut bad) = (connect(&control, &node, 1).await, connect(&control, &node, 2).await);
    for replica in [&mut good, &mut bad] {
        replica.take().await;
    }
    control.until("both serve", |all| all.len() == 2 && all.iter().all(|one| one["state"] == "ready")).await;

    let made = control.post("/clients", json!({ "name": "a" })).await;
    bad.refuse().await;
    let taken = good.take().await;
    assert_eq!(taken.version.to_string(), made["snapshot"], "whoever changed it was answered already");
    let named = |all: &[Value]| all.iter().any(|one| one["id"] == "herd~2" && one["state"] == "rejected");
    let all = control.until("it is named", named).await;
    let refused = &all.iter().find(|one| one["id"] == "herd~2").unwrap()["refused"];
    assert_eq!((&refused["field"], &refused["snapshot"]), (&json!("client/a: models"), &made["snapshot"]));
    assert!(all.iter().any(|one| one["id"] == "herd~1" && one["state"] == "ready"), "{all:?}");
    let doctor = control.get("/doctor").await.to_string();
    assert!(doctor.contains("herd~2") && doctor.contains("client/a: models"), "{doctor}");

    // It goes on to say that it lives, and is sent nothing but life signs.
    for _ in 0..BEATS {
        bad.say(keyway_proto::fleet::v1::from_replica::Message::Beat(Beat::default())).await;
        let heard = tokio::time::timeout(DEADLINE, bad.next()).await.unwrap();
        assert!(matches!(heard, Some(to_replica::Message::Beat(_))), "{heard:?}");
    }
    let made = control.post("/clients", json!({ "name": "b" })).await;
    for replica in [&mut good, &mut bad] {
        assert_eq!(replica.take().await.version.to_string(), made["snapshot"]);
    }
    control.until("both serve", |all| all.iter().all(|one| one["state"] == "ready")).await;
}
