//! `usage`, `logs` and `why` as processes against an admin API of this test: pages, streams that break, pipes that close.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::running::{Ran, keyway, kill, until};

/// What one connection gets.
enum Answer {
    Json(Value),
    Refused(u16),
    /// Server-sent events; then the connection breaks.
    Events(Vec<(&'static str, Value)>),
    /// One event again and again until the caller leaves.
    Endless(Value),
}

/// An admin API that answers one connection after the other; it gives the first lines of the requests.
fn admin(answers: Vec<Answer>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serve = move |answer: Answer| {
        let (mut stream, _) = listener.accept().expect("a connection");
        let line = asked(&mut stream);
        // A caller that has left is what some of these are about.
        let _ = answered(&mut stream, answer);
        line
    };
    (url, thread::spawn(move || answers.into_iter().map(serve).collect()))
}

fn asked(stream: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a request") == 1 {
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).expect("text");
    let target = text.split(' ').nth(1).expect("a target");
    target.strip_prefix("/api/v1").expect("below /api/v1").to_owned()
}

fn answered(stream: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    let event = |name: &str, value: &Value| format!(":\n\nevent: {name}\ndata: {value}\n\n");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    match answer {
        Answer::Json(value) => write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{value}"),
        Answer::Refused(status) => {
            let error = json!({ "error": { "code": "x", "message": "not here" } });
            write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n{error}")
        }
        Answer::Events(events) => {
            let events = events.iter().map(|(name, value)| event(name, value));
            stream.write_all([head.to_owned(), events.collect()].concat().as_bytes())
        }
        Answer::Endless(value) => {
            stream.write_all(head.as_bytes())?;
            loop {
                stream.write_all(event("record", &value).as_bytes())?;
            }
        }
    }
}

fn begin(url: &str, arguments: &[&str]) -> Child {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = keyway(home.path());
    command.env("KEYWAY_SERVER", url).env("KEYWAY_ADMIN_TOKEN", "a-token-of-this-test").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

fn run(url: &str, arguments: &[&str]) -> Ran {
    begin(url, arguments).wait_with_output().expect("ends").into()
}

fn row(client: &str, nano: u64, unpriced: u64) -> Value {
    json!({
        "client": client, "model": "sim/m", "requests": 3, "errors": 0, "input_tokens": 1500, "output_tokens": 7,
        "cost_nanodollars": nano, "unpriced": unpriced, "estimated": 0, "avg_ms": 1.5,
    })
}

fn page(rows: Vec<Value>, next: Option<&str>) -> Answer {
    let total = row("", 75, 2);
    Answer::Json(
        json!({ "since": 1, "until": 2, "by": ["client", "model"], "rows": rows, "total": total, "next": next }),
    )
}

fn record(id: &str) -> Value {
    json!({ "id": id, "started": "2026-11-25T22:23:40.123Z", "client": "bot", "status": 200, "model": "sim/m" })
}

#[test]
fn a_report_is_all_of_its_pages() {
    let pages = || vec![page(vec![row("a", 50, 0)], Some("c+/=")), page(vec![row("b", 25, 2)], None)];
    let (url, requests) = admin(pages());
    let ran =
        run(&url, &["usage", "--output", "json", "--since", "today", "--tag", "run=a b", "--sort", "tokens"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(
        serde_json::from_str::<Value>(&ran.stdout).expect("JSON"),
        json!([row("a", 50, 0), row("b", 25, 2)])
    );
    assert_eq!(
        requests.join().expect("served"),
        [
            "/usage?by=client%2Cmodel&since=today&sort=tokens&limit=10000&tag=run%3Da%20b",
            "/usage?by=client%2Cmodel&since=today&sort=tokens&limit=10000&cursor=c%2B%2F%3D&tag=run%3Da%20b",
        ]
    );
    let (url, requests) = admin(pages());
    let csv = run(&url, &["usage", "--csv"]);
    assert_eq!(csv.stdout.lines().count(), 3, "{}", csv.stdout);
    assert!(csv.stdout.starts_with("client,model,requests,errors,cancelled,input_tokens,"), "{}", csv.stdout);
    requests.join().expect("served");
}

#[test]
fn a_table_ends_with_its_sums_and_with_what_they_do_not_hold() {
    let (url, requests) =
        admin(vec![page(vec![row("a", 50, 0)], Some("n")), page(vec![row("x", 1, 2)], None)]);
    let ran = run(&url, &["usage", "--limit", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for part in ["0.00000005", "total", "UNPRICED", "does not hold 2 of 3 requests", "  sim/m  2"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(ran.stderr.contains("--limit"), "{}", ran.stderr);
    let requests = requests.join().expect("served");
    assert_eq!(requests[1], "/usage?by=model&since=1&until=2&sort=requests&limit=10000");
}

#[test]
fn records_come_page_by_page_and_no_more_than_asked_for() {
    let records =
        |next: Option<&str>| Answer::Json(json!({ "records": [record("1"), record("2")], "next": next }));
    let (url, requests) = admin(vec![records(Some("n")), records(None)]);
    let ran = run(&url, &["logs", "--output", "json", "--status", "5xx", "--unpriced", "--limit", "10"]);
    let ids: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(ids, [record("1"), record("2"), record("1"), record("2")]);
    let requests = requests.join().expect("served");
    assert_eq!(
        requests,
        ["/logs?limit=10&status=5xx&unpriced=true", "/logs?limit=8&cursor=n&status=5xx&unpriced=true"]
    );
    let (url, requests) = admin(vec![Answer::Json(json!({ "records": [], "next": null }))]);
    assert_eq!(run(&url, &["logs"]).stdout, "no requests are recorded there\n");
    requests.join().expect("served");
}

#[test]
fn a_broken_stream_is_opened_again_and_what_was_missed_is_said() {
    let (url, requests) = admin(vec![
        Answer::Events(vec![("record", record("1")), ("missed", json!({ "missed": 12 }))]),
        Answer::Refused(503),
        Answer::Events(vec![("record", record("2"))]),
        Answer::Refused(401),
    ]);
    let ran = run(&url, &["logs", "-f", "--client", "bot"]);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let rows: Vec<&str> = ran.stdout.lines().collect();
    assert!(rows.len() == 3 && rows[0].starts_with("TIME") && rows[2].ends_with('2'), "{}", ran.stdout);
    assert!(ran.stderr.contains("missed 12"), "{}", ran.stderr);
    assert_eq!(requests.join().expect("served"), ["/logs/follow?client=bot"; 4]);
}

#[test]
fn whoever_follows_ends_with_ctrl_c_and_with_its_reader() {
    let (url, requests) = admin(vec![Answer::Endless(record("1"))]);
    let mut child = begin(&url, &["logs", "-f", "--output", "json"]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.next().expect("a line").expect("text").contains("\"id\":\"1\""));
    drop(lines);
    assert_eq!(until("the end", || child.try_wait().expect("a child")).code(), Some(0));
    requests.join().expect("served");

    let (url, requests) = admin(vec![Answer::Endless(record("1"))]);
    let mut child = begin(&url, &["logs", "-f"]);
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut first = String::new();
    stdout.read_line(&mut first).expect("a line");
    // Read on, or the child would wait for a full pipe instead of for its signal.
    let rest = thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    kill("INT", u64::from(child.id()));
    assert_eq!(until("the end", || child.try_wait().expect("a child")).code(), Some(0));
    rest.join().expect("read").expect("read");
    requests.join().expect("served");
}

#[test]
fn why_says_what_to_do_where_there_is_no_record() {
    let (url, requests) =
        admin(vec![Answer::Refused(404), Answer::Json(record("01K0000000000000000000000A"))]);
    let ran = run(&url, &["why", "01K0000000000000000000000A"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(3), 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("keyway usage --since 2025-"), "{}", ran.stderr);
    let ran = run(&url, &["why", "01K0000000000000000000000A"]);
    assert!(ran.code == Some(0) && ran.stdout.contains("2026-11-25T22:23:40.123Z"), "{}", ran.stdout);
    assert_eq!(requests.join().expect("served"), ["/logs/01K0000000000000000000000A"; 2]);
    assert_eq!(run(&url, &["why", "not-an-id"]).code, Some(2));
}
