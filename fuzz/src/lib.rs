//! What must hold of any bytes, one function for each kind of input: no panic, no illegal order of events, no more memory than
//! the input accounts for. The first bytes choose dialects; the rest is what came off the wire. Used by the targets of
//! cargo-fuzz, and by `crates/dialect/tests/mutate`, which needs no nightly.

use keyway_dialect::canon::{Event, Fold, unfold};
use keyway_dialect::codec::{Asked, Codec, Envelope, Target, codec};
use keyway_dialect::grammar::Grammar;
use keyway_dialect::operation::Operation;
use keyway_dialect::quirk::Quirks;
use keyway_dialect::{multipart, reply, rewrite, scan};
use keyway_proto::snapshot::v1::{Dialect, Endpoint};
use peak_alloc::PeakAlloc;

/// Counts what is allocated.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that anything may hold, whatever comes.
const FREE: usize = 256 * 1024;
/// Bytes for each byte of the input: a list of empty objects becomes a list of things with many fields.
const EACH: usize = 2048;
/// Bytes that a reader and a writer hold for each byte that came: names that are read again with each event.
const EACH_OF_STREAM: usize = 64;

const DIALECTS: [Dialect; 6] = [
    Dialect::OpenaiChat,
    Dialect::OpenaiResponses,
    Dialect::AnthropicMessages,
    Dialect::Gemini,
    Dialect::BedrockConverse,
    Dialect::CohereChat,
];
const ENVELOPE: Envelope<'_> = Envelope { model: "asked", stream: true };

/// What is done with an input.
pub type Run = fn(&[u8]);

/// The kinds of inputs, by name.
pub const TARGETS: [(&str, Run); 6] = [
    ("request", request),
    ("response", response),
    ("stream", stream),
    ("fault", fault),
    ("operation", operation),
    ("scan", scanned),
];

/// A caller's body; every dialect writes what was understood.
pub fn request(input: &[u8]) {
    let Some((from, body)) = chosen(input) else { return };
    let quirks = Quirks::default();
    bounded(input, EACH, || {
        let Ok(request) = from.decode_request(body, &ENVELOPE) else { return };
        for to in codecs() {
            if let Ok(encoded) = to.encode_request(&request, &target(&quirks)) {
                let read = to.decode_request(&encoded.body, &ENVELOPE);
                assert!(read.is_ok() || to.dialect() == from.dialect(), "{:?}: {read:?}", to.dialect());
            }
        }
    });
}

/// A provider's reply; every dialect writes what was understood.
pub fn response(input: &[u8]) {
    let Some((from, body)) = chosen(input) else { return };
    let quirks = Quirks::default();
    bounded(input, EACH, || {
        let Ok(response) = from.decode_response(body, &target(&quirks)) else { return };
        for to in codecs() {
            to.encode_response(&response, &asked());
        }
        let events = unfold(&response);
        legal(&events);
        let mut fold = Fold::default();
        events.iter().for_each(|event| fold.add(event));
    });
}

/// A provider's stream, in pieces; every dialect writes what was understood.
pub fn stream(input: &[u8]) {
    let Some((from, rest)) = chosen(input) else { return };
    let Some((size, bytes)) = rest.split_first() else { return };
    let quirks = Quirks::default();
    let target = target(&quirks);
    bounded(input, EACH, || {
        let mut events = Vec::new();
        let mut reader = from.reader(&target);
        let mut done =
            bytes.chunks(usize::from(*size).max(1)).try_for_each(|piece| reader.push(piece, &mut events));
        if done.is_ok() {
            done = reader.end(&mut events);
        }
        let over = legal(&events);
        assert!(over || done.is_err(), "a stream that ended has an end: {events:?}");
    });
    // What is held between events, without what went out.
    for to in codecs() {
        let before = MEMORY.current_usage();
        let (mut reader, mut writer) = (from.reader(&target), to.writer(&asked()));
        for piece in bytes.chunks(usize::from(*size).max(1)) {
            let (mut events, mut out) = (Vec::new(), Vec::new());
            let more = reader.push(piece, &mut events);
            events.drain(..).for_each(|event| writer.write(&event, &mut out));
            drop((events, out));
            let held = MEMORY.current_usage().saturating_sub(before);
            assert!(held <= FREE + EACH_OF_STREAM * bytes.len(), "{held} bytes held of {}", bytes.len());
            if more.is_err() {
                break;
            }
        }
    }
}

