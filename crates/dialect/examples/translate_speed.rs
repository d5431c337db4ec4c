//! Prints how fast one dialect becomes another:
//! `cargo run --release -p keyway-dialect --example translate_speed`.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use keyway_dialect::canon::Event;
use keyway_dialect::codec::{Asked, Codec, Envelope, Target, codec};
use keyway_dialect::quirk::Quirks;
use keyway_proto::snapshot::v1::Dialect;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 40;
const ROUND: Duration = Duration::from_millis(10);
const DELTAS: u32 = 200;
const DIALECTS: [Dialect; 6] = [
    Dialect::OpenaiChat,
    Dialect::OpenaiResponses,
    Dialect::AnthropicMessages,
    Dialect::Gemini,
    Dialect::BedrockConverse,
    Dialect::CohereChat,
];

fn main() {
    let Some(chat) = codec(Dialect::OpenaiChat) else { return };
    let quirks = Quirks::default();
    let target = Target { provider: "p", model: "m", quirks: &quirks };
    let asked = Asked { include_usage: true, ..Asked::default() };
    let (request, reply) = (request(), reply());
    let stream = stream();
    for other in DIALECTS.into_iter().filter_map(codec).filter(|other| other.dialect() != chat.dialect()) {
        let name = other.dialect().as_str_name();
        report(&format!("{} byte chat request + 2 KB reply, to {name} and back", request.len()), 1, || {
            whole((chat, other), (&request, &reply), &target, &asked);
        });
        let mut events = Vec::new();
        let mut reader = chat.reader(&target);
        let _ = reader.push(stream.as_bytes(), &mut events);
        report(&format!("one event of a chat stream as {name}"), DELTAS, || {
            through(chat, other, &stream, &target, &asked);
        });
        let mut native = Vec::new();
        let mut writer = other.writer(&asked);
        events.iter().for_each(|event| writer.write(event, &mut native));
        report(&format!("one event of a {name} stream as chat"), DELTAS, || {
            through(other, chat, &native, &target, &asked);
        });
    }
}

fn whole(
    (chat, other): (&dyn Codec, &dyn Codec),
    (request, reply): (&str, &str),
    target: &Target<'_>,
    asked: &Asked,
) {
    let envelope = Envelope { model: "m", stream: false };
    let Ok(request) = chat.decode_request(request.as_bytes(), &envelope) else { return };
    let _ = black_box(other.encode_request(&request, target));
    let Ok(reply) = chat.decode_response(reply.as_bytes(), target) else { return };
    black_box(other.encode_response(&reply, asked));
}

fn through(from: &dyn Codec, to: &dyn Codec, stream: impl AsRef<[u8]>, target: &Target<'_>, asked: &Asked) {
    let (mut reader, mut writer) = (from.reader(target), to.writer(asked));
    let (mut events, mut out): (Vec<Event>, Vec<u8>) = (Vec::new(), Vec::new());
    let stream = stream.as_ref();
    for piece in stream.chunks(stream.len() / DELTAS as usize) {
        let _ = reader.push(piece, &mut events);
        events.drain(..).for_each(|event| writer.write(&event, &mut out));
        black_box(&out);
        out.clear();
    }
}

/// The quickest of many rounds, by the unit.
fn report(name: &str, units: u32, mut work: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let (begun, mut times) = (Instant::now(), 0);
        while begun.elapsed() < ROUND {
            work();
            times += 1;
        }
        best = best.min(begun.elapsed() / times);
    }
    println!("{name}: {:.2} µs", best.as_secs_f64() * 1e6 / f64::from(units));
}

fn request() -> String {
    let turns: Vec<String> = (0..6)
        .map(|at| {
            let role = if at % 2 == 0 { "user" } else { "assistant" };
            format!(r#"{{"role":"{role}","content":"{}"}}"#, "Some words of it. ".repeat(25))
        })
        .collect();
    let tool = r#"{"type":"function","function":{"name":"look","description":"looks","parameters":{"type":"object","properties":{"a":{"type":"string","description":"what to look for, in a few words"},"b":{"type":"integer"}}}}}"#;
    format!(
        r#"{{"model":"m","max_tokens":900,"temperature":0.5,"messages":[{},{{"role":"user","content":"go"}}],"tools":[{tool},{tool}]}}"#,
        turns.join(",")
    )
}

fn reply() -> String {
    format!(
        r#"{{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","tool_calls":[{{"id":"c","type":"function","function":{{"name":"look","arguments":"{{\"a\":\"b\"}}"}}}}]}},"finish_reason":"tool_calls"}}],"usage":{{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}}}"#,
        "text ".repeat(400)
    )
}

fn stream() -> String {
    let head = r#"data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":"#;
    let mut stream = String::new();
    for _ in 0..DELTAS {
        stream.push_str(head);
        stream.push_str("{\"content\":\" token\"},\"finish_reason\":null}]}\n\n");
    }
    stream.push_str(head);
    stream.push_str("{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    stream
}
