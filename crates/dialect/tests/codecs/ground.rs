//! What every test of codecs stands on: the dialects, a target, and streams read and written.

use keyway_dialect::canon::{Block, Event, Fold, Format, Part, Request, Response, Role};
use keyway_dialect::codec::{Asked, Broken, Codec, Target, codec};
use keyway_dialect::grammar::Grammar;
use keyway_dialect::quirk::Quirks;
use keyway_proto::snapshot::v1::Dialect;

/// Every dialect, with the name that users know.
pub(crate) const DIALECTS: [(Dialect, &str); 6] = [
    (Dialect::OpenaiChat, "openai-chat"),
    (Dialect::OpenaiResponses, "openai-responses"),
    (Dialect::AnthropicMessages, "anthropic-messages"),
    (Dialect::Gemini, "gemini"),
    (Dialect::BedrockConverse, "bedrock-converse"),
    (Dialect::CohereChat, "cohere-chat"),
];

/// The provider of all these tests.
pub(crate) const PROVIDER: &str = "p";

/// The dialects that have a codec.
pub(crate) fn codecs() -> Vec<(&'static dyn Codec, &'static str)> {
    DIALECTS.iter().filter_map(|(dialect, name)| Some((codec(*dialect)?, *name))).collect()
}

pub(crate) fn name(dialect: Dialect) -> &'static str {
    DIALECTS.iter().find(|(own, _)| *own == dialect).map_or("", |(_, name)| name)
}

pub(crate) fn named(name: &str) -> &'static dyn Codec {
    codecs().into_iter().find(|(_, own)| *own == name).unwrap_or_else(|| panic!("{name} has no codec")).0
}

pub(crate) fn target(quirks: &Quirks) -> Target<'_> {
    Target { provider: PROVIDER, model: "target-model", quirks }
}

pub(crate) fn asked() -> Asked {
    Asked { id: "01J".into(), model: "asked-model".into(), created: 1_700_000_000, include_usage: true }
}

/// Reads a stream in these pieces and checks the order of its events.
pub(crate) fn read<'a>(
    codec: &dyn Codec,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Result<(), Broken>) {
    let quirks = Quirks::default();
    let mut reader = codec.reader(&target(&quirks));
    let mut events = Vec::new();
    let mut done = Ok(());
    for piece in pieces {
        done = done.and_then(|()| reader.push(piece, &mut events));
    }
    done = done.and_then(|()| reader.end(&mut events));
    let mut grammar = Grammar::new();
    for event in &events {
        grammar.admit(event).unwrap_or_else(|illegal| panic!("{illegal}: {event:?} in {events:#?}"));
    }
    assert!(grammar.is_over() || done.is_err(), "a stream that ended has an end: {events:#?}");
    (events, done)
}

pub(crate) fn fold(events: &[Event]) -> Response {
    let mut fold = Fold::default();
    events.iter().for_each(|event| fold.add(event));
    fold.finish()
}

pub(crate) fn write(codec: &dyn Codec, events: &[Event]) -> Vec<u8> {
    let mut writer = codec.writer(&asked());
    let mut out = Vec::new();
    events.iter().for_each(|event| writer.write(event, &mut out));
    out
}

/// A request without the places that things stood at, and without a schema's name, which one dialect has to make up: what
/// differs between spellings of the same.
pub(crate) fn placeless(mut request: Request) -> Request {
    fn forget(block: &mut Block) {
        block.at = None;
        if let Part::Result(result) = &mut block.part {
            result.content.iter_mut().for_each(forget);
        }
    }
    if request.origin == Dialect::OpenaiResponses {
        // Items of the model that follow each other have no message to tell them apart.
        request.turns.dedup_by(|next, turn| {
            let model = turn.role == Role::Assistant && next.role == Role::Assistant;
            if model {
                turn.blocks.append(&mut next.blocks);
            }
            model
        });
    }
    for turn in &mut request.turns {
        turn.at = None;
        turn.blocks.iter_mut().for_each(forget);
    }
    request.tools.iter_mut().for_each(|tool| tool.at = None);
    if let Format::Schema { name, .. } = &mut request.format {
        *name = None;
    }
    request
}
