//! Whatever comes in, nothing breaks and nothing grows without bound; what can be said comes out again.

use super::{ENVELOPE, asked, fold, read, sse, target, write};
use crate::canon::{CallKind, Delta, Event, Head, Stop, StopReason};
use crate::codec::Codec;
use crate::openai_responses::OpenaiResponses;
use crate::openai_responses::stream::KEPT_LIMIT;
use crate::quirk::Quirks;
use proptest::prelude::*;

/// A block of an answer: what kind, and its text in pieces.
fn block() -> impl Strategy<Value = (u8, Vec<String>)> {
    (0..4_u8, prop::collection::vec("[a-zé\"\\\\\n語]{1,6}", 1..4))
}

/// Events of an answer made of such blocks.
fn events(blocks: &[(u8, Vec<String>)]) -> Vec<Event> {
    let mut events =
        vec![Event::Start { id: Some("resp_1".into()), model: None, created: Some(7), usage: None }];
    for ((kind, pieces), number) in blocks.iter().zip(0..) {
        let name = format!("call_{number}");
        let head = match kind {
            0 => Head::Text,
            1 => Head::Refusal,
            2 => Head::Reasoning { id: Some(format!("rs_{number}")) },
            _ => Head::Call { id: name.clone(), name, kind: CallKind::Custom },
        };
        events.push(Event::Open { choice: 0, block: number, head });
        let deltas =
            pieces.iter().map(|piece| Event::Delta { block: number, delta: Delta::Text(piece.clone()) });
        events.extend(deltas);
        if *kind == 2 {
            let seal =
                crate::openai_responses::wire::seal(Some(&format!("rs_{number}")), "gAAA", Some("openai"));
            events.push(Event::Delta { block: number, delta: Delta::Seal(seal) });
        }
        events.push(Event::Close { block: number });
    }
    let has = |wanted: u8| blocks.iter().any(|(kind, _)| *kind == wanted);
    let reason = match () {
        () if has(3) => StopReason::Call,
        () if has(1) => StopReason::Refused,
        () => StopReason::End,
    };
    events.extend([Event::Stop { choice: 0, stop: Stop::new(reason, Some("completed")) }, Event::End]);
    events
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(blocks in prop::collection::vec(block(), 0..6), cut in 0..4096_usize) {
        let events = events(&blocks);
        let text = write(&events);
        let (head, tail) = text.as_bytes().split_at(cut.min(text.len()));
        let (read, done) = read([head, tail]);
        prop_assert_eq!(done, Ok(()));
        let mut wanted = fold(&events);
        wanted.model = Some("asked-model".into());
        // Without any block no choice comes but for its stop.
        prop_assert_eq!(fold(&read), wanted);
    }

    #[test]
    fn events_are_numbered_and_named_as_their_data_says(blocks in prop::collection::vec(block(), 0..6)) {
        for ((name, data), number) in sse(&write(&events(&blocks))).into_iter().zip(0..) {
            prop_assert_eq!(data["type"].as_str(), Some(name.as_str()));
            prop_assert_eq!(data["sequence_number"].as_u64(), Some(number));
        }
    }

    #[test]
    fn nothing_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let quirks = Quirks::default();
        let _ = OpenaiResponses.decode_request(&bytes, &ENVELOPE);
        let _ = OpenaiResponses.decode_response(&bytes, &target(&quirks));
        let _ = OpenaiResponses.fault(400, &bytes);
        let _ = read([bytes.as_slice()]);
    }

    #[test]
    fn events_in_any_order_come_out_in_a_legal_one(
        picked in prop::collection::vec((0..12_usize, 0..3_u64, 0..3_u64), 0..24),
    ) {
        let text: String = picked.into_iter().map(|(kind, item, part)| event(kind, item, part)).collect();
        // Checks the order of what comes out.
        let _ = read([text.as_bytes()]);
    }
}

/// An event of one of the kinds that the reader knows, for any item and part.
fn event(kind: usize, item: u64, part: u64) -> String {
    const KINDS: [(&str, &str); 12] = [
        ("response.created", r#""response":{"id":"r","model":"m","created_at":1.5}"#),
        (
            "response.output_item.added",
            r#""item":{"type":"function_call","call_id":"c","name":"f","id":"fc"}"#,
        ),
        ("response.output_item.added", r#""item":{"type":"message","id":"msg"}"#),
        ("response.output_text.delta", r#""delta":"t","logprobs":[{"token":"t","logprob":-1}]"#),
        ("response.refusal.delta", r#""delta":"no""#),
        ("response.reasoning_summary_text.delta", r#""delta":"h""#),
        ("response.reasoning_text.delta", r#""delta":"h""#),
        ("response.function_call_arguments.delta", r#""delta":"{""#),
        ("response.output_text.annotation.added", r#""annotation":{"type":"url_citation","url":"u"}"#),
        (
            "response.output_item.done",
            r#""item":{"type":"message","content":[{"type":"output_text","text":"t"}]}"#,
        ),
        ("response.output_item.done", r#""item":{"type":"reasoning","id":"rs_1","encrypted_content":"e"}"#),
        ("response.incomplete", r#""response":{"output":[]}"#),
    ];
    let (name, members) = KINDS[kind];
    format!(
        "event: {name}\ndata: {{\"type\":\"{name}\",\"output_index\":{item},\"content_index\":{part},\"summary_index\":{part},{members}}}\n\n"
    )
}

#[test]
fn an_answer_that_is_too_long_breaks_off_without_an_end() {
    let mut writer = OpenaiResponses.writer(&asked());
    let mut out = Vec::new();
    let start = Event::Start { id: None, model: None, created: None, usage: None };
    writer.write(&start, &mut out);
    writer.write(&Event::Open { choice: 0, block: 0, head: Head::Text }, &mut out);
    let delta = Event::Delta { block: 0, delta: Delta::Text("x".repeat(64 * 1024)) };
    for _ in 0..=KEPT_LIMIT / (64 * 1024) {
        out.clear();
        writer.write(&delta, &mut out);
    }
    let last = String::from_utf8(out.clone()).unwrap();
    assert!(last.contains("event: error"), "{}", last.get(..200).unwrap_or(&last));
    out.clear();
    writer.write(&Event::Stop { choice: 0, stop: Stop::new(StopReason::End, None) }, &mut out);
    writer.write(&Event::End, &mut out);
    assert!(out.is_empty());
}

#[test]
fn open_items_are_bounded() {
    let mut reader = OpenaiResponses.reader(&target(&Quirks::default()));
    let mut events = Vec::new();
    let pushed = (0..1024).try_for_each(|item| reader.push(event(2, item, 0).as_bytes(), &mut events));
    assert!(pushed.is_err());
}
