//! Golden files, walked: fixtures/<dialect>/<case>/. Bodies of providers and callers are made from the official SDK's types
//! and documents; what is expected is written by hand, never taken from our own output.
//!
//! - `request.json`: a caller's; `request.to.<dialect>.json`: `{"body", "lost"}` for a target, or `{"refused": path}`.
//! - `response.json`: a provider's; `response.as.<dialect>.json`: the caller's.
//! - `stream.sse`: a provider's; `stream.as.<dialect>.sse`: the caller's. Beside a `response.json` it folds to the same.
//! - `error.json`: `{"status", "body"}` of a provider; `error.as.<dialect>.json`: `{"status", "code", "body"}`.

use super::crossings::said as can_say;
use super::ground::{DIALECTS, asked, codecs, fold, read, target, write};
use keyway_dialect::canon::{CallKind, Part, Raw, Response, unfold};
use keyway_dialect::codec::{Codec, Envelope};
use keyway_dialect::losses::Thing;
use keyway_dialect::quirk::Quirks;
use pretty::same;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

mod pretty {
    use serde_json::Value;

    /// Compares JSON as what it says, and shows both where they differ.
    pub(super) fn same(found: &Value, expected: &Value, what: &str) {
        let show = |value: &Value| serde_json::to_string_pretty(value).unwrap();
        assert!(found == expected, "{what}\nfound: {}\nexpected: {}", show(found), show(expected));
    }
}