/// A provider's error reply, with its status.
pub fn fault(input: &[u8]) {
    let Some((from, rest)) = chosen(input) else { return };
    let Some((status, body)) = rest.split_first() else { return };
    bounded(input, EACH, || {
        let fault = from.fault(400 + u16::from(*status), body);
        for to in codecs() {
            to.encode_fault(&fault);
            let _ = keyway_dialect::fault::encode_event(&fault, to.dialect(), Endpoint::ChatCompletions);
        }
    });
}

/// What is asked for beside conversations: the body as a caller's, and as a provider's reply.
pub fn operation(input: &[u8]) {
    let Some((from, rest)) = chosen(input) else { return };
    let Some((which, body)) = rest.split_first() else { return };
    let operation = Operation::ALL[usize::from(*which) % Operation::ALL.len()];
    let models = ["m", "amazon.titan-embed-text-v2:0", "cohere.embed-v4:0", "cohere.rerank-v3-5:0"];
    let quirks = Quirks::default();
    bounded(input, EACH, || {
        let decoded = operation.decode_request(from.dialect(), body, &ENVELOPE);
        for request in decoded.into_iter().chain(example(operation)) {
            for to in codecs() {
                for model in models {
                    let _ = request.encode(to.dialect(), &Target { model, ..target(&quirks) });
                }
                if let Ok(response) = request.decode_response(to.dialect(), body) {
                    let _ = request.encode_response(&response, &asked());
                }
            }
        }
    });
}

/// A request of some caller's, so that replies are read too.
fn example(operation: Operation) -> Option<keyway_dialect::operation::Request> {
    let (dialect, body) = match operation {
        Operation::Embeddings => {
            (Dialect::OpenaiChat, r#"{"model":"m","input":"a","encoding_format":"base64"}"#)
        }
        Operation::Rerank => (Dialect::CohereChat, r#"{"model":"m","query":"q","documents":["a","b"]}"#),
        Operation::CountTokens => {
            (Dialect::AnthropicMessages, r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#)
        }
    };
    operation.decode_request(dialect, body.as_bytes(), &ENVELOPE).ok()
}

/// What is looked at where caller and provider speak one dialect.
pub fn scanned(input: &[u8]) {
    let Some((from, body)) = chosen(input) else { return };
    bounded(input, EACH, || {
        if let Ok(scan) = scan::request(body) {
            let _ = rewrite::request(bytes::Bytes::copy_from_slice(body), &scan, Some("another"), true);
        }
        if let Ok(form) = multipart::scan(body, "b") {
            let _ = multipart::rewrite(bytes::Bytes::copy_from_slice(body), &form, "another");
        }
        for endpoint in [Endpoint::ChatCompletions, Endpoint::Embeddings, Endpoint::CountTokens] {
            let mut usage = reply::UsageScan::new(from.dialect(), endpoint);
            body.chunks(7).for_each(|piece| usage.push(piece));
            let _ = usage.finish();
        }
    });
}

fn codecs() -> impl Iterator<Item = &'static dyn Codec> {
    DIALECTS.into_iter().filter_map(codec)
}

/// The dialect that the first byte stands for.
fn chosen(input: &[u8]) -> Option<(&'static dyn Codec, &[u8])> {
    let (which, rest) = input.split_first()?;
    Some((codec(DIALECTS[usize::from(*which) % DIALECTS.len()])?, rest))
}

fn target(quirks: &Quirks) -> Target<'_> {
    Target { provider: "p", model: "m", quirks }
}

fn asked() -> Asked {
    Asked { id: "i".into(), model: "m".into(), created: 1, include_usage: true }
}

/// Fails where the order is not legal; true if the stream is over.
fn legal(events: &[Event]) -> bool {
    let mut grammar = Grammar::new();
    for event in events {
        if let Err(illegal) = grammar.admit(event) {
            panic!("{illegal}: {event:?} in {events:?}");
        }
    }
    grammar.is_over()
}

/// Fails where more is allocated than the input accounts for.
fn bounded(input: &[u8], each: usize, work: impl FnOnce()) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    work();
    let peak = MEMORY.peak_usage().saturating_sub(before);
    assert!(peak <= FREE + each * input.len(), "{peak} bytes of memory for {} of input", input.len());
}
