//! The program `keyway-controlplane` as a process.

use serde_json::Value;
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyway-controlplane"));
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    command.arg("--data-dir").arg(home).env("KEYWAY_FLEET_LISTEN", "0");
    command
}

fn fails(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

pub(crate) fn facts(child: &mut Child, ready: &Path) -> Value {
    let started = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(ready) {
            return serde_json::from_str(&text).unwrap();
        }
        assert!(child.try_wait().unwrap().is_none() && started.elapsed() < DEADLINE, "never ready");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn starts_says_where_and_ends_in_order() {
    let home = tempfile::tempdir().unwrap();
    let (ready, config) = (home.path().join("ready"), home.path().join("keyway.yaml"));
    std::fs::write(&config, "server: { admin_listen: '127.0.0.1:0' }\nclients: { a: {} }\n").unwrap();
    let mut command = program(home.path());
    let mut child = command.arg("--ready-file").arg(&ready).arg("--config").arg(&config).spawn().unwrap();
    let facts = facts(&mut child, &ready);
    assert_eq!(facts["pid"], child.id());
    let token = std::fs::read_to_string(facts["admin_token_file"].as_str().unwrap()).unwrap();
    assert!(token.starts_with("kw_"));
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(0));
    let said = String::from_utf8(stdout).unwrap();
    assert!(
        said.contains(facts["admin_url"].as_str().unwrap()) && said.contains("client a has the token kw_"),
        "{said}"
    );
}

#[test]
fn what_stops_it_is_one_line_that_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let with = |args: &[&str]| {
        let mut command = program(home.path());
        command.args(args);
        fails(command)
    };
    let table = [
        (vec!["--admin-listen", address.as_str()], "is taken; --admin-listen sets another port"),
        (vec!["--admin-listen", "0.0.0.0:0"], "give --tls-cert and --tls-key"),
        (vec!["--admin-listen", "0", "--config", "/no/such/file"], "/no/such/file: "),
        (vec!["--admin-listen", "0", "--tls-cert", "/no/cert", "--tls-key", "/no/key"], "/no/cert"),
    ];
    for (args, says) in table {
        let args: Vec<&str> = args.into_iter().collect();
        let said = with(&args);
        assert!(said.lines().count() == 1 && said.contains(says), "{args:?}: {said}");
    }
}

#[test]
fn variables_in_its_file_are_refused_with_the_way_out() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("keyway.yaml");
    std::fs::write(&config, "providers: { openai: { api_key: '${OPENAI_API_KEY}' } }\n").unwrap();
    let mut command = program(home.path());
    command.args(["--admin-listen", "0"]).arg("--config").arg(&config).env("OPENAI_API_KEY", "sk-1");
    let said = fails(command);
    assert!(said.contains("${OPENAI_API_KEY}") && said.contains("keyway apply -f"), "{said}");
}

#[tokio::test]
async fn nothing_that_it_says_holds_a_secret() {
    const MARKERS: [&str; 3] =
        ["marker-provider-0123456789", "marker-client-0123456789abc", "marker-rotated-0123456789"];
    let home = tempfile::tempdir().unwrap();
    let (ready, config) = (home.path().join("ready"), home.path().join("keyway.yaml"));
    let [provider, client, rotated] = MARKERS;
    let yaml = format!(
        "providers: {{ openai: {{ api_key: sk-{provider} }} }}\nclients: {{ a: {{ token: {client} }} }}\n"
    );
    std::fs::write(&config, yaml).unwrap();
    let mut command = program(home.path());
    command.args(["--admin-listen", "0", "--log", "trace"]).arg("--config").arg(&config);
    let mut child = command.arg("--ready-file").arg(&ready).spawn().unwrap();
    let facts = facts(&mut child, &ready);
    let admin = std::fs::read_to_string(facts["admin_token_file"].as_str().unwrap()).unwrap();
    let url = format!("{}/api/v1/providers/openai", facts["admin_url"].as_str().unwrap());
    let http = reqwest::Client::new();
    for body in [
        serde_json::json!({ "api_key": format!("sk-{rotated}") }),
        serde_json::json!({ "api_key": [rotated] }),
    ] {
        let answer = http.put(&url).bearer_auth(admin.trim()).json(&body).send().await.unwrap();
        assert!(!answer.text().await.unwrap().contains("marker"));
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let Output { stdout, stderr, .. } = child.wait_with_output().unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert!(said.contains("changed"), "it logs: {said}");
    let hidden = MARKERS.iter().copied().chain([admin.trim()]);
    hidden.for_each(|marker| assert!(!said.contains(marker), "{marker} is said: {said}"));
}
