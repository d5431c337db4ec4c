//! Streams: cuts make no difference, what is written is read again, and no bytes make a reader panic or break the grammar.

use super::fixtures::cases;
use super::ground::{PROVIDER, codecs, fold, read, write};
use keyway_dialect::canon::{
    Block, Call, CallKind, Choice, Delta, Event, Part, Reasoning, Response, Seal, SealKind, Stop, StopReason,
    unfold,
};
use keyway_dialect::codec::Codec;
use keyway_dialect::usage::Usage;
use keyway_proto::snapshot::v1::{Dialect, Meter};
use proptest::prelude::*;
use std::fs;

/// Streams of all fixtures.
fn streams() -> Vec<(&'static dyn Codec, Vec<u8>)> {
    cases()
        .into_iter()
        .filter_map(|(codec, case)| Some((codec, fs::read(case.join("stream.sse")).ok()?)))
        .collect()
}

fn shown(events: &[Event]) -> String {
    format!("{events:?}")
}

#[test]
fn every_cut_gives_the_same_events() {
    for (codec, stream) in streams() {
        let (whole, done) = read(codec, [stream.as_slice()]);
        for at in 0..=stream.len() {
            let (cut, cut_done) = read(codec, [&stream[..at], &stream[at..]]);
            assert_eq!((shown(&cut), &cut_done), (shown(&whole), &done), "cut at {at}");
        }
        let (bytes, bytes_done) = read(codec, stream.chunks(1));
        assert_eq!((shown(&bytes), bytes_done), (shown(&whole), done));
    }
}

