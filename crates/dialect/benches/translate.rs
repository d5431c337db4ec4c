//! What it costs to make one dialect of another: `cargo bench -p keyway-dialect`. Every pair, an event of a stream and a
//! request with its reply. Figures are processor time per event and per exchange; docs/benchmarks.md has some.

use criterion::{Criterion, criterion_group, criterion_main};
use keyway_dialect::canon::{CallKind, Delta, Event, Head, Stop, StopReason};
use keyway_dialect::codec::{Asked, Codec, Envelope, Target, codec};
use keyway_dialect::quirk::Quirks;
use keyway_dialect::usage::Usage;
use keyway_proto::snapshot::v1::{Dialect, Meter};
use std::hint::black_box;
use std::time::Duration;

const DIALECTS: [(Dialect, &str); 6] = [
    (Dialect::OpenaiChat, "chat"),
    (Dialect::OpenaiResponses, "responses"),
    (Dialect::AnthropicMessages, "anthropic"),
    (Dialect::Gemini, "gemini"),
    (Dialect::BedrockConverse, "bedrock"),
    (Dialect::CohereChat, "cohere"),
];
const ENVELOPE: Envelope<'_> = Envelope { model: "asked", stream: false };
/// The least that a request measures.
const REQUEST: usize = 4096;

fn pairs() -> impl Iterator<Item = (String, &'static dyn Codec, &'static dyn Codec)> {
    let codecs = || DIALECTS.into_iter().filter_map(|(dialect, name)| Some((codec(dialect)?, name)));
    codecs().flat_map(move |(from, caller)| {
        let others = codecs().filter(move |(to, _)| to.dialect() != from.dialect());
        others.map(move |(to, target)| (format!("{caller}-{target}"), from, to))
    })
}

/// One event of a provider's stream on its way to a caller, the stream's beginning and end shared out over all.
fn events(c: &mut Criterion) {
    let mut group = c.benchmark_group("event");
    let quirks = Quirks::default();
    let target = Target { provider: "p", model: "m", quirks: &quirks };
    for (name, caller, provider) in pairs() {
        let chunks = native(provider);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let streams = times.div_ceil(chunks.len() as u64);
                let all = cpu_of(streams, || through(provider, caller, &chunks, &target));
                all.mul_f64(times as f64 / (streams * chunks.len() as u64) as f64)
            });
        });
    }
    group.finish();
}

/// What so many times take of this thread's processor: others on the machine make that no longer.
fn cpu_of(times: u64, mut work: impl FnMut()) -> Duration {
    let begun = cpu();
    (0..times).for_each(|_| work());
    cpu().saturating_sub(begun)
}

fn cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

fn through(provider: &dyn Codec, caller: &dyn Codec, chunks: &[Vec<u8>], target: &Target<'_>) {
    let (mut reader, mut writer) = (provider.reader(target), caller.writer(&asked()));
    let (mut events, mut out): (Vec<Event>, Vec<u8>) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let _ = black_box(reader.push(chunk, &mut events));
        events.drain(..).for_each(|event| writer.write(&event, &mut out));
        black_box(&out);
        out.clear();
    }
}

/// A request of 4 KB for another dialect, and its reply of 2 KB back.
fn exchanges(c: &mut Criterion) {
    let mut group = c.benchmark_group("exchange");
    let quirks = Quirks::default();
    let target = Target { provider: "p", model: "m", quirks: &quirks };
    for (name, caller, provider) in pairs() {
        let (Some(request), Some(reply)) = (request(caller, &target), reply(provider, &target)) else {
            continue;
        };
        group.bench_function(name, |bencher| {
            let mut exchange = || {
                let request = caller.decode_request(&request, &ENVELOPE).map(|request| {
                    let _ = black_box(provider.encode_request(&request, &target));
                });
                let reply = provider.decode_response(&reply, &target);
                let reply = reply.map(|reply| black_box(caller.encode_response(&reply, &asked())));
                assert!(request.is_ok() && reply.is_ok(), "both are of their dialect");
            };
            bencher.iter_custom(|times| cpu_of(times, &mut exchange));
        });
    }
    group.finish();
}

