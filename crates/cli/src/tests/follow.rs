//! Waiting for a rollout while the control plane comes and goes.

use super::calls::{keyway, peer};

/// An answer with a length, or a stream that breaks off after one event.
macro_rules! answer {
    (stream $body:literal) => {
        concat!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n:\n\ndata: ",
            $body,
            "\n\n"
        )
    };
    ($status:literal $body:literal) => {
        concat!("HTTP/1.1 ", $status, " X\r\nconnection: close\r\n\r\n", $body)
    };
}

const WITHDRAWN: &str = answer!(200 r#"{"id":"1","key":"p/k","step":"withdrawn","outcome":"running","replicas":1,"acknowledged":1}"#);
const GOES_ON: &str = answer!(stream r#"{"id":"1","key":"p/k","step":"withdrawn","outcome":"running","replicas":1,"in_flight_old":1}"#);
const RETIRED: &str = answer!(stream r#"{"id":"1","key":"p/k","step":"done","outcome":"retired"}"#);
const ANOTHER: &str = answer!(200 r#"{"id":"2","key":"p/k","step":"active","outcome":"running"}"#);
const STARTS: &str = answer!(503 r#"{"error":{"code":"sealed","message":"the vault is sealed"}}"#);
const GONE: &str = answer!(404 r#"{"error":{"code":"not_found","message":"no key"}}"#);

#[test]
fn a_wait_outlives_the_control_plane_and_ends_with_what_became_of_the_rollout() {
    let cases = [
        ("back again", vec![WITHDRAWN, GOES_ON, STARTS, STARTS, RETIRED], 0),
        ("another took its place", vec![WITHDRAWN, GOES_ON, ANOTHER], 1),
        ("the key was deleted", vec![WITHDRAWN, GOES_ON, GONE], 3),
        ("at once", vec![WITHDRAWN, RETIRED], 0),
    ];
    for (what, answers, code) in cases {
        let (url, requests) = peer(answers);
        let ended = keyway(&url, &["key", "rollback", "p/k", "--wait", "--timeout", "20s"]);
        assert_eq!(ended, format!("{:?}", std::process::ExitCode::from(code)), "{what}");
        let requests = requests.join().expect("all were asked");
        let first: Vec<&str> = requests.iter().filter_map(|request| request.split(" HTTP").next()).collect();
        assert_eq!(first[0], "POST /api/v1/keys/p/k/rollback", "{what}");
        assert_eq!(first[1], "GET /api/v1/keys/p/k/events", "{what}");
    }
}

#[test]
fn a_wait_ends_with_5_when_its_time_is_over() {
    let (url, requests) = peer(vec![WITHDRAWN, GOES_ON]);
    // Nobody is there any more after these two.
    let ended = keyway(&url, &["key", "rollback", "p/k", "--wait", "--timeout", "700ms"]);
    assert_eq!(ended, format!("{:?}", std::process::ExitCode::from(5)));
    assert_eq!(requests.join().expect("asked").len(), 2);
}
