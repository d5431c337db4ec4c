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
use std::path::{Path, PathBuf};

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

/// Every fixture of this name, with its folder.
fn fixtures(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gemini");
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> =
        folders.filter_map(|folder| Some((folder.clone(), std::fs::read(folder.join(name)).ok()?))).collect();
    assert!(!found.is_empty(), "no fixture has {name}");
    found
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

#[test]
fn requests_mean_what_is_written_beside_them() {
    for (folder, body) in fixtures("request.json") {
        assert_eq!(meaning::request(&decode(&body)), json(&folder, "request.meaning.json"), "{folder:?}");
    }
}

#[test]
fn a_request_survives_its_own_dialect() {
    for (folder, body) in fixtures("request.json") {
        let request = decode(&body);
        let again = decode(&encode(&request));
        assert_eq!(again, request, "{folder:?}");
    }
}

#[test]
fn replies_mean_what_is_written_beside_them_and_survive() {
    let quirks = Quirks::default();
    for (folder, body) in fixtures("reply.json") {
        let reply = Gemini.decode_response(&body, &target(&quirks)).unwrap();
        assert_eq!(meaning::response(&reply), json(&folder, "meaning.json"), "{folder:?}");
        let written = Gemini.encode_response(&reply, &asked());
        assert_eq!(Gemini.decode_response(&written, &target(&quirks)).unwrap(), reply, "{folder:?}");
        let (events, done) = read(&[&write(&unfold(&reply))]);
        assert_eq!((fold(&events), done), (reply, Ok(())), "{folder:?}");
    }
}

#[test]
fn streams_mean_what_is_written_beside_them_whatever_the_cut() {
    for (folder, stream) in fixtures("stream.sse") {
        let (events, done) = read(&[&stream]);
        assert_eq!(done, Ok(()), "{folder:?}");
        assert_eq!(meaning::response(&fold(&events)), json(&folder, "meaning.json"), "{folder:?}");
        let shown = format!("{events:?}");
        for at in 0..stream.len() {
            let (cut, done) = read(&[&stream[..at], &stream[at..]]);
            assert_eq!((format!("{cut:?}"), done), (shown.clone(), Ok(())), "{folder:?} cut at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(format!("{:?}", read(&bytes).0), shown, "{folder:?} byte by byte");
    }
}

#[test]
fn a_stream_survives_being_written() {
    for (folder, stream) in fixtures("stream.sse") {
        let reply = fold(&read(&[&stream]).0);
        let (events, done) = read(&[&write(&unfold(&reply))]);
        assert_eq!((fold(&events), done), (reply.clone(), Ok(())), "{folder:?}");
        let (events, _) = read(&[&write(&read(&[&stream]).0)]);
        assert_eq!(fold(&events), reply, "{folder:?}");
    }
}

#[test]
fn a_cut_stream_has_no_end() {
    for (folder, stream) in fixtures("cut.sse") {
        assert_eq!(read(&[&stream]).1, Err(Broken::Cut), "{folder:?}");
    }
    for (folder, stream) in fixtures("stream.sse") {
        let last = stream.windows(6).rposition(|window| window == b"data: ").unwrap();
        assert_eq!(read(&[&stream[..last]]).1, Err(Broken::Cut), "{folder:?}");
        // Whatever is lost of the last event, nothing is taken for an end that is none.
        assert!(read(&[&stream[..last + 20]]).1.is_err(), "{folder:?}");
    }
}

#[test]
fn errors_mean_what_is_written_beside_them() {
    for (folder, body) in fixtures("error.json") {
        let expected = json(&folder, "meaning.json");
        let status = u16::try_from(expected["status"].as_u64().unwrap()).unwrap();
        assert_eq!(meaning::fault(&Gemini.fault(status, &body)), expected, "{folder:?}");
    }
    for (folder, stream) in fixtures("fault.sse") {
        let (events, done) = read(&[&stream]);
        let Some(Event::Fault(fault)) = events.last() else { panic!("{events:?}") };
        assert_eq!((meaning::fault(fault), done), (json(&folder, "meaning.json"), Ok(())), "{folder:?}");
        // Written again it ends with the same error and without a reason.
        let (again, _) = read(&[&write(&events)]);
        let Some(Event::Fault(again)) = again.last() else { panic!("{again:?}") };
        assert_eq!((again.status, again.code), (fault.status, fault.code), "{folder:?}");
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
