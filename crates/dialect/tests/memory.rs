//! What an open stream holds between two dialects, by what the allocator counts: under 4 KiB, where 64 are allowed, and no
//! more at its end than amid it. A dialect whose last event tells the whole answer again holds that answer once (docs/decisions/0013).

use keyway_dialect::canon::{CallKind, Delta, Event, Head, Stop, StopReason};
use keyway_dialect::codec::{Asked, Codec, Target, codec};
use keyway_dialect::quirk::Quirks;
use keyway_dialect::usage::Usage;
use keyway_proto::snapshot::v1::{Dialect, Meter};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that one open stream may hold.
const LIMIT: usize = 64 * 1024;
const DIALECTS: [Dialect; 6] = [
    Dialect::OpenaiChat,
    Dialect::OpenaiResponses,
    Dialect::AnthropicMessages,
    Dialect::Gemini,
    Dialect::BedrockConverse,
    Dialect::CohereChat,
];
/// Pieces of text and pieces of thoughts: together somewhat less than Responses may keep.
const PIECES: usize = if cfg!(debug_assertions) { 2_000 } else { 20_000 };
const PIECE: &str = "Twenty letters, no more ";

/// What a stream held: at its fullest amid the answer, and the fullest while one event was written.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    open: usize,
    busy: usize,
}

/// Thoughts, text and several calls, as events.
fn answer(pieces: usize) -> Vec<Event> {
    let mut events =
        vec![Event::Start { id: Some("r".into()), model: Some("m".into()), created: Some(1), usage: None }];
    let heads = [
        Head::Reasoning { id: None },
        Head::Text,
        Head::Call { id: "call_1".into(), name: "look".into(), kind: CallKind::Function },
    ];
    for (block, head) in (0u32..).zip(heads) {
        let call = matches!(head, Head::Call { .. });
        events.push(Event::Open { choice: 0, block, head });
        let text = |text: &str| Event::Delta { block, delta: Delta::Text(text.to_owned()) };
        if call {
            events.extend([text(r#"{"a":"#), text(r#""b"}"#)]);
        } else {
            events.extend((0..pieces).map(|_| text(PIECE)));
        }
        events.push(Event::Close { block });
    }
    events.push(Event::Stop { choice: 0, stop: Stop::new(StopReason::Call, None) });
    events.push(Event::Usage(Usage::of(&[(Meter::Input, 9), (Meter::Output, 9)], 0)));
    events.push(Event::End);
    events
}

/// The same as a provider of the dialect sends it, in its events.
fn native(from: &dyn Codec, pieces: usize) -> Vec<Vec<u8>> {
    let mut writer = from.writer(&asked());
    let mut chunks = Vec::new();
    for event in answer(pieces) {
        let mut chunk = Vec::new();
        writer.write(&event, &mut chunk);
        chunks.push(chunk);
    }
    chunks
}

fn asked() -> Asked {
    Asked { id: "i".into(), model: "m".into(), created: 1, include_usage: true }
}

fn through(from: &dyn Codec, to: &dyn Codec, chunks: &[Vec<u8>]) -> Held {
    let quirks = Quirks::default();
    let target = Target { provider: "p", model: "m", quirks: &quirks };
    let before = MEMORY.current_usage();
    let (mut reader, mut writer) = (from.reader(&target), to.writer(&asked()));
    let mut held = Held::default();
    for chunk in chunks {
        MEMORY.reset_peak_usage();
        let (mut events, mut out) = (Vec::new(), Vec::new());
        assert!(reader.push(chunk, &mut events).is_ok());
        events.drain(..).for_each(|event| writer.write(&event, &mut out));
        // What goes out is not the stream's any more.
        let (wrote, listed) = (out.capacity(), events.capacity() * size_of::<Event>());
        let peak = MEMORY.peak_usage().saturating_sub(before + wrote + listed);
        drop((events, out));
        held.busy = held.busy.max(peak);
        held.open = held.open.max(MEMORY.current_usage().saturating_sub(before));
    }
    held
}

#[test]
fn an_open_stream_holds_little_and_does_not_grow() {
    for from in DIALECTS.into_iter().filter_map(codec) {
        // A provider's last event that tells the whole answer is as long as the answer: that much is the event.
        let pieces = if from.dialect() == Dialect::OpenaiResponses { PIECES / 8 } else { PIECES };
        let (short, long) = (native(from, pieces / 8), native(from, pieces));
        for to in DIALECTS.into_iter().filter_map(codec) {
            if to.dialect() == from.dialect() {
                continue;
            }
            let (short, long) = (through(from, to, &short), through(from, to, &long));
            let name = format!("{:?} to {:?}: {short:?} {long:?}", from.dialect(), to.dialect());
            if to.dialect() == Dialect::OpenaiResponses {
                // Its answer, with room for an eighth more.
                let answer = 2 * pieces * PIECE.len();
                assert!(long.open < answer + answer / 8 + LIMIT / 4, "{name}");
                continue;
            }
            assert!(long.open < LIMIT / 16, "{name}");
            assert!(long.open <= short.open + 64, "{name}");
            // The event that is on its way stands beside it.
            let event =
                if from.dialect() == Dialect::OpenaiResponses { pieces * PIECE.len() * 5 } else { LIMIT / 8 };
            assert!(long.busy < event, "{name}");
        }
    }
}