/// Every case of the dialects that have a codec, with files of its own.
pub(crate) fn cases() -> Vec<(&'static dyn Codec, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut cases = Vec::new();
    for (codec, name) in codecs() {
        let Ok(found) = fs::read_dir(root.join(name)) else { continue };
        cases.extend(found.map(|case| (codec, case.unwrap().path())));
    }
    assert!(cases.len() > 20, "fixtures are gone: {}", cases.len());
    cases
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn value(path: &Path) -> Option<Value> {
    let text = text(path)?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The files of a case that are named `<stem>.<dialect>.<ending>`, with the dialect.
fn variants(case: &Path, stem: &str, ending: &str) -> Vec<(&'static dyn Codec, PathBuf)> {
    let mut found = Vec::new();
    for (codec, name) in codecs() {
        let path = case.join(format!("{stem}.{name}.{ending}"));
        if path.exists() {
            found.push((codec, path));
        }
    }
    found
}

#[test]
fn requests_cross_as_they_should() {
    for (codec, case) in cases() {
        let Some(body) = text(&case.join("request.json")) else { continue };
        let envelope = Envelope { model: "asked-model", stream: false };
        let request = codec.decode_request(body.as_bytes(), &envelope);
        let request = request.unwrap_or_else(|bad| panic!("{}: {bad}", case.display()));
        for (to, path) in variants(&case, "request.to", "json") {
            let expected = value(&path).unwrap();
            let quirks = Quirks::default();
            let found = match to.encode_request(&request, &target(&quirks)) {
                Ok(encoded) => {
                    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
                    let lost: Vec<String> = encoded.lost.into_iter().map(|lost| lost.path).collect();
                    json!({"lost": lost, "body": body})
                }
                Err(unsupported) => json!({"refused": unsupported.path}),
            };
            same(&found, &expected, &path.display().to_string());
        }
    }
}

#[test]
fn replies_cross_as_they_should() {
    for (codec, case) in cases() {
        let Some(body) = text(&case.join("response.json")) else { continue };
        let quirks = Quirks::default();
        let response = codec.decode_response(body.as_bytes(), &target(&quirks));
        let response = response.unwrap_or_else(|bad| panic!("{}: {bad}", case.display()));
        for (to, path) in variants(&case, "response.as", "json") {
            let found: Value = serde_json::from_slice(&to.encode_response(&response, &asked())).unwrap();
            same(&found, &value(&path).unwrap(), &path.display().to_string());
        }
        // Whole or as a stream, callers get the same answer.
        if let Some(stream) = text(&case.join("stream.sse")) {
            let (events, done) = read(codec, [stream.as_bytes()]);
            done.unwrap_or_else(|broken| panic!("{}: {broken}", case.display()));
            assert_eq!(alike(fold(&events)), alike(response), "{}", case.display());
        }
    }
}

/// A reply without what only one of the two ways tells.
fn alike(mut response: Response) -> Response {
    response.service_tier = None;
    for choice in &mut response.choices {
        // A stream brings probabilities in pieces, and ids of thoughts not in every dialect.
        choice.logprobs.clear();
        for block in &mut choice.blocks {
            match &mut block.part {
                Part::Reasoning(thought) => thought.id = None,
                Part::Call(call) => call.arguments = in_one_line(&call.arguments),
                Part::Other { raw, .. } => *raw = Raw::parse(&in_one_line(raw.as_str())).unwrap(),
                Part::Text { citations, .. } => {
                    for (_, raw) in citations.iter_mut().filter_map(|citation| citation.raw.as_mut()) {
                        *raw = Raw::parse(&in_one_line(raw.as_str())).unwrap();
                    }
                }
                _ => {}
            }
        }
    }
    response
}

/// JSON as an event holds it: its line breaks would end the event.
fn in_one_line(json: &str) -> String {
    serde_json::from_str::<Value>(json).map_or_else(|_| json.to_owned(), |value| value.to_string())
}

#[test]
fn streams_cross_as_they_should() {
    for (codec, case) in cases() {
        let Some(stream) = text(&case.join("stream.sse")) else { continue };
        let (events, _) = read(codec, [stream.as_bytes()]);
        for (to, path) in variants(&case, "stream.as", "sse") {
            let found = String::from_utf8(write(to, &events)).unwrap();
            same(&said(&found), &said(&text(&path).unwrap()), &path.display().to_string());
        }
    }
}

/// A stream as a list of names and data.
fn said(stream: &str) -> Value {
    let events = stream.split("\n\n").filter(|event| !event.trim().is_empty());
    events
        .map(|event| {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let data = field("data:").unwrap_or_default();
            let data = serde_json::from_str(data).unwrap_or_else(|_| json!(data));
            json!([field("event:"), data])
        })
        .collect()
}

#[test]
fn errors_cross_as_they_should() {
    for (codec, case) in cases() {
        let Some(error) = value(&case.join("error.json")) else { continue };
        let status = u16::try_from(error["status"].as_u64().unwrap()).unwrap();
        let body = error["body"].as_str().map_or_else(|| error["body"].to_string(), str::to_owned);
        let fault = codec.fault(status, body.as_bytes());
        for (to, path) in variants(&case, "error.as", "json") {
            let body: Value = serde_json::from_slice(&to.encode_fault(&fault)).unwrap();
            let found = json!({"status": fault.status, "code": fault.code.as_str(), "body": body});
            same(&found, &value(&path).unwrap(), &path.display().to_string());
        }
    }
}

/// What a whole reply says, its unfolded stream says too, in every dialect that a caller may speak.
#[test]
fn a_stream_and_a_whole_reply_say_the_same_to_a_caller() {
    for (codec, case) in cases() {
        let Some(body) = text(&case.join("response.json")) else { continue };
        let quirks = Quirks::default();
        let response = codec.decode_response(body.as_bytes(), &target(&quirks)).unwrap();
        let free = response
            .choices
            .iter()
            .flat_map(|choice| &choice.blocks)
            .any(|block| matches!(&block.part, Part::Call(call) if call.kind == CallKind::Custom));
        for (to, name) in codecs() {
            // Only who can ask for free text as arguments gets it.
            if free && can_say(to, Thing::CustomCall).is_none() {
                continue;
            }
            let whole =
                to.decode_response(&to.encode_response(&response, &asked()), &target(&quirks)).unwrap();
            let (events, done) = read(to, [write(to, &unfold(&response)).as_slice()]);
            done.unwrap_or_else(|broken| panic!("{} as {name}: {broken}", case.display()));
            assert_eq!(alike(fold(&events)), alike(whole), "{} as {name}", case.display());
        }
    }
}

/// A file that is meant for a dialect names one that there is; dialects may keep files for tests of their own beside.
#[test]
fn every_crossing_names_a_dialect() {
    for (_, case) in cases() {
        for file in fs::read_dir(&case).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let parts: Vec<&str> = name.split('.').collect();
            if let [_, "to" | "as", dialect, ..] = parts.as_slice() {
                assert!(DIALECTS.iter().any(|(_, known)| known == dialect), "{}/{name}", case.display());
            }
        }
    }
}
