use super::{
    CallKind, Delta, Event, Fold, Head, Seal, SealKind, Sequence, Stop, StopReason, holds_foreign_seals,
    unfold,
};
use crate::codec::Broken;
use crate::grammar::Grammar;
use crate::usage::Usage;
use base64::{Engine, prelude::BASE64_STANDARD};
use keyway_proto::snapshot::v1::{Dialect, Meter};

fn call(name: &str) -> Head {
    Head::Call { id: format!("id-{name}"), name: name.to_owned(), kind: CallKind::Function }
}

fn text(text: &str) -> Option<Delta> {
    Some(Delta::Text(text.to_owned()))
}

fn start() -> Event {
    Event::Start { id: None, model: None, created: None, usage: None }
}

/// Feeds pieces of calls, named by their key, and checks the order of what comes out.
fn sequenced(pieces: &[(u32, &'static str, &str)]) -> Vec<Event> {
    let mut sequence = Sequence::new();
    let mut out = vec![start()];
    for (choice, key, piece) in pieces {
        let head = || if *key == "text" { Head::Text } else { call(key) };
        sequence.piece((*choice, *key), head, text(piece), &mut out).unwrap();
    }
    let choices: std::collections::BTreeSet<u32> = pieces.iter().map(|piece| piece.0).collect();
    for choice in choices {
        sequence.stop(choice, Stop::new(StopReason::Call, None), &mut out).unwrap();
    }
    out.push(Event::End);
    let mut grammar = Grammar::new();
    out.iter().for_each(|event| grammar.admit(event).unwrap());
    out
}

fn folded(events: &[Event]) -> Vec<(String, String)> {
    let mut fold = Fold::default();
    events.iter().for_each(|event| fold.add(event));
    let choices = fold.finish().choices;
    let blocks = choices.into_iter().flat_map(|choice| choice.blocks);
    blocks
        .map(|block| match block.part {
            super::Part::Call(call) => (call.name, call.arguments),
            super::Part::Text { text, .. } => ("text".to_owned(), text),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn interleaved_calls_come_out_one_after_the_other() {
    let events = sequenced(&[
        (0, "text", "hi"),
        (0, "a", "{\"x\":\"}"),
        (0, "b", "{\"y\":"),
        (0, "a", "\\\"\"}"),
        (0, "b", "2}"),
        (0, "text", "bye"),
    ]);
    let expected = [("text", "hi"), ("a", "{\"x\":\"}\\\"\"}"), ("b", "{\"y\":2}"), ("text", "bye")];
    assert_eq!(folded(&events), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn a_call_that_is_whole_holds_nothing_back() {
    let mut sequence = Sequence::new();
    let mut out = Vec::new();
    sequence.piece((0, 0), || call("a"), text("{}"), &mut out).unwrap();
    sequence.piece((0, 1), || call("b"), text("{\"k\""), &mut out).unwrap();
    let last = out.last().unwrap();
    assert!(matches!(last, Event::Delta { block: 1, .. }), "{last:?}");
}

#[test]
fn what_waits_is_bounded() {
    let mut sequence = Sequence::new();
    let mut out = Vec::new();
    sequence.piece((0, 0), || call("a"), text("{"), &mut out).unwrap();
    let wide = "x".repeat(1024);
    let held = (0..64).try_for_each(|_| sequence.piece((0, 1), || call("b"), text(&wide), &mut out));
    assert_eq!(held, Err(Broken::Interleaved));
}

fn custom(name: &str) -> Head {
    Head::Call { id: format!("id-{name}"), name: name.to_owned(), kind: CallKind::Custom }
}

#[test]
fn a_custom_call_is_over_where_its_dialect_says_so() {
    let mut sequence = Sequence::new();
    let mut out = vec![start()];
    for (key, piece) in [("a", None), ("b", text("1")), ("a", text("x")), ("a", text("y")), ("b", text("2"))]
    {
        sequence.piece((0, key), || custom(key), piece, &mut out).unwrap();
    }
    // The one that waits ends first, and holds nothing back when its turn comes.
    sequence.close(0, &"b", &mut out).unwrap();
    assert!(!sequence.knows(0, &"b"));
    sequence.piece((0, "b"), || custom("again"), text("3"), &mut out).unwrap();
    sequence.close(0, &"b", &mut out).unwrap();
    sequence.close(0, &"a", &mut out).unwrap();
    sequence.piece((0, "c"), || Head::Text, text("4"), &mut out).unwrap();
    assert!(matches!(out.last(), Some(Event::Delta { delta: Delta::Text(four), .. }) if four == "4"));
    sequence.stop(0, Stop::new(StopReason::Call, None), &mut out).unwrap();
    out.push(Event::End);
    let mut grammar = Grammar::new();
    out.iter().for_each(|event| grammar.admit(event).unwrap());
    let expected = [("a", "xy"), ("b", "12"), ("again", "3"), ("text", "4")];
    assert_eq!(folded(&out), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn a_custom_call_gives_way_where_no_more_can_wait() {
    let mut sequence = Sequence::new();
    let mut out = Vec::new();
    sequence.piece((0, 0), || custom("a"), text("x"), &mut out).unwrap();
    let wide = "x".repeat(1024);
    (0..64).try_for_each(|_| sequence.piece((0, 1), || custom("b"), text(&wide), &mut out)).unwrap();
    assert!(matches!(out.last(), Some(Event::Delta { block: 1, .. })));
}

#[test]
fn choices_interleave() {
    let events = sequenced(&[(0, "text", "a"), (1, "text", "b"), (0, "text", "c"), (1, "text", "d")]);
    assert_eq!(folded(&events), [("text".into(), "ac".into()), ("text".into(), "bd".into())]);
}

#[test]
fn unfolding_and_folding_gives_the_reply_again() {
    let events = sequenced(&[(0, "text", "a"), (0, "x", "{}"), (0, "y", "{\"k\":[1,2]}")]);
    let mut fold = Fold::default();
    events.iter().for_each(|event| fold.add(event));
    let mut reply = fold.finish();
    reply.usage = Some(Usage::of(&[(Meter::Input, 7), (Meter::Output, 5)], 2));
    let mut grammar = Grammar::new();
    let mut again = Fold::default();
    for event in unfold(&reply) {
        grammar.admit(&event).unwrap();
        again.add(&event);
    }
    assert!(grammar.is_over());
    assert_eq!(again.finish(), reply);
}

#[test]
fn a_seal_goes_through_another_dialect_and_only_back_to_its_maker() {
    let made = Seal {
        dialect: Dialect::Gemini,
        provider: Some("vertex-eu".to_owned()),
        kind: SealKind::Encrypted,
        value: "a.b==".to_owned(),
    };
    let carried = made.wrap(Dialect::AnthropicMessages);
    assert_eq!(Seal::unwrap(Dialect::AnthropicMessages, SealKind::Signature, &carried), made);
    assert!(made.is_of(Dialect::Gemini, "vertex-eu"));
    assert!(!made.is_of(Dialect::Gemini, "gemini"));
    let own = Seal::unwrap(Dialect::AnthropicMessages, SealKind::Signature, "kw1:nonsense");
    assert_eq!((own.dialect, own.value.as_str()), (Dialect::AnthropicMessages, "kw1:nonsense"));
    assert!(own.is_of(Dialect::AnthropicMessages, "anthropic"));
}

#[test]
fn a_body_with_a_seal_of_another_dialect_is_told_by_its_bytes() {
    let dialects = [
        Dialect::OpenaiChat,
        Dialect::OpenaiResponses,
        Dialect::AnthropicMessages,
        Dialect::Gemini,
        Dialect::BedrockConverse,
        Dialect::CohereChat,
    ];
    for (caller, maker) in dialects.iter().flat_map(|caller| dialects.map(|maker| (*caller, maker))) {
        for (provider, value) in
            [(None, ""), (Some("p".to_owned()), "sig"), (Some("provider".to_owned()), "a.b==")]
        {
            let seal = Seal { dialect: maker, provider, kind: SealKind::Signature, value: value.to_owned() };
            let written = match caller {
                Dialect::Gemini => BASE64_STANDARD.encode(seal.wrap(caller)),
                _ => seal.wrap(caller),
            };
            let body = format!(r#"{{"signature":"{written}"}}"#);
            assert_eq!(
                holds_foreign_seals(caller, body.as_bytes()),
                caller != maker,
                "{caller:?} {maker:?} {body}"
            );
        }
    }
    assert!(!holds_foreign_seals(Dialect::OpenaiChat, b"{\"content\":\"what is kw1: for?\"}"));
}
