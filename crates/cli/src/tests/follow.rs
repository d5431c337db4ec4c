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

const TOKEN: &str = answer!(200 r#"{"name":"c","token":"kw_of-this-test"}"#);
const NO_HANDOVER: &str = answer!(200 r#"{"name":"c","handover":null}"#);
const RUNS: &str = answer!(200 r#"{"name":"c","handover":{"begun":1,"ended":null}}"#);
const OVER: &str = answer!(200 r#"{"name":"c","handover":{"begun":1,"ended":{"over":false}}}"#);
const ANOTHERS: &str = answer!(200 r#"{"name":"c","handover":{"begun":2,"ended":null}}"#);
const FORBIDDEN: &str = answer!(403 r#"{"error":{"code":"forbidden","message":"not yours"}}"#);

#[test]
fn a_wait_for_callers_ends_with_what_became_of_their_token() {
    let cases = [
        ("away for a while", vec![TOKEN, STARTS, RUNS, OVER], "24h", 0),
        ("another took its place", vec![TOKEN, RUNS, ANOTHERS], "24h", 1),
        ("it was taken away", vec![TOKEN, RUNS, NO_HANDOVER], "24h", 1),
        ("there is none", vec![TOKEN, NO_HANDOVER, NO_HANDOVER], "24h", 1),
        ("not there at first", vec![TOKEN, NO_HANDOVER, OVER], "24h", 0),
        ("the client was deleted", vec![TOKEN, GONE], "24h", 3),
        ("the operator may not look", vec![TOKEN, FORBIDDEN], "24h", 4),
        ("there is nothing to wait for", vec![], "0s", 2),
    ];
    for (what, answers, overlap, code) in cases {
        let (url, requests) = peer(answers);
        let ended = keyway(&url, &["client", "rotate", "c", "--overlap", overlap, "--wait"]);
        assert_eq!(ended, format!("{:?}", std::process::ExitCode::from(code)), "{what}");
        requests.join().expect("all were asked");
    }
}

const ALL_RETIRED: &str =
    answer!(200 r#"{"id":"1","key":"p/k","step":"done","outcome":"retired","replicas":1,"acknowledged":1}"#);
const REPORT: &str = answer!(200 r#"{"evidence":"{\"at\":1}","signature":"s"}"#);
const EXPOSED: &str = answer!(200 r#"{"evidence":"{\"at\":2}","signature":"s"}"#);
const WRONG: &str = answer!(400 r#"{"error":{"code":"invalid_request","message":"`since` is no time"}}"#);

#[test]
fn a_key_in_wrong_hands_goes_out_of_use_whether_or_not_a_report_can_be_made() {
    let cases = [
        ("all is well", vec![EXPOSED, ALL_RETIRED, EXPOSED], 0, Some("2")),
        ("no books at first", vec![STARTS, ALL_RETIRED, EXPOSED], 0, Some("2")),
        ("no books at all", vec![FORBIDDEN, ALL_RETIRED, STARTS, REPORT], 1, Some("1")),
        ("no report either", vec![STARTS, ALL_RETIRED, STARTS, GONE], 1, None),
        ("the change is refused", vec![STARTS, FORBIDDEN, EXPOSED], 4, Some("2")),
        ("no such key", vec![GONE], 3, None),
        ("a wrong question", vec![WRONG], 2, None),
    ];
    for (what, answers, code, written) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("report.json");
        let (url, requests) = peer(answers);
        let ended = keyway(&url, &["key", "compromise", "p/k", "--report", file.to_str().expect("text")]);
        assert_eq!(ended, format!("{:?}", std::process::ExitCode::from(code)), "{what}");
        requests.join().expect("all were asked");
        let at = std::fs::read_to_string(&file).ok();
        let at = at.as_deref().and_then(|text| text.split_once("at\\\":")?.1.get(..1));
        assert_eq!(at, written, "{what}");
    }
}

#[test]
fn a_stream_that_is_asked_for_wrongly_is_a_usage_error() {
    let (url, requests) = peer(vec![WRONG]);
    assert_eq!(keyway(&url, &["logs", "-f"]), format!("{:?}", std::process::ExitCode::from(2)));
    requests.join().expect("asked");
}

const TEAM: &str = answer!(200 r#"{"name":"t","version":3,"budget":{"usd":"5","per":"day"},"limits":{"requests_per_minute":7}}"#);

#[test]
fn what_is_not_said_of_a_team_stays() {
    let cases: [(&str, &[&str], &str); 3] = [
        (TEAM, &[], r#"{"budget":{"per":"day","usd":"5"},"limits":{"requests_per_minute":7}}"#),
        (
            TEAM,
            &["--budget", "9", "--per", "week"],
            r#"{"budget":{"per":"week","usd":"9"},"limits":{"requests_per_minute":7}}"#,
        ),
        (GONE, &[], "{}"),
    ];
    for (there, arguments, wanted) in cases {
        let (url, requests) = peer(vec![there, answer!(200 "{}")]);
        let ended = keyway(&url, &[&["team", "set", "t"], arguments].concat());
        assert_eq!(ended, format!("{:?}", std::process::ExitCode::SUCCESS), "{arguments:?}");
        let requests = requests.join().expect("both were asked");
        let body = requests[1].split_once("\r\n\r\n").expect("a body").1;
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(read(body), read(wanted), "{arguments:?}");
    }
}
