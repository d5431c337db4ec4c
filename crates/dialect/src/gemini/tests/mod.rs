//! The codec against fixtures: bodies as the SDK's types have them, beside what people wrote that they mean.

mod crossing;
mod meaning;
mod property;

use super::Gemini;
use crate::canon::{Event, Fold, Request, Response, unfold};
use crate::codec::{Asked, Broken, Codec, Envelope, Target};
use crate::grammar::Grammar;
use crate::quirk::Quirks;
use keyway_proto::snapshot::v1::Dialect;
use serde_json::Value;
use std::path::Path;

const ENVELOPE: Envelope<'static> = Envelope { model: "asked", stream: true };

fn target(quirks: &Quirks) -> Target<'_> {
    Target { provider: "google", model: "gemini-3-pro", quirks }
}

fn asked() -> Asked {
    Asked { id: "01J".to_owned(), model: "asked".to_owned(), created: 1_700_000_000, include_usage: true }
}

/// Reads a stream in pieces, and checks the order of what comes out.
fn read(pieces: &[&[u8]]) -> (Vec<Event>, Result<(), Broken>) {
    let quirks = Quirks::default();
    let mut reader = Gemini.reader(&target(&quirks));
    let mut events = Vec::new();
    let pushed = pieces.iter().try_for_each(|piece| reader.push(piece, &mut events));
    let done = pushed.and_then(|()| reader.end(&mut events));
    let mut grammar = Grammar::new();
    events.iter().for_each(|event| grammar.admit(event).unwrap());
    assert_eq!(grammar.is_over(), done.is_ok(), "{events:#?}");
    (events, done)
}

fn write(events: &[Event]) -> Vec<u8> {
    let mut writer = Gemini.writer(&asked());
    let mut out = Vec::new();
    events.iter().for_each(|event| writer.write(event, &mut out));
    out
}

fn fold(events: &[Event]) -> Response {
    let mut fold = Fold::default();
    events.iter().for_each(|event| fold.add(event));
    fold.finish()
}

fn decode(body: &[u8]) -> Request {
    Gemini.decode_request(body, &ENVELOPE).unwrap()
}

fn encode(request: &Request) -> Vec<u8> {
    let quirks = Quirks::default();
    let encoded = Gemini.encode_request(request, &target(&quirks)).unwrap();
    assert_eq!(encoded.lost, [], "one dialect loses nothing of itself");
    encoded.body.to_vec()
}

/// Every fixture of this name that means something of this kind: its case, its bytes, its meaning.
fn fixtures(name: &str, kind: &str) -> Vec<(String, Vec<u8>, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join("fixtures/gemini")).unwrap() {
        let case = entry.unwrap().file_name().into_string().unwrap();
        let meanings = std::fs::read(root.join(format!("src/gemini/tests/meanings/{case}.json"))).unwrap();
        let meanings: Value = serde_json::from_slice(&meanings).unwrap();
        let body = std::fs::read(root.join("fixtures/gemini").join(&case).join(name));
        if let (Ok(body), Some(meaning)) = (body, meanings.get(kind)) {
            found.push((case, body, meaning.clone()));
        }
    }
    assert!(!found.is_empty(), "no fixture has {name} that means {kind}");
    found
}

#[test]
fn requests_mean_what_is_written_beside_them() {
    for (case, body, expected) in fixtures("request.json", "request") {
        assert_eq!(meaning::request(&decode(&body)), expected, "{case}");
    }
}

#[test]
fn a_request_survives_its_own_dialect() {
    for (case, body, _) in fixtures("request.json", "request") {
        let request = decode(&body);
        let again = decode(&encode(&request));
        assert_eq!(again, request, "{case}");
    }
}

