//! What the codec reads and writes: fixtures made from the SDK's types, crossings from and to other dialects, properties.

mod crossings;
mod fixtures;
mod meaning;
mod properties;

use super::OpenaiResponses;
use crate::canon::{Event, Fold, Response};
use crate::codec::{Asked, Broken, Codec, Envelope, Target};
use crate::grammar::Grammar;
use crate::quirk::Quirks;
use serde_json::Value;

const ENVELOPE: Envelope<'_> = Envelope { model: "asked-model", stream: false };

fn target(quirks: &Quirks) -> Target<'_> {
    Target { provider: "openai", model: "target-model", quirks }
}

fn asked() -> Asked {
    Asked { id: "01J".into(), model: "asked-model".into(), created: 1_700_000_000, include_usage: true }
}

/// Reads a stream in these pieces and checks the order of its events.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Result<(), Broken>) {
    let mut reader = OpenaiResponses.reader(&target(&Quirks::default()));
    let mut events = Vec::new();
    let pushed = pieces.into_iter().try_for_each(|piece| reader.push(piece, &mut events));
    let done = pushed.and_then(|()| reader.end(&mut events));
    let mut grammar = Grammar::new();
    for event in &events {
        grammar.admit(event).unwrap_or_else(|illegal| panic!("{illegal}: {event:?} in {events:#?}"));
    }
    assert!(grammar.is_over() || done.is_err(), "a stream that ended has an end: {events:#?}");
    (events, done)
}

fn fold(events: &[Event]) -> Response {
    let mut fold = Fold::default();
    events.iter().for_each(|event| fold.add(event));
    fold.finish()
}

fn write(events: &[Event]) -> String {
    let mut writer = OpenaiResponses.writer(&asked());
    let mut out = Vec::new();
    events.iter().for_each(|event| writer.write(event, &mut out));
    String::from_utf8(out).unwrap()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|bad| panic!("{bad}: {}", bytes.escape_ascii()))
}

/// Names and data of a stream's events.
fn sse(text: &str) -> Vec<(String, Value)> {
    let events = text.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').unwrap();
        let data = data.strip_prefix("data: ").unwrap();
        (name.strip_prefix("event: ").unwrap().to_owned(), json(data.as_bytes()))
    });
    events.collect()
}
