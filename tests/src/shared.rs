//! What tests ask of several control planes that share a store, and of that store itself.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{EtcdNode, Replica, Shared};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::gateway::{CHAT, Outcome, TOKEN, chat};

/// What takes longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// Time between two looks.
pub const LOOK: Duration = Duration::from_millis(20);

/// The operator with the first token, at that control plane.
pub fn admin(all: &Shared, at: usize) -> Outcome<Admin> {
    let control = all.controls.get(at).ok_or("no such control plane")?;
    Admin::new(&control.admin_url(), &all.admin_token()?)
}

/// What that control plane wrote.
pub fn log(all: &Shared, at: usize) -> String {
    all.controls.get(at).map(|control| control.process.stderr()).unwrap_or_default()
}

/// What a replica answers a caller.
pub async fn status(replica: &Replica) -> Outcome<u16> {
    let request = post(CHAT, TOKEN, "", chat("sim/m").as_bytes());
    Ok(Caller::connect(replica.address()?).await?.ask(&request).await?.status)
}

/// Asserts that every replica serves.
pub async fn serve(all: &Shared) -> Outcome {
    for replica in &all.replicas {
        assert_eq!(status(replica).await?, 200, "{}", replica.id);
    }
    Ok(())
}

/// Who leads, as one control plane says it.
pub async fn leader(all: &Shared, ask: usize) -> Outcome<usize> {
    let until = Instant::now() + PATIENCE;
    loop {
        let said = admin(all, ask)?.call(Method::GET, "/status", None).await;
        let name = said.ok().and_then(|said| said.json.get("control_plane")?.as_str().map(str::to_owned));
        if let Some(at) = all.controls.iter().position(|one| Some(&one.name) == name.as_ref()) {
            return Ok(at);
        }
        assert!(Instant::now() < until, "nobody leads\n{}", log(all, ask));
        tokio::time::sleep(LOOK).await;
    }
}

/// Makes a client; `false` = it was not acknowledged.
pub async fn write(all: &Shared, at: usize, name: &str) -> Outcome<bool> {
    let body = json!({ "name": name, "models": ["sim/*"] });
    let answered = admin(all, at)?.call(Method::POST, "/clients", Some(&body)).await;
    // One whose answer was lost is there already: that is an acknowledgement too.
    Ok(answered.is_ok_and(|answered| (200..300).contains(&answered.status) || answered.status == 409))
}

/// Makes a client, however often it has to be tried; gives how long that took.
pub async fn write_until_taken(all: &Shared, at: usize, name: &str) -> Outcome<Duration> {
    let began = Instant::now();
    while !write(all, at, name).await? {
        assert!(began.elapsed() < PATIENCE, "no write\n{}", log(all, at));
        tokio::time::sleep(LOOK).await;
    }
    Ok(began.elapsed())
}

/// Names of all clients, as that control plane knows them.
pub async fn clients(all: &Shared, at: usize) -> Outcome<Vec<String>> {
    let list = admin(all, at)?.get("/clients").await?;
    let names = list.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// Until every replica serves what is in force, as whoever leads knows it.
pub async fn in_sync(all: &Shared, ask: usize, replicas: usize) -> Outcome<Value> {
    let until = Instant::now() + PATIENCE;
    loop {
        let list = admin(all, ask)?.call(Method::GET, "/fleet", None).await?.json;
        let ready = list.as_array().into_iter().flatten().filter(|one| one["state"] == "ready").count();
        if ready == replicas {
            return Ok(list);
        }
        assert!(Instant::now() < until, "{list:#}");
        tokio::time::sleep(LOOK).await;
    }
}

/// An etcd as its own operator reaches it, in clear: by the JSON that it speaks beside gRPC.
#[derive(Debug)]
pub struct Etcd {
    client: Client,
    nodes: Vec<String>,
}

// === impl Etcd ===

impl Etcd {
    /// That of these control planes.
    pub fn of(all: &Shared) -> Outcome<Self> {
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { client, nodes: all.etcd.iter().map(EtcdNode::client).collect() })
    }

    /// Writes a value; `false` = there is no room for it.
    pub async fn put(&self, key: &str, value: &[u8]) -> Outcome<bool> {
        let body = json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value) });
        let answered = self.call(0, "kv/put", &body).await?;
        match answered.get("error").and_then(Value::as_str) {
            None => Ok(true),
            Some(why) if why.contains("space exceeded") => Ok(false),
            Some(why) => Err(why.to_owned().into()),
        }
    }

    /// Forgets every revision but the newest.
    pub async fn compact(&self) -> Outcome {
        let now = self.call(0, "kv/range", &json!({ "key": STANDARD.encode("none") })).await?;
        let revision = now.pointer("/header/revision").cloned().ok_or_else(|| now.to_string())?;
        let done = self.call(0, "kv/compaction", &json!({ "revision": revision, "physical": true })).await?;
        if done.get("error").is_none() { Ok(()) } else { Err(done.to_string().into()) }
    }

    /// What its operator does when it is full: compacts and defragments it, then disarms its alarms.
    pub async fn make_room(&self) -> Outcome {
        self.compact().await?;
        for at in 0..self.nodes.len() {
            self.call(at, "maintenance/defragment", &json!({})).await?;
        }
        let armed = self.call(0, "maintenance/alarm", &json!({ "action": "GET" })).await?;
        for alarm in armed.get("alarms").and_then(Value::as_array).into_iter().flatten() {
            let (member, kind) = (alarm.get("memberID"), alarm.get("alarm"));
            let body = json!({ "action": "DEACTIVATE", "memberID": member, "alarm": kind });
            self.call(0, "maintenance/alarm", &body).await?;
        }
        Ok(())
    }

    async fn call(&self, at: usize, path: &str, body: &Value) -> Outcome<Value> {
        let node = self.nodes.get(at).ok_or("no such node")?;
        let answer = self.client.post(format!("http://{node}/v3/{path}")).json(body).send().await?;
        Ok(answer.json().await?)
    }
}
