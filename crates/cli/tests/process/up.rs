//! `keyway up` as a process: what it leaves on disk, how it ends, how it looks after its replicas.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::running::{Up, keyway, kill, until};
use serde_json::Value;

#[test]
fn a_second_start_keeps_its_tokens_and_everything_is_private() {
    let up = Up::start(&[]);
    let token = up.fact("client_token").to_owned();
    assert!(up.text("out").contains(&token) && up.text("out").contains("sandbox/echo"));
    for (name, mode) in
        [("", 0o700), ("client.token", 0o600), ("admin.token", 0o600), ("../ready.json", 0o600)]
    {
        let found = up.home.join(name).metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    assert_eq!(up.facts["pid"], up.process.id());
    let (code, folder) = up.stop("TERM");
    assert_eq!(code, Some(0));
    let again = Up::start_in(folder, &[]);
    assert_eq!(again.fact("client_token"), token);
    assert_eq!(again.stop("INT").0, Some(0));
}

#[test]
fn a_taken_port_and_a_wrong_file_end_it_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("home");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let all = ["up", "--listen", "0", "--ops-listen", &port, "--admin-listen", "0", "--fleet-listen", "0"];
    let ended = keyway(&home).args(all).output().expect("runs");
    let expected = format!(
        "keyway: port {port} is taken on 127.0.0.1; stop what uses it, or choose another with --ops-listen\n"
    );
    assert_eq!((ended.status.code(), text(ended.stderr)), (Some(1), expected));
    let file = folder.path().join("keyway.yaml");
    std::fs::write(&file, "providers:\n  openai: { api_key: '${NOT_SET}' }\n").expect("written");
    let ended = keyway(&home).args(["up", "--config"]).arg(&file).output().expect("runs");
    let expected = "keyway.yaml:2: providers.openai.api_key: the environment variable NOT_SET is not set; set it or remove this line\n";
    assert_eq!((ended.status.code(), text(ended.stderr)), (Some(1), expected.into()));
    assert!(!home.exists());
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// Ids of replicas in a state.
fn replicas(up: &Up, state: &str) -> Vec<String> {
    let list = up.json(&["fleet", "list"]);
    let of_state = list.as_array().expect("a list").iter().filter(|one| one["state"] == state);
    of_state.filter_map(|one| one["id"].as_str().map(str::to_owned)).collect()
}

fn pid(up: &Up, id: &str) -> u64 {
    up.json(&["fleet", "show", id])["pid"].as_u64().expect("a pid")
}

fn runs(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_killed_replica_comes_back_and_a_drained_one_does_not() {
    let up = Up::start(&["--replicas", "3"]);
    let first = replicas(&up, "ready");
    assert_eq!(first.len(), 3);
    let killed = pid(&up, &first[0]);
    kill("KILL", killed);
    // Its name is the old one: a new process under it proves that the old one is gone.
    let now = until("a new replica", || {
        Some(replicas(&up, "ready")).filter(|now| *now == first && pid(&up, &now[0]) != killed)
    });
    assert!(!runs(killed));
    let drained = pid(&up, &now[1]);
    assert_eq!(up.run(&["fleet", "drain", &now[1]]).code, Some(0));
    until("the drained one to leave", || {
        (!up.json(&["fleet", "list"]).to_string().contains(&now[1])).then_some(())
    });
    assert!(!runs(drained), "it is off the list once its process was reaped");
    assert_eq!(replicas(&up, "ready").len(), 2);
    let left: Vec<u64> = replicas(&up, "ready").iter().map(|id| pid(&up, id)).collect();
    assert_eq!(up.stop("TERM").0, Some(0));
    assert!(!left.into_iter().any(runs));
}

#[test]
fn the_control_plane_outlives_the_last_data_plane_that_an_operator_drained() {
    for count in ["1", "2"] {
        let up = Up::start(&["--replicas", count]);
        for id in replicas(&up, "ready") {
            assert_eq!(up.run(&["fleet", "drain", &id]).code, Some(0));
        }
        until("it to say so", || up.text("err").contains("the control plane goes on").then_some(()));
        assert_eq!(up.run(&["client", "create", "later"]).code, Some(0));
        assert_eq!(up.stop("TERM").0, Some(0));
    }
}

#[test]
fn replicas_end_when_their_parent_dies_and_hold_none_of_its_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut up = Up::start_in(folder, &["--replicas", "2"]);
    let pids: Vec<u64> = replicas(&up, "ready").iter().map(|id| pid(&up, id)).collect();
    for pid in &pids {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("readable");
        assert_eq!(environment, b"", "KEYWAY_HOME and PATH are the parent's own");
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).expect("readable");
        assert!(arguments.ends_with(b"keyway\0replica\0"));
    }
    up.process.kill().expect("killed");
    until("replicas to end", || (!pids.iter().copied().any(runs)).then_some(()));
}

#[tokio::test]
async fn the_operations_port_answers_for_all_replicas() {
    let up = Up::start(&["--replicas", "2"]);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let get =
        async |path: &str| http.get(format!("{}{path}", up.fact("ops_url"))).send().await.expect("an answer");
    assert_eq!(get("/healthz").await.status(), 200);
    let ready: Value = get("/readyz").await.json().await.expect("JSON");
    assert_eq!((ready["ready"].as_bool(), ready["replicas"].as_array().map(Vec::len)), (Some(true), Some(2)));
    let snapshot: Value = get("/snapshot").await.json().await.expect("JSON");
    let served: Vec<&Value> =
        snapshot["replicas"].as_object().expect("an object").values().map(|one| &one["version"]).collect();
    assert_eq!(served, [&snapshot["version"], &snapshot["version"]]);
    let metrics = get("/metrics").await.text().await.expect("text");
    for id in replicas(&up, "ready") {
        assert!(metrics.contains(&format!("keyway_replica_up{{replica=\"{id}\"}} 1\n")), "{metrics}");
    }
    let types: Vec<&str> = metrics.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let mut once = types.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(types.len(), once.len(), "each family stands once");
}