#[test]
fn replies_mean_what_is_written_beside_them_and_survive() {
    let quirks = Quirks::default();
    for (case, body, expected) in fixtures("response.json", "answer") {
        let reply = Gemini.decode_response(&body, &target(&quirks)).unwrap();
        assert_eq!(meaning::response(&reply), expected, "{case}");
        let written = Gemini.encode_response(&reply, &asked());
        assert_eq!(Gemini.decode_response(&written, &target(&quirks)).unwrap(), reply, "{case}");
        let (events, done) = read(&[&write(&unfold(&reply))]);
        assert_eq!((fold(&events), done), (reply, Ok(())), "{case}");
    }
}

#[test]
fn streams_mean_what_is_written_beside_them() {
    for (case, stream, expected) in fixtures("stream.sse", "answer") {
        let (events, done) = read(&[&stream]);
        assert_eq!(done, Ok(()), "{case}");
        let reply = fold(&events);
        assert_eq!(meaning::response(&reply), expected, "{case}");
        for events in [unfold(&reply), events] {
            let (again, done) = read(&[&write(&events)]);
            assert_eq!((fold(&again), done), (reply.clone(), Ok(())), "{case}");
        }
    }
}

#[test]
fn a_cut_stream_has_no_end() {
    for (case, stream, _) in fixtures("stream.sse", "cut") {
        assert_eq!(read(&[&stream]).1, Err(Broken::Cut), "{case}");
    }
    for (case, stream, _) in fixtures("stream.sse", "answer") {
        let last = stream.windows(6).rposition(|window| window == b"data: ").unwrap();
        assert_eq!(read(&[&stream[..last]]).1, Err(Broken::Cut), "{case}");
        // Whatever is lost of the last event, nothing is taken for an end that is none.
        assert!(read(&[&stream[..last + 20]]).1.is_err(), "{case}");
    }
}

#[test]
fn errors_mean_what_is_written_beside_them() {
    for (case, error, expected) in fixtures("error.json", "fault") {
        let error: Value = serde_json::from_slice(&error).unwrap();
        let body = error["body"].as_str().map_or_else(|| error["body"].to_string(), str::to_owned);
        let status = u16::try_from(error["status"].as_u64().unwrap()).unwrap();
        assert_eq!(meaning::fault(&Gemini.fault(status, body.as_bytes())), expected, "{case}");
    }
    for (case, stream, expected) in fixtures("stream.sse", "fault") {
        let (events, done) = read(&[&stream]);
        let Some(Event::Fault(fault)) = events.last() else { panic!("{events:?}") };
        assert_eq!((meaning::fault(fault), done), (expected, Ok(())), "{case}");
        // Written again it ends with the same error and without a reason.
        let (again, _) = read(&[&write(&events)]);
        let Some(Event::Fault(again)) = again.last() else { panic!("{again:?}") };
        assert_eq!((again.status, again.code), (fault.status, fault.code), "{case}");
    }
}

#[test]
fn an_error_is_written_as_the_sdk_reads_it() {
    use crate::fault::{Code, Fault};
    let fault = Fault {
        retry_after: Some(7),
        param: Some("contents[0]".to_owned()),
        request_id: "01J".to_owned(),
        ..Fault::new(Code::RateLimitExceeded, "too \"many\"")
    };
    let body: Value = serde_json::from_slice(&Gemini.encode_fault(&fault)).unwrap();
    let error = &body["error"];
    assert_eq!((&error["code"], &error["status"]), (&Value::from(429), &Value::from("RESOURCE_EXHAUSTED")));
    assert_eq!(error["message"], "too \"many\"");
    assert_eq!(error["details"][0]["reason"], "rate_limit_exceeded");
    let again = Gemini.fault(429, &Gemini.encode_fault(&fault));
    assert_eq!((&again.param, again.retry_after), (&fault.param, fault.retry_after));
    let event = crate::fault::encode_event(&fault, Dialect::Gemini, crate::codec::endpoint(Dialect::Gemini));
    assert!(event.starts_with(b"data: {\"error\":{") && event.ends_with(b"}\n\n"), "{event:?}");
}
