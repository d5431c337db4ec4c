//! Every fixture: what it means is what is read, in whole and in every cut, and what is written reads the same again.

use super::{ENVELOPE, asked, fold, json, meaning, read, target, write};
use crate::canon::{Event, Raw, Request, Response, unfold};
use crate::codec::{Broken, Codec};
use crate::openai_responses::OpenaiResponses;
use crate::quirk::Quirks;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/openai-responses");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|case| case.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 20, "{cases:?}");
    cases
}

/// Cases that have such a file: their name, the file, what they mean.
fn with(file: &str) -> Vec<(String, Vec<u8>, Value)> {
    let cases = cases().into_iter().filter_map(|case| {
        let bytes = std::fs::read(case.join(file)).ok()?;
        let meaning = json(&std::fs::read(case.join("meaning.json")).unwrap());
        Some((case.file_name()?.to_str()?.to_owned(), bytes, meaning))
    });
    cases.collect()
}

fn decode(body: &[u8]) -> Request {
    OpenaiResponses.decode_request(body, &ENVELOPE).unwrap()
}

fn reply(body: &[u8]) -> Response {
    OpenaiResponses.decode_response(body, &target(&Quirks::default())).unwrap()
}

/// What is told is as it should be; what the fixture leaves out is nothing.
fn assert_reply(name: &str, found: &Response, meaning: &Value) {
    let found = meaning::response(found);
    for (member, wanted) in meaning["reply"].as_object().unwrap() {
        if member != "usage" {
            assert_eq!(found[member], *wanted, "{name}: {member}");
        }
    }
    for (meter, count) in found["usage"].as_object().unwrap() {
        assert_eq!(count.as_u64(), meaning["reply"]["usage"][meter].as_u64().or(Some(0)), "{name}: {meter}");
    }
}

#[test]
fn requests_mean_what_they_should_and_stay_the_same() {
    let cases = with("request.json");
    assert!(cases.len() > 10);
    for (name, body, meaning) in cases {
        let request = decode(&body);
        if meaning["request"].is_object() {
            assert_eq!(normal(meaning::request(&request)), normal(meaning["request"].clone()), "{name}");
        }
        let quirks = Quirks::default();
        let encoded = OpenaiResponses.encode_request(&request, &target(&quirks)).unwrap();
        assert_eq!(encoded.lost, [], "{name}");
        let again = decode(&encoded.body);
        assert_eq!(again, Request { model: "target-model".into(), ..request }, "{name}");
    }
}

/// Schemas are held as text in fixtures.
fn normal(mut value: Value) -> Value {
    match &mut value {
        Value::String(text) if text.starts_with('{') => serde_json::from_str(text).unwrap_or(value),
        Value::Array(items) => items.iter().cloned().map(normal).collect(),
        Value::Object(members) => {
            members.values_mut().for_each(|member| *member = normal(member.clone()));
            value
        }
        _ => value,
    }
}

#[test]
fn replies_mean_what_they_should_and_stay_the_same() {
    let cases = with("response.json");
    assert!(cases.len() > 10);
    for (name, body, meaning) in cases {
        let response = reply(&body);
        assert_reply(&name, &response, &meaning);
        let again = reply(&OpenaiResponses.encode_response(&response, &asked()));
        assert_eq!(compact(again), compact(response.clone()), "{name}");
        assert_eq!(fold(&unfold(&response)), response, "{name}");
    }
}

/// Lists of probabilities without blanks, which are not kept.
fn compact(mut response: Response) -> Response {
    for list in response.choices.iter_mut().flat_map(|choice| &mut choice.logprobs) {
        *list = Raw::parse(&json(list.as_str().as_bytes()).to_string()).unwrap();
    }
    response
}

#[test]
fn streams_mean_what_they_should_in_every_cut_and_stay_the_same() {
    for (name, body, meaning) in with("stream.sse") {
        let (events, done) = read([body.as_slice()]);
        let whole = fold(&events);
        for at in 0..body.len() {
            let (head, tail) = body.split_at(at);
            let (cut, ended) = read([head, tail]);
            assert_eq!((cut.len(), ended), (events.len(), done.clone()), "{name}, cut at {at}");
            assert_eq!(fold(&cut), whole, "{name}, cut at {at}");
        }
        let bytes = read(body.chunks(1));
        assert_eq!(format!("{:?}", bytes.0), format!("{events:?}"), "{name}, byte by byte");
        if meaning["cut"] == true {
            assert_eq!(done, Err(Broken::Cut), "{name}");
            let blocks: Value = whole.choices[0].blocks.iter().map(meaning::block).collect();
            assert_eq!(blocks, meaning["blocks"], "{name}");
        } else if meaning["fault"].is_object() {
            let Some(Event::Fault(fault)) = events.last() else { panic!("{name}: {events:?}") };
            let found = meaning::fault(fault);
            assert_eq!(
                (&found["status"], &found["code"]),
                (&meaning["fault"]["status"], &meaning["fault"]["code"])
            );
        } else {
            assert_eq!(done, Ok(()), "{name}");
            assert_reply(&name, &whole, &meaning);
            let again = read([write(&events).as_bytes()]);
            assert_eq!((compact(fold(&again.0)), again.1), (compact(whole), Ok(())), "{name}");
        }
    }
}

#[test]
fn errors_mean_what_they_should() {
    let cases = with("error.json");
    assert!(cases.len() > 4);
    for (name, body, meaning) in cases {
        let (error, sent) = (&meaning["error"], json(&body));
        let status = sent["status"].as_u64().unwrap();
        let found =
            OpenaiResponses.fault(u16::try_from(status).unwrap(), sent["body"].to_string().as_bytes());
        for (member, value) in meaning::fault(&found).as_object().unwrap() {
            assert_eq!(*value, error[member], "{name}: {member}");
        }
    }
}
