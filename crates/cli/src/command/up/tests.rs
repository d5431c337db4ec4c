//! What `up` decides before anything runs, and how a socket reaches a child.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keyway_catalog::Catalog;
use keyway_config::{File, Secret, Server, load};
use keyway_controlplane::resource::{Apply, Way};
use keyway_controlplane::{Certificates, Initial, Settings as Control, serve};

use super::announce::{Announcement, SANDBOX_MODEL, model};
use super::args::Up;
use super::found::{self, Found};
use super::ports::Ports;
use super::ready::{self, Facts};
use super::settings::Settings;

fn find(variables: &[&str], file: &str) -> Vec<Found> {
    let file = load(file, "f", |_| None).expect("a sound file").file;
    found::find(Catalog::embedded().providers(), &file, |name| {
        variables.contains(&name).then(|| "k-0123456789".into())
    })
}

fn names(found: &[Found]) -> Vec<&str> {
    found.iter().map(|found| found.provider.as_str()).collect()
}

fn facts() -> Facts {
    Facts {
        base_url: "http://127.0.0.1:1".into(),
        ops_url: "http://127.0.0.1:2".into(),
        admin_url: "http://127.0.0.1:3".into(),
        fleet_addr: "127.0.0.1:4".into(),
        client_token: Secret::new("kw_token".into()),
        admin_token_file: "/home/admin.token".into(),
        pid: 5,
    }
}

fn any_port() -> Server {
    let any = || Some("0".to_owned());
    Server { listen: any(), ops_listen: any(), admin_listen: any(), fleet_listen: any(), ..Server::default() }
}

#[test]
fn a_key_in_the_environment_goes_to_one_provider_and_not_to_one_of_the_file() {
    let all = [
        "OPENAI_API_KEY",
        "MOONSHOT_API_KEY",
        "DASHSCOPE_API_KEY",
        "ZHIPU_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
    ];
    assert_eq!(names(&find(&all, "")), ["alibaba", "moonshot", "openai", "zhipu"]);
    assert_eq!(names(&find(&all, "providers: { openai: , moonshot: }")), ["alibaba", "zhipu"]);
    assert!(find(&["PATH", "HOME", "OPENAI_BASE_URL"], "").is_empty());
}

#[test]
fn the_first_of_several_usual_names_wins() {
    let found = find(&["GOOGLE_API_KEY", "GEMINI_API_KEY"], "");
    assert_eq!((names(&found), found[0].variable.as_str()), (vec!["google"], "GEMINI_API_KEY"));
}

/// One row that could not be compiled would keep `keyway up` from starting for whoever has its variable set.
#[test]
fn the_control_plane_starts_with_every_key_that_can_be_found() {
    let found =
        found::find(Catalog::embedded().providers(), &File::default(), |_| Some("k-0123456789".into()));
    assert!(found.len() > 100, "{}", found.len());
    let file = File { providers: found::providers(&found), ..File::default() };
    let apply = Apply { file, prune: false, origin: "test".into() };
    let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let home = tempfile::TempDir::new().expect("a directory");
    let storage = keyway_controlplane::serve::Storage {
        home: home.path().to_owned(),
        root_key_file: None,
        credentials: None,
        index_check: None,
        shared: None,
    };
    let running = serve(Control {
        storage,
        admin: bind(),
        fleet: bind(),
        admin_token: Secret::new("a".repeat(24)),
        certificates: Certificates::at(Vec::new()),
        tls: None,
        tracer: keyway_telemetry::Tracer::default(),
        environment: None,
        initial: vec![Initial { apply, by: Way::Hand }],
    });
    let running = running.expect("starts");
    assert_eq!(running.initial[0].changes.len(), found.len());
    running.stop();
    running.join().expect("ends in order");
}

#[test]
fn snippets_ask_for_what_will_answer_openai_chat() {
    let of = |file: &str, variables: &[&str]| {
        let found = find(variables, file);
        model(&load(file, "f", |_| None).expect("a sound file").file, &found)
    };
    assert_eq!(of("", &[]), SANDBOX_MODEL);
    assert_eq!(of("", &["ANTHROPIC_API_KEY", "OPENAI_API_KEY"]), "openai/gpt-4o-mini");
    assert_eq!(
        of("models: { fast: { targets: [{ provider: sandbox, model: echo }] } }", &["OPENAI_API_KEY"]),
        "fast"
    );
    let own = "providers: { mine: { dialect: openai-chat, base_url: 'http://h:1', models: [m] } }";
    assert_eq!(of(own, &["OPENAI_API_KEY"]), "mine/m");
    let other = "providers: { mine: { dialect: anthropic-messages, base_url: 'http://h:1', models: [m] } }";
    assert_eq!(of(other, &[]), SANDBOX_MODEL);
}

#[test]
fn snippets_survive_a_token_with_quotes() {
    let token = r#"it's-a-"token"-with-$(odd)-`signs`\\"#;
    let facts = Facts { client_token: Secret::new(token.into()), ..facts() };
    let text = Announcement {
        facts: &facts,
        home: Path::new("/home"),
        client: "default",
        found: &[],
        configured: Vec::new(),
        model: SANDBOX_MODEL,
        replicas: None,
    }
    .text();
    let curl =
        text.split_once("curl:\n\ncurl ").and_then(|(_, rest)| rest.split_once("\n\n")).expect("a snippet").0;
    let script = format!("for word in {curl}; do printf '%s\\n' \"$word\"; done");
    let words = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
    let words = String::from_utf8(words.stdout).expect("text");
    assert!(words.lines().any(|word| word == format!("Authorization: Bearer {token}")), "{words}");
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let up = Up { listen: Some("9000".into()), ..Up::default() };
    let file = Server {
        listen: Some("1".into()),
        ops_listen: Some("0.0.0.0:2".into()),
        replicas: Some(3),
        ..Server::default()
    };
    let settings = Settings::new(&up, file).expect("settings");
    let shown =
        [settings.api, settings.ops, settings.admin, settings.fleet].map(|address| address.at.to_string());
    assert_eq!(shown, ["127.0.0.1:9000", "0.0.0.0:2", "127.0.0.1:8600", "127.0.0.1:8601"]);
    assert_eq!(settings.replicas, Some(3));
    assert!(
        Settings::new(&Up { listen: Some("host:port".into()), ..Up::default() }, Server::default()).is_err()
    );
}

#[test]
fn every_taken_port_is_named_with_its_option() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let up = Up { admin_listen: Some(port.to_string()), ..Up::default() };
    let settings = Settings::new(&up, any_port()).expect("settings");
    let failure = Ports::bind(&settings).expect_err("the port is taken").to_string();
    let expected = format!(
        "port {port} is taken on 127.0.0.1; stop what uses it, or choose another with --admin-listen"
    );
    assert_eq!(failure, expected);
    drop(taken);
    Ports::bind(&settings).expect("free again");
}

#[test]
fn the_ready_file_is_private_complete_and_removed_by_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ready.json");
    let facts = facts();
    facts.write(&path).expect("written");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let read: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
    let names: Vec<&String> = read.as_object().expect("an object").keys().collect();
    assert_eq!(
        names,
        ["base_url", "ops_url", "admin_url", "fleet_addr", "client_token", "admin_token_file", "pid"]
    );
    assert_eq!((read["client_token"].as_str(), read["pid"].as_u64()), (Some("kw_token"), Some(5)));
    assert!(!format!("{facts:?}").contains("kw_token"));
    ready::clear(&path).expect("removed");
    ready::clear(&path).expect("nothing to remove is fine");
    assert!(!path.exists());
}