/// Thoughts, text and a call, as a provider of the dialect streams them: one chunk an event.
fn native(provider: &dyn Codec) -> Vec<Vec<u8>> {
    let text = |block, text: &str| Event::Delta { block, delta: Delta::Text(text.to_owned()) };
    let mut events =
        vec![Event::Start { id: Some("r".into()), model: Some("m".into()), created: Some(1), usage: None }];
    let call = Head::Call { id: "call_1".into(), name: "look".into(), kind: CallKind::Function };
    let pieces = [(Head::Reasoning { id: None }, " thought", 50), (Head::Text, " token", 150), (call, "", 0)];
    for (block, (head, piece, count)) in (0u32..).zip(pieces) {
        events.push(Event::Open { choice: 0, block, head });
        events.extend((0..count).map(|_| text(block, piece)));
        if count == 0 {
            events.extend(["{\"city\":", "\"Lis", "bon\"", "}"].map(|piece| text(block, piece)));
        }
        events.push(Event::Close { block });
    }
    events.push(Event::Stop { choice: 0, stop: Stop::new(StopReason::Call, None) });
    events.push(Event::Usage(Usage::of(&[(Meter::Input, 9), (Meter::Output, 9)], 0)));
    events.push(Event::End);
    let mut writer = provider.writer(&asked());
    let chunks = events.iter().map(|event| {
        let mut chunk = Vec::new();
        writer.write(event, &mut chunk);
        chunk
    });
    chunks.filter(|chunk| !chunk.is_empty()).collect()
}

fn asked() -> Asked {
    Asked { id: "i".into(), model: "m".into(), created: 1, include_usage: true }
}

/// Seven turns and two tools, in the caller's dialect.
fn request(caller: &dyn Codec, target: &Target<'_>) -> Option<Vec<u8>> {
    let turns: Vec<String> = (0..6)
        .map(|at| {
            let role = if at % 2 == 0 { "user" } else { "assistant" };
            format!(r#"{{"role":"{role}","content":"{}"}}"#, "Some words of it. ".repeat(32))
        })
        .collect();
    let tool = |name: &str| {
        format!(
            r#"{{"type":"function","function":{{"name":"{name}","description":"looks","parameters":{{"type":"object","properties":{{"a":{{"type":"string","description":"what to look for, in a few words"}},"b":{{"type":"integer"}}}}}}}}}}"#
        )
    };
    let body = format!(
        r#"{{"model":"m","max_completion_tokens":900,"temperature":0.5,"messages":[{},{{"role":"user","content":"go"}}],"tools":[{},{}]}}"#,
        turns.join(","),
        tool("look"),
        tool("find")
    );
    let request = codec(Dialect::OpenaiChat)?.decode_request(body.as_bytes(), &ENVELOPE).ok()?;
    let body = caller.encode_request(&request, target).ok()?.body;
    (body.len() >= REQUEST * 9 / 10).then(|| body.to_vec())
}

/// Text of 2 KB and a call, in the provider's dialect.
fn reply(provider: &dyn Codec, target: &Target<'_>) -> Option<Vec<u8>> {
    let body = format!(
        r#"{{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","tool_calls":[{{"id":"c","type":"function","function":{{"name":"look","arguments":"{{\"a\":\"b\"}}"}}}}]}},"finish_reason":"tool_calls"}}],"usage":{{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}}}"#,
        "text ".repeat(400)
    );
    let reply = codec(Dialect::OpenaiChat)?.decode_response(body.as_bytes(), target).ok()?;
    Some(provider.encode_response(&reply, &asked()).to_vec())
}

fn quick() -> Criterion {
    let (warm, measured) = (Duration::from_millis(50), Duration::from_millis(300));
    Criterion::default().sample_size(30).warm_up_time(warm).measurement_time(measured)
}

criterion_group! { name = all; config = quick(); targets = events, exchanges }
criterion_main!(all);
