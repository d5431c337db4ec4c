//! Requests: what is said survives being read and written, and no bytes make a codec panic.

use super::crossings::said;
use super::ground::{codecs, placeless, target};
use super::specimens::{add, plain};
use keyway_dialect::canon::Request;
use keyway_dialect::codec::Envelope;
use keyway_dialect::losses::Thing;
use keyway_dialect::quirk::Quirks;
use proptest::prelude::*;

const ENVELOPE: Envelope<'_> = Envelope { model: "asked-model", stream: true };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any things together that a dialect can say, in any order.
    #[test]
    fn whatever_is_said_is_said_again(picks in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        for (codec, name) in codecs() {
            let sayable: Vec<Thing> =
                Thing::ALL.iter().copied().filter(|thing| said(codec, *thing).is_some()).collect();
            let mut request = plain(codec.dialect());
            let mut things: Vec<Thing> = Vec::new();
            for pick in &picks {
                let thing = *pick.get(&sayable);
                // Cohere's strictness is one for all tools.
                let mixed = thing == Thing::ToolStrict && name == "cohere-chat";
                if !things.contains(&thing) && !mixed {
                    things.push(thing);
                    add(thing, &mut request);
                }
            }
            let quirks = Quirks::default();
            let encoded = codec.encode_request(&request, &target(&quirks)).unwrap();
            prop_assert!(encoded.lost.is_empty(), "{name} loses {:?} of its own", encoded.lost);
            let again = codec.decode_request(&encoded.body, &ENVELOPE).unwrap();
            prop_assert_eq!(Request { model: request.model.clone(), ..placeless(again) }, placeless(request));
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        read_all(&bytes);
    }

    /// One wrong byte in a body that holds everything.
    #[test]
    fn one_wrong_byte_never_panics(pick in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8) {
        for (codec, _) in codecs() {
            let bodies: Vec<Vec<u8>> =
                Thing::ALL.iter().filter_map(|thing| said(codec, *thing)).map(|(body, _)| body).collect();
            let mut body = pick.get(&bodies).clone();
            let at = at.index(body.len());
            body[at] = byte;
            read_all(&body);
        }
    }
}

/// Reads bytes as everything that they could be, and writes what was understood in every dialect.
fn read_all(bytes: &[u8]) {
    let quirks = Quirks::default();
    for (codec, _) in codecs() {
        let _ = codec.decode_response(bytes, &target(&quirks));
        codec.fault(400, bytes);
        if let Ok(request) = codec.decode_request(bytes, &ENVELOPE) {
            for (to, _) in codecs() {
                if let Ok(encoded) = to.encode_request(&request, &target(&quirks)) {
                    serde_json::from_slice::<serde_json::Value>(&encoded.body)
                        .expect("what is written is JSON");
                }
            }
        }
    }
}

#[test]
fn a_fault_names_the_field() {
    let table = [
        (
            "openai-chat",
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
            "messages[0].content[0].text: is required",
        ),
        (
            "openai-chat",
            r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{}}]}"#,
            "tools[0].function.name: is required",
        ),
        (
            "openai-chat",
            r#"{"model":"m","messages":[{"role":"wizard"}]}"#,
            "messages[0].role: must be system, developer, user, assistant or tool",
        ),
        (
            "openai-chat",
            r#"{"model":"m","messages":[],"temperature":"warm"}"#,
            "temperature: must be a number",
        ),
        (
            "anthropic-messages",
            r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url"}}]}]}"#,
            "messages[0].content[0].source.url: is required",
        ),
        ("anthropic-messages", r#"{"model":"m","messages":[]}"#, "max_tokens: is required"),
        (
            "anthropic-messages",
            r#"{"model":"m","max_tokens":1,"messages":[],"thinking":{"type":"enabled"}}"#,
            "thinking.budget_tokens: is required",
        ),
    ];
    for (dialect, body, expected) in table {
        let fault = super::ground::named(dialect).decode_request(body.as_bytes(), &ENVELOPE).unwrap_err();
        assert_eq!(fault.to_string(), expected);
    }
}
