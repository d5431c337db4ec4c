//! Properties: any cut, any legal stream, any bytes.

use super::{Gemini, decode, encode, fold, read, target, write};
use crate::canon::unfold;
use crate::codec::Codec;
use crate::gemini::stream::GeminiWriter;
use crate::quirk::Quirks;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Parts of an answer, as the provider may send them.
fn part() -> impl Strategy<Value = Value> {
    let text = "[a-zé日 \"\\\\\n]{0,8}";
    prop_oneof![
        text.prop_map(|text| json!({"text": text})),
        text.prop_map(|text| json!({"text": text, "thought": true})),
        text.prop_map(|text| json!({"text": text, "thought": true, "thoughtSignature": "c2ln"})),
        text.prop_map(|text| json!({"text": text, "thoughtSignature": "bGFzdA=="})),
        (text, any::<bool>()).prop_map(|(text, signed)| {
            let call = json!({"functionCall": {"name": "f", "args": {"x": text}}});
            if signed { merged(call, json!({"thoughtSignature": "Y2FsbA=="})) } else { call }
        }),
        Just(json!({"functionCall": {"id": "id", "name": "g"}})),
        Just(json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})),
        Just(json!({"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AAAA"}})),
        Just(json!({"executableCode": {"language": "PYTHON", "code": "1"}})),
    ]
}

fn merged(mut one: Value, other: Value) -> Value {
    one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    one
}

/// A stream of one or two answers, each of which stops.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (0..2_u32, prop::collection::vec(part(), 0..4));
    (prop::collection::vec(chunk, 0..6), 0..20_u32).prop_map(|(chunks, tokens)| {
        let mut out = Vec::new();
        let mut event = |value: Value| out.extend(format!("data: {value}\r\n\r\n").into_bytes());
        for (index, parts) in &chunks {
            event(json!({"candidates": [{"index": index, "content": {"role": "model", "parts": parts}}], "modelVersion": "m", "responseId": "r"}));
        }
        let ends: Vec<Value> = (0..2).map(|index| json!({"index": index, "finishReason": "STOP"})).collect();
        event(json!({"candidates": ends, "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": tokens}, "modelVersion": "m", "responseId": "r"}));
        out
    })
}

/// A conversation as callers may send it.
fn conversation() -> impl Strategy<Value = Value> {
    let model = prop::collection::vec(part(), 0..5);
    let user = prop_oneof![
        "[a-zé]{0,5}".prop_map(|text| json!({"text": text})),
        Just(json!({"inlineData": {"mimeType": "text/plain", "data": "AAAA"}})),
        Just(
            json!({"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v.mp4"}, "videoMetadata": {"fps": 1}})
        ),
        "[a-z{}\"]{0,5}"
            .prop_map(|text| json!({"functionResponse": {"name": "f", "response": {"output": text}}})),
        "[a-z]{0,5}"
            .prop_map(|text| json!({"functionResponse": {"name": "f", "response": {"a": text, "b": 1}}})),
        "[a-z]{0,5}"
            .prop_map(|text| json!({"functionResponse": {"name": "f", "response": {"error": {"m": text}}}})),
        Just(json!({"later": 1})),
    ];
    let user = prop::collection::vec(user, 0..4);
    prop::collection::vec((model, user), 0..4).prop_map(|pairs| {
        let contents = pairs.into_iter().flat_map(|(model, user)| {
            [json!({"role": "user", "parts": user, "x": 1}), json!({"role": "model", "parts": model})]
        });
        json!({"contents": contents.collect::<Vec<_>>(), "later": [1]})
    })
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_events(stream in stream(), cuts in prop::collection::vec(0..4096_usize, 0..4)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % stream.len()).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().rev() {
            pieces.insert(0, &rest[*cut..]);
            rest = &rest[..*cut];
        }
        pieces.insert(0, rest);
        prop_assert_eq!(format!("{:?}", read(&pieces)), format!("{:?}", read(&[&stream])));
    }

    #[test]
    fn reading_writing_and_reading_keeps_the_reply(stream in stream()) {
        let (events, done) = read(&[&stream]);
        prop_assert_eq!(done, Ok(()));
        let reply = fold(&events);
        prop_assert_eq!(&fold(&read(&[&write(&events)]).0), &reply);
        prop_assert_eq!(&fold(&read(&[&write(&unfold(&reply))]).0), &reply);
        let quirks = Quirks::default();
        let body = Gemini.encode_response(&reply, &super::asked());
        prop_assert_eq!(&Gemini.decode_response(&body, &target(&quirks)).unwrap(), &reply);
    }

    #[test]
    fn a_conversation_survives_its_own_dialect(body in conversation()) {
        let request = decode(body.to_string().as_bytes());
        prop_assert_eq!(decode(&encode(&request)), request);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..256), cut in 0..256_usize) {
        let quirks = Quirks::default();
        let _ = Gemini.decode_request(&bytes, &super::ENVELOPE);
        let _ = Gemini.decode_response(&bytes, &target(&quirks));
        let _ = Gemini.fault(500, &bytes);
        let _ = read(&[&bytes[..cut.min(bytes.len())], &bytes[cut.min(bytes.len())..]]);
    }

    #[test]
    fn no_change_of_a_byte_makes_it_panic(stream in stream(), at in any::<usize>(), byte in any::<u8>()) {
        let mut stream = stream;
        let at = at % stream.len();
        stream[at] = byte;
        let _ = read(&[&stream]);
    }
}

#[test]
fn memory_is_bounded() {
    use crate::canon::{CallKind, Delta, Event, Head};
    use crate::codec::Writer;
    let mut writer = GeminiWriter::new(&super::asked());
    let mut out = Vec::new();
    writer.write(&Event::Start { id: None, model: None, created: None, usage: None }, &mut out);
    let head = Head::Call { id: "x".to_owned(), name: "f".to_owned(), kind: CallKind::Function };
    writer.write(&Event::Open { choice: 0, block: 0, head }, &mut out);
    let piece = Event::Delta { block: 0, delta: Delta::Text("x".repeat(1024 * 1024)) };
    for _ in 0..16 {
        writer.write(&piece, &mut out);
    }
    let text = std::str::from_utf8(&out).unwrap();
    assert!(text.starts_with("data: {\"error\":") && text.matches("data: ").count() == 1, "{text}");
}
