//! Operators at the REST API.

use crate::support::{ADMIN_TOKEN, Replica, Started, hello, start, stop};
use keyway_proto::fleet::v1::{ProbeResult, from_replica, to_replica};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

const SECRET: &str = "sk-live-marker-0123456789abcdef";

pub(crate) struct Operator {
    http: Client,
    base: String,
}

impl Operator {
    pub(crate) fn of(running: &Started) -> Self {
        Self { http: Client::new(), base: format!("http://{}/api/v1", running.admin) }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> (StatusCode, Value) {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).bearer_auth(ADMIN_TOKEN).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, response.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, Value::Null, &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(ADMIN_TOKEN);
        request.send().await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn good(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(method.clone(), path, body, &[]).await;
        assert!(status.is_success(), "{method} {path}: {answer}");
        answer
    }

    pub(crate) async fn bad(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let (status, answer) = self.send(method, path, body, &[]).await;
        (status.as_u16(), answer["error"].clone())
    }
}

fn file() -> Value {
    json!({
        "providers": {
            "openai": { "keys": [{ "name": "main", "secret": SECRET, "weight": 2 }, { "name": "spare", "secret": "sk-spare-marker-0123456789abcd" }] },
            "my-vllm": { "dialect": "openai-chat", "base_url": "http://10.0.0.7:8000", "auth": "none", "models": ["qwen"], "price": 0,
                "quirks": { "reasoning_field": "reasoning", "no_extras": false }, "model_quirks": { "qwen*": { "no_thinking": true } } },
        },
        "models": { "fast": { "targets": [{ "provider": "openai", "model": "gpt-4o-mini", "weight": 80 }, { "provider": "my-vllm", "model": "qwen", "weight": 20 }], "fallback": ["sandbox/echo"], "retries": 2, "timeout": "60s" } },
        "teams": { "whisperers": { "budget": { "usd": 500, "per": "month" } } },
        "clients": {
            "openclaw-1": { "token": "a-client-token-of-24-characters", "team": "whisperers", "models": ["fast", "openai/*"] },
            "openclaw-2": { "disabled": true },
        },
        "cache": { "enabled": true, "ttl": 3600 },
    })
}

#[tokio::test]
async fn apply_export_apply_changes_nothing_and_shows_no_secret() {
    let running = start();
    let operator = Operator::of(&running);
    let body = json!({ "file": file(), "origin": "keyway.yaml" });
    let diff = operator.good(Method::POST, "/diff", body.clone()).await;
    assert_eq!((diff["changes"].as_array().unwrap().len(), &diff["version"]), (7, &json!("1.1")));
    assert_eq!(diff.get("tokens"), None);
    let applied = operator.good(Method::POST, "/apply", body.clone()).await;
    assert_eq!((&applied["changes"], &applied["version"]), (&diff["changes"], &json!("1.3")));
    assert!(applied["tokens"]["openclaw-2"].as_str().unwrap().starts_with("kw_"));
    assert!(applied["warnings"].as_array().unwrap().iter().any(|warning| warning["field"] == "cache"));

    let exported = operator.get("/export").await;
    let again = operator.good(Method::POST, "/apply", json!({ "file": exported, "prune": true })).await;
    assert_eq!((&again["changes"], &again["version"]), (&json!([]), &json!("1.3")));
    let third = operator.good(Method::POST, "/apply", body).await;
    assert_eq!(third["changes"], json!([]));

    for path in [
        "/export",
        "/providers",
        "/providers/openai",
        "/clients",
        "/clients/openclaw-1",
        "/models",
        "/models/fast",
        "/teams",
        "/teams/whisperers",
        "/status",
        "/fleet",
    ] {
        let text = operator.get(path).await.to_string();
        assert!(!text.contains("marker") && !text.contains("a-client-token"), "{path} tells a secret");
    }
    let vllm = operator.get("/providers/my-vllm").await;
    let relative =
        json!(["old_max_tokens", "no_developer_role", "no_cache_key", "reasoning_field: reasoning"]);
    assert_eq!((&vllm["surfaces"][0]["quirks"], &vllm["quirks"]["no_extras"]), (&relative, &json!(false)));
    let qwen = operator.get("/providers/my-vllm/quirks?model=qwen").await;
    assert!(qwen["openai-chat"].as_array().unwrap().contains(&json!("no_thinking")), "{qwen}");
    assert_eq!(operator.get("/providers/my-vllm/quirks").await["openai-chat"], relative);
    assert_eq!(operator.bad(Method::GET, "/providers/nobody/quirks", Value::Null).await.0, 404);

    let openai = operator.get("/providers/openai").await;
    let main = &openai["keys"][0]["versions"][0];
    assert_eq!((&main["secret"], &main["state"]), (&json!("sk-…cdef"), &json!("active")));
    assert_eq!(main["fingerprint"].as_str().unwrap().len(), 8);
    assert_eq!(openai["base_url"], "https://api.openai.com/v1");
    stop(running).await;
}

#[tokio::test]
async fn prune_deletes_only_what_a_file_made() {
    let running = start();
    let operator = Operator::of(&running);
    operator.good(Method::POST, "/apply", json!({ "file": file() })).await;
    operator.good(Method::PUT, "/teams/by-hand", json!({})).await;
    let mut less = file();
    for (section, name) in [("models", "fast"), ("clients", "openclaw-2"), ("teams", "whisperers")] {
        less[section].as_object_mut().unwrap().remove(name);
    }
    less["clients"]["openclaw-1"] = json!({});
    less["providers"]["openai"]["keys"].as_array_mut().unwrap().remove(1);
    let kept = operator.good(Method::POST, "/apply", json!({ "file": less })).await;
    assert_eq!(kept["changes"].as_array().unwrap().len(), 1, "{kept}");
    let pruned = operator.good(Method::POST, "/apply", json!({ "file": less, "prune": true })).await;
    let did: Vec<String> = pruned["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| format!("{} {} {}", c["op"], c["kind"], c["name"]).replace('"', ""))
        .collect();
    assert_eq!(
        did,
        ["delete client openclaw-2", "delete model fast", "update provider openai", "delete team whisperers"]
    );
    assert_eq!(operator.get("/teams").await[0]["name"], "by-hand");
    assert_eq!(operator.get("/providers/openai").await["keys"].as_array().unwrap().len(), 1);
    stop(running).await;
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_happens() {
    let running = start();
    let operator = Operator::of(&running);
    let target = |provider: &str| json!({ "targets": [{ "provider": provider, "model": "m" }] });
    let broken = json!({ "models": { "fast": target("opnai") }, "providers": { "openai": {} } });
    let (status, error) = operator.bad(Method::POST, "/apply", json!({ "file": broken })).await;
    assert_eq!(
        (status, &error["code"], &error["field"]),
        (422, &json!("invalid_config"), &json!("models.fast.targets[0].provider"))
    );
    assert!(error["message"].as_str().unwrap().contains("openai"), "{error}");
    let (status, error) = operator.bad(Method::POST, "/apply", json!({ "file": { "provider": {} } })).await;
    assert_eq!((status, &error["field"]), (422, &json!("provider")));
    let (status, error) =
        operator.bad(Method::PUT, "/providers/own", json!({ "dialect": "openai-chat" })).await;
    assert_eq!((status, &error["field"]), (422, &json!("providers.own")), "{error}");
    let (status, error) =
        operator.bad(Method::PUT, "/providers/openai", json!({ "keys": [{ "name": "main" }] })).await;
    assert_eq!((status, &error["field"]), (422, &json!("providers.openai.keys[0].secret")), "{error}");
    let (status, error) = operator.bad(Method::PUT, "/providers/sandbox", json!({})).await;
    assert_eq!((status, &error["code"]), (422, &json!("invalid_config")));
    let (status, error) = operator.bad(Method::POST, "/clients", json!({ "name": "Not A Name" })).await;
    assert_eq!((status, &error["code"]), (422, &json!("invalid_config")));
    let (status, _) = operator.bad(Method::POST, "/clients", json!([])).await;
    assert_eq!(status, 422);
    assert_eq!(operator.get("/status").await["version"], "1.1");

    operator.good(Method::POST, "/apply", json!({ "file": file() })).await;
    let same = json!({ "name": "twin", "token": "a-client-token-of-24-characters" });
    let (status, error) = operator.bad(Method::POST, "/clients", same).await;
    assert_eq!((status, error["field"].as_str().unwrap().ends_with(".token")), (422, true), "{error}");
    let (status, error) = operator.bad(Method::GET, "/clients/openclaw", Value::Null).await;
    assert_eq!((status, &error["code"]), (404, &json!("not_found")));
    assert!(error["nearest"].as_array().unwrap().contains(&json!("openclaw-1")));
    let (status, error) = operator.bad(Method::DELETE, "/providers/openai", Value::Null).await;
    assert_eq!((status, &error["field"]), (422, &json!("providers.openai")), "{error}");
    stop(running).await;
}

#[tokio::test]
async fn a_client_s_life() {
    let running = start();
    let operator = Operator::of(&running);
    let made = operator.good(Method::POST, "/clients", json!({ "name": "a", "models": ["sandbox/*"] })).await;
    let token = made["token"].as_str().unwrap().to_owned();
    assert_eq!(
        (&made["name"], &made["state"], made["version"].as_u64()),
        (&json!("a"), &json!("enabled"), Some(1))
    );
    let (status, error) = operator.bad(Method::POST, "/clients", json!({ "name": "a" })).await;
    assert_eq!((status, &error["code"]), (409, &json!("already_exists")));
    assert_eq!(operator.good(Method::POST, "/clients/a/disable", json!({})).await["state"], "disabled");
    assert_eq!(operator.good(Method::POST, "/clients/a/enable", json!({})).await["state"], "enabled");
    let patched =
        operator.good(Method::PATCH, "/clients/a", json!({ "models": null, "expires": "2999-01-01" })).await;
    assert_eq!((patched.get("models"), &patched["expires"]), (None, &json!("2999-01-01T00:00:00Z")));
    let over = operator.good(Method::PATCH, "/clients/a", json!({ "expires": "2020-01-01" })).await;
    assert_eq!(over["state"], "expired");
    operator.good(Method::PATCH, "/clients/a", json!({ "expires": null })).await;
    let (status, error) = operator.bad(Method::PATCH, "/clients/a", json!({ "team": "none-such" })).await;
    assert_eq!((status, &error["field"]), (422, &json!("clients.a.team")));
    let rotated = operator.good(Method::POST, "/clients/a/rotate", json!({})).await;
    assert_ne!(rotated["token"], json!(token));
    let snapshot = running.plane.snapshot();
    let known = |token: &str| {
        snapshot.clients.by_digest(&snapshot.settings.digest_key.digest(token.as_bytes())).is_some()
    };
    assert!(known(rotated["token"].as_str().unwrap()) && !known(&token));
    operator.good(Method::DELETE, "/clients/a", Value::Null).await;
    assert_eq!(operator.get("/clients").await, json!([]));
    stop(running).await;
}

#[tokio::test]
async fn versions_and_idempotency_keys() {
    let running = start();
    let operator = Operator::of(&running);
    let put =
        |body: Value, headers: &'static [(&str, &str)]| operator.send(Method::PUT, "/teams/t", body, headers);
    let budget = |usd: u64| json!({ "budget": { "usd": usd, "per": "day" } });
    assert_eq!(put(budget(1), &[("if-match", "\"1\"")]).await.0, 409);
    assert_eq!(put(budget(1), &[("if-match", "0")]).await.1["version"], 1);
    assert_eq!(put(budget(2), &[("if-match", "\"1\"")]).await.1["version"], 2);
    let (status, body) = put(budget(3), &[("if-match", "\"1\"")]).await;
    assert_eq!(
        (status.as_u16(), &body["error"]["code"], &body["error"]["version"]),
        (409, &json!("version_conflict"), &json!(2))
    );

    let create = |body: Value| operator.send(Method::POST, "/clients", body, &[("idempotency-key", "k1")]);
    let first = create(json!({ "name": "c" })).await;
    assert_eq!(first.0, 201);
    assert_eq!(create(json!({ "name": "c" })).await, first);
    let (status, body) = create(json!({ "name": "d" })).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (422, &json!("idempotency_conflict")));
    stop(running).await;
}

#[tokio::test]
async fn explain_tells_targets_in_order_and_every_rule() {
    let running = start();
    let operator = Operator::of(&running);
    operator.good(Method::POST, "/apply", json!({ "file": file() })).await;
    let ask = |client: &str, model: &str| {
        operator.good(Method::POST, "/explain", json!({ "client": client, "model": model }))
    };
    let fast = ask("openclaw-1", "fast").await;
    assert_eq!((&fast["allowed"], &fast["model"]), (&json!(true), &json!("fast")));
    let order: Vec<String> = fast["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| format!("{} {}/{} {}", t["order"], t["provider"], t["model"], t["state"]).replace('"', ""))
        .collect();
    assert_eq!(order, ["1 openai/gpt-4o-mini ready", "1 my-vllm/qwen ready", "2 sandbox/echo ready"]);
    assert!(fast["rules"].to_string().contains("the client may use `fast`"), "{}", fast["rules"]);
    let other = ask("openclaw-1", "my-vllm/qwen").await;
    assert_eq!((&other["allowed"], &other["targets"]), (&json!(false), &json!([])));
    let unknown = ask("openclaw-1", "fats").await;
    assert!(unknown["rules"].to_string().contains("did you mean fast"), "{}", unknown["rules"]);
    assert_eq!(ask("openclaw-2", "fast").await["allowed"], false);
    assert_eq!(operator.bad(Method::POST, "/explain", json!({ "client": "x", "model": "y" })).await.0, 404);
    stop(running).await;
}

#[tokio::test]
async fn the_catalogue_the_schema_and_the_front_page() {
    let running = start();
    let operator = Operator::of(&running);
    assert!(operator.get("/catalog/providers").await.as_array().unwrap().len() > 100);
    assert_eq!(operator.get("/catalog/providers/deepseek").await["env"], json!(["DEEPSEEK_API_KEY"]));
    let found = operator.get("/catalog/models?provider=openai&search=4O-MINI&limit=3").await;
    assert_eq!(found.as_array().unwrap().len(), 3);
    let mini = operator.get("/catalog/models/openai/gpt-4o-mini").await;
    assert_eq!(mini["price"]["input"], "0.15");
    assert_eq!(mini["quirks"]["openai-chat"], json!(["max_output_tokens: 16384"]));
    let (status, error) = operator.bad(Method::GET, "/catalog/models/openai/gpt-4o-minni", Value::Null).await;
    assert_eq!((status, &error["nearest"][0]), (404, &json!("openai/gpt-4o-mini")));
    assert!(operator.get("/schema").await["properties"]["providers"].is_object());
    assert_eq!(operator.get("/openapi.json").await["openapi"], "3.1.0");
    let front = reqwest::get(format!("http://{}/", running.admin)).await.unwrap();
    assert!(front.text().await.unwrap().contains("/api/v1"));
    stop(running).await;
}

#[tokio::test]
async fn replicas_and_keys_tried_on_them() {
    let running = start();
    let operator = Operator::of(&running);
    operator.good(Method::POST, "/apply", json!({ "file": file() })).await;
    let (status, error) = operator.bad(Method::POST, "/providers/openai/test", json!({})).await;
    assert_eq!((status, &error["code"]), (503, &json!("no_replica")));
    let mut replica = Replica::connect(&running, hello("r1")).await.unwrap();
    replica.take().await;
    let answering = tokio::spawn(async move {
        for status in [200, 401, 200] {
            let to_replica::Message::Probe(probe) = replica.hear().await else { panic!("a probe") };
            let result = ProbeResult {
                id: probe.id,
                status,
                latency_micros: 2500,
                reason: format!("said {status}"),
                key_invalid: false,
            };
            replica.say(from_replica::Message::ProbeResult(result)).await;
        }
        replica
    });
    let tried = operator.good(Method::POST, "/providers/openai/test", json!({})).await;
    assert_eq!(
        tried[0],
        json!({ "key": "main", "version": 1, "status": 200, "latency_ms": 2.5, "ok": true, "verdict": "verified", "reason": "said 200" })
    );
    assert_eq!((&tried[1]["key"], &tried[1]["ok"]), (&json!("spare"), &json!(false)));
    let keyless = operator.good(Method::POST, "/providers/my-vllm/test", json!({})).await;
    assert_eq!((&keyless[0]["key"], &keyless[0]["ok"]), (&json!("none"), &json!(true)));
    let _replica = answering.await.unwrap();
    let fleet = operator.get("/fleet").await;
    assert_eq!(
        (&fleet[0]["id"], &fleet[0]["state"], &fleet[0]["snapshot"]),
        (&json!("r1"), &json!("ready"), &json!("1.3"))
    );
    assert_eq!(operator.good(Method::POST, "/fleet/r1/drain", json!({})).await["state"], "draining");
    assert_eq!(operator.bad(Method::GET, "/fleet/r2", Value::Null).await.0, 404);
    stop(running).await;
}

/// As many connections as there may be, all idle: it still stops, and in time.
#[tokio::test]
async fn a_full_house_does_not_hold_up_the_end() {
    let running = start();
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(tokio::net::TcpStream::connect(running.admin).await.unwrap());
    }
    let stopping = std::time::Instant::now();
    stop(running).await;
    assert!(stopping.elapsed() < keyway_controlplane::serve::STOP_GRACE * 3, "{:?}", stopping.elapsed());
    drop(idle);
}

#[tokio::test]
async fn without_a_collector_the_callers_trace_still_reaches_the_replicas() {
    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let running = start();
    let mut replica = Replica::connect(&running, hello("r1")).await.unwrap();
    assert_eq!(replica.state().await.traceparent, "", "nobody asked for the first state");
    let operator = Operator::of(&running);
    for (path, caller, told) in [("/models/a", CALLER, CALLER), ("/models/b", "00-nonsense", "")] {
        let headers = [("traceparent", caller)];
        let alias = json!({ "targets": [{ "provider": "sandbox", "model": "echo" }] });
        let (status, answer) = operator.send(Method::PUT, path, alias, &headers).await;
        assert!(status.is_success(), "{answer}");
        let mut late = Replica::connect(&running, hello(path)).await.unwrap();
        assert_eq!(late.state().await.traceparent, told);
    }
    stop(running).await;
}