/// A stream that ends early never looks complete: there is no end without the reason for it.
#[test]
fn a_stream_that_is_cut_short_says_so() {
    for (codec, stream) in streams() {
        let (whole, done) = read(codec, [stream.as_slice()]);
        let Some(stop) = whole.iter().position(|event| matches!(event, Event::Stop { .. })) else { continue };
        if done.is_err() {
            continue;
        }
        for at in 0..stream.len() {
            let (cut, cut_done) = read(codec, [&stream[..at]]);
            assert!(cut.len() > stop || cut_done.is_err(), "{at}: {cut:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any legal stream survives being written and read, in every dialect, with its text in any pieces.
    #[test]
    fn what_is_written_is_read_again(answer in answer(), size in 1usize..9) {
        for (codec, name) in codecs() {
            let response = made_in(answer.clone(), codec.dialect());
            let events = pieces(unfold(&response), size);
            let bytes = write(codec, &events);
            let (again, done) = read(codec, bytes.chunks(97));
            prop_assert!(done.is_ok(), "{}: {:?}", name, done);
            let again = fold(&again);
            prop_assert_eq!(totals(&again), totals(&response), "{}", name);
            prop_assert_eq!(plain(again), plain(response), "{}", name);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        for (codec, _) in codecs() {
            let _ = read(codec, [bytes.as_slice()]);
        }
    }

    /// Bytes changed, left out and doubled, in streams that are real but for that.
    #[test]
    fn wrong_streams_stay_within_the_grammar(
        pick in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..4),
    ) {
        let all = streams();
        let (codec, mut stream) = pick.get(&all).clone();
        for (at, byte, how) in changes {
            let at = at.index(stream.len());
            match how {
                0 => stream[at] = byte,
                1 => stream.truncate(at.max(1)),
                _ => stream.extend_from_within(at..),
            }
        }
        let (events, _) = read(codec, stream.chunks(61));
        for (to, _) in codecs() {
            write(to, &events);
        }
    }

    /// Events doubled and in another order are refused or understood, never passed on in an illegal order.
    #[test]
    fn shuffled_streams_stay_within_the_grammar(
        pick in any::<prop::sample::Index>(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..24),
    ) {
        let all = streams();
        let (codec, stream) = pick.get(&all);
        let text = std::str::from_utf8(stream).unwrap();
        let events: Vec<&str> = text.split_inclusive("\n\n").collect();
        let shuffled: String = order.iter().map(|at| *at.get(&events)).collect();
        let _ = read(*codec, [events[0].as_bytes(), shuffled.as_bytes()]);
    }
}

/// Texts in pieces of so many characters.
fn pieces(events: Vec<Event>, size: usize) -> Vec<Event> {
    let mut out = Vec::new();
    for event in events {
        match event {
            Event::Delta { block, delta: Delta::Text(text) } => {
                let letters: Vec<char> = text.chars().collect();
                out.extend(
                    letters
                        .chunks(size)
                        .map(|piece| Event::Delta { block, delta: Delta::Text(piece.iter().collect()) }),
                );
            }
            other => out.push(other),
        }
    }
    out
}

/// Tokens in and out. What they are made of differs between dialects; fixtures say it for each.
fn totals(response: &Response) -> Option<(u64, u64)> {
    response.usage.map(|usage| (usage.input_total(), usage.output_total()))
}

/// What is compared: names, time and words of the provider's own are not in every dialect.
fn plain(mut response: Response) -> Response {
    (response.id, response.model, response.created, response.usage) = (None, None, None, None);
    for choice in &mut response.choices {
        if let Some(stop) = &mut choice.stop {
            stop.native = None;
            stop.sequence = None;
        }
    }
    response
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Thought(String, Option<String>),
    Call(String, String),
}

#[derive(Clone, Debug)]
struct Answer {
    pieces: Vec<Piece>,
    counts: [u64; 4],
    length: bool,
}

fn answer() -> impl Strategy<Value = Answer> {
    let text = "[a-zé\"\\\\\n{}漢🦀 ]{1,24}";
    let piece = prop_oneof![
        text.prop_map(Piece::Text),
        (text, prop::option::of("[A-Za-z0-9+/]{1,24}")).prop_map(|(text, seal)| Piece::Thought(text, seal)),
        ("[a-z_]{1,8}", prop::collection::btree_map("[a-z]{1,4}", text, 0..3))
            .prop_map(|(name, members)| { Piece::Call(name, serde_json::to_string(&members).unwrap()) }),
    ];
    (prop::collection::vec(piece, 1..6), prop::array::uniform4(0u64..100_000), any::<bool>())
        .prop_map(|(pieces, counts, length)| Answer { pieces, counts, length })
}

/// An answer as a provider of the dialect gives it: neighbours of one kind are one block.
fn made_in(answer: Answer, dialect: Dialect) -> Response {
    let mut blocks: Vec<Block> = Vec::new();
    let mut calls = 0;
    for piece in answer.pieces {
        let part = match piece {
            Piece::Text(text) => {
                if let Some(Part::Text { text: last, .. }) = blocks.last_mut().map(|block| &mut block.part) {
                    last.push_str(&text);
                    continue;
                }
                Part::Text { text, citations: Vec::new() }
            }
            Piece::Thought(..) if matches!(blocks.last(), Some(Block { part: Part::Reasoning(_), .. })) => {
                continue;
            }
            Piece::Thought(text, value) => {
                // Cohere signs nothing.
                let value = value.filter(|_| dialect != Dialect::CohereChat).unwrap_or_default();
                // Responses encrypts, together with the id of the item.
                let id = (dialect == Dialect::OpenaiResponses).then(|| format!("rs_{}", blocks.len()));
                let (kind, value) = match &id {
                    Some(id) => (SealKind::Encrypted, format!("{id}:{value}")),
                    None => (SealKind::Signature, value),
                };
                let seal = Seal { dialect, provider: Some(PROVIDER.to_owned()), kind, value };
                Part::Reasoning(Box::new(Reasoning { id, text, seal: Some(seal) }))
            }
            Piece::Call(name, arguments) => {
                calls += 1;
                let id = format!("call_{calls}");
                Part::Call(Box::new(Call { id, name, arguments, kind: CallKind::Function }))
            }
        };
        blocks.push(Block::new(part));
    }
    let reason = match (answer.length, calls) {
        (true, _) => StopReason::Length,
        (false, 0) => StopReason::End,
        (false, _) => StopReason::Call,
    };
    let [input, read, written, output] = answer.counts;
    // Gemini has no count of what is written to a cache: it is input.
    let (input, written) = if dialect == Dialect::Gemini { (input + written, 0) } else { (input, written) };
    let counts = [
        (Meter::Input, input),
        (Meter::CacheRead, read),
        (Meter::CacheWrite5m, written),
        (Meter::Output, output),
    ];
    // Bedrock and Cohere do not tell all of this.
    let (bedrock, cohere) = (dialect == Dialect::BedrockConverse, dialect == Dialect::CohereChat);
    let counts = counts.into_iter().filter(|(meter, _)| !cohere || *meter != Meter::CacheWrite5m);
    let counts: Vec<(Meter, u64)> = counts.collect();
    let reasoning = if bedrock || cohere { 0 } else { output / 2 };
    Response {
        id: (!bedrock).then(|| "reply-1".into()),
        model: (!bedrock && !cohere).then(|| "target-model".into()),
        created: None,
        choices: vec![Choice { blocks, stop: Some(Stop::new(reason, None)), logprobs: Vec::new() }],
        usage: Some(Usage::of(&counts, reasoning)),
        service_tier: None,
    }
}
