//! Calls over connections that break: a change is sent twice at most and happens once; half a backup is none.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ExitCode, Termination};
use std::thread::{self, JoinHandle};

use clap::Parser;
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::Cli;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::server::Server;
use crate::trace::Trace;

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

/// Answers one connection after the other with these bytes; gives the requests.
pub(super) fn peer(answers: Vec<&'static str>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serve = move || {
        let answer = |answer: &str| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let request = head(&mut stream);
            stream.write_all(answer.as_bytes()).expect("written");
            request
        };
        answers.into_iter().map(answer).collect()
    };
    (url, thread::spawn(serve))
}

fn head(stream: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a request") == 1 {
        text.push(byte[0]);
    }
    let mut text = String::from_utf8(text).expect("text");
    // The body too, or the end of the connection would be a reset.
    let length = line(&text, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    text.push_str(&String::from_utf8(body).expect("text"));
    text
}

fn line<'t>(request: &'t str, name: &str) -> Option<&'t str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn server(url: &str) -> Server {
    let token = Zeroizing::new("a-token-of-this-test".to_owned());
    let global = Cli::try_parse_from(["keyway", "export"]).expect("parses").global;
    Server::new(Connection { server: url.to_owned(), token }, Trace::new(&global)).expect("a server")
}

pub(super) fn keyway(url: &str, arguments: &[&str]) -> String {
    let cli = ["keyway", "--server", url, "--token", "a-token-of-this-test"];
    let cli = Cli::try_parse_from(cli.iter().chain(arguments)).expect("parses");
    let code = match crate::command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.code(),
    };
    format!("{:?}", code.report())
}

#[tokio::test]
async fn a_change_that_broke_off_is_sent_once_more_with_the_same_key() {
    let (url, peer) = peer(vec!["", GOOD]);
    server(&url).put("/teams/a", &json!({ "budget": null })).await.expect("done");
    let requests = peer.join().expect("served");
    let keys: Vec<_> = requests.iter().map(|request| line(request, "idempotency-key")).collect();
    assert!(keys[0].is_some_and(|key| key.len() == 32) && keys[0] == keys[1], "{requests:?}");
    assert!(requests[1].ends_with(r#"{"budget":null}"#), "{requests:?}");
}

#[tokio::test]
async fn it_is_sent_twice_at_most_and_a_question_has_no_key() {
    let (url, peer) = peer(vec!["", ""]);
    let failure = server(&url).get("/teams").await.expect_err("it broke off twice");
    assert!(matches!(failure, Failure::Unreachable { .. }), "{failure:?}");
    let requests = peer.join().expect("served");
    assert!(requests.iter().all(|request| line(request, "idempotency-key").is_none()), "{requests:?}");
}

#[tokio::test]
async fn each_change_has_a_key_of_its_own() {
    let (url, peer) = peer(vec![GOOD, GOOD]);
    for _ in 0..2 {
        server(&url).delete("/teams/a").await.expect("done");
    }
    let requests = peer.join().expect("served");
    assert_ne!(line(&requests[0], "idempotency-key"), line(&requests[1], "idempotency-key"));
}

#[test]
fn login_takes_whatever_token_the_server_knows() {
    let answers = [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 0, true),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 4, false),
    ];
    for (answer, code, kept) in answers {
        let home = tempfile::tempdir().expect("a directory");
        let (url, peer) = peer(vec![answer]);
        let ended = keyway(&url, &["--home", home.path().to_str().expect("text"), "login"]);
        assert_eq!(ended, format!("{:?}", ExitCode::from(code)));
        assert_eq!(home.path().join("login.json").exists(), kept);
        peer.join().expect("served");
    }
}

#[test]
fn a_backup_is_whole_and_replaces_nothing_unasked() {
    const WHOLE: &str =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    const HALF: &str =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n";
    const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("all.keyway");
    let file = path.to_str().expect("text");
    let code = |code: u8| format!("{:?}", ExitCode::from(code));
    let files = |path: &Path| fs::read_dir(path).expect("a directory").count();
    let (url, peer) = peer(vec![HALF, DENIED, WHOLE, HALF, WHOLE]);
    assert_eq!(keyway(&url, &["backup", file]), code(1));
    assert_eq!(keyway(&url, &["backup", file]), code(4));
    assert_eq!(files(directory.path()), 0);
    assert_eq!(keyway(&url, &["backup", file]), code(0));
    assert_eq!(fs::read(&path).expect("it is there"), b"abc");
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    fs::write(&path, "older").expect("written");
    assert_eq!(keyway(&url, &["backup", file]), code(1), "it is there");
    assert_eq!(keyway(&url, &["backup", file, "--force"]), code(1), "it broke off");
    assert_eq!(fs::read(&path).expect("it is there"), b"older");
    assert_eq!(keyway(&url, &["backup", file, "--force"]), code(0));
    assert_eq!((fs::read(&path).expect("it is there"), files(directory.path())), (b"abc".to_vec(), 1));
    peer.join().expect("served");
}
