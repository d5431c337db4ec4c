//! Prints how fast requests are scanned and streams are passed on: `cargo run --release -p keyway-dialect --example scan_speed`.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use bytes::Bytes;
use keyway_dialect::reply::UsageScan;
use keyway_dialect::stream::Relay;
use keyway_dialect::{rewrite, scan};
use keyway_proto::snapshot::v1::{Dialect, Endpoint, StreamEnd};
use std::hint::black_box;
use std::time::{Duration, Instant};

const MEGABYTE: usize = 1 << 20;
const ROUND: Duration = Duration::from_millis(10);
const ROUNDS: usize = 60;

fn main() {
    let bodies = [
        ("1 MB, one string", chat(&"Lorem ipsum dolor sit amet. ".repeat(MEGABYTE / 28))),
        (
            "1 MB, 2 KB messages with escapes",
            messages(r#"A line of \"text\", as people write it.\n"#, 48, MEGABYTE / 2000),
        ),
        ("1 MB, 2 KB messages, not ASCII", messages("Привет, 世界, ça va? ", 64, MEGABYTE / 2000)),
        ("1 MB, messages of 60 bytes", messages("a short message", 2, MEGABYTE / 64)),
        ("1 MB, image in base64", chat(&"iVBORw0KGgoAAAANSUhEUgAA".repeat(MEGABYTE / 24))),
        ("1 MB, tokens to embed", tokens(MEGABYTE / 7)),
        ("1 KB", messages("A line of text, of the length that people write. ", 9, 2)),
    ];
    for (name, body) in &bodies {
        report(&format!("scan {name}"), body.len(), || {
            let _ = black_box(scan::request(black_box(body)));
        });
    }
    for (name, body) in bodies.iter().rev().take(1) {
        let body = Bytes::from(body.clone());
        report(&format!("scan and rewrite {name}"), body.len(), || {
            let Ok(scan) = scan::request(&body) else { return };
            black_box(rewrite::request(body.clone(), &scan, Some("gpt-4o-mini"), true));
        });
    }
    let stream = Bytes::from(events(50));
    report("relay 50 events at once", stream.len(), || relay(&stream, stream.len()));
    report("relay 50 events one by one", stream.len(), || relay(&stream, stream.len() / 50));
    let reply = format!(
        r#"{{"id":"x","choices":[{{"message":{{"content":"{}"}}}}],"usage":{{"prompt_tokens":9,"completion_tokens":9}}}}"#,
        "text ".repeat(130)
    );
    report("usage of a reply", reply.len(), || {
        let mut scan = UsageScan::new(Dialect::OpenaiChat, Endpoint::ChatCompletions);
        scan.push(black_box(reply.as_bytes()));
        black_box(scan.finish());
    });
}

fn chat(content: &str) -> Vec<u8> {
    format!(r#"{{"messages":[{{"role":"user","content":"{content}"}}],"stream":true,"model":"fast"}}"#)
        .into_bytes()
}

fn messages(line: &str, lines: usize, count: usize) -> Vec<u8> {
    let message = format!(r#"{{"role":"user","content":"{}"}}"#, line.repeat(lines));
    let messages = vec![message; count].join(",");
    format!(r#"{{"model":"fast","temperature":0.2,"messages":[{messages}],"stream":true}}"#).into_bytes()
}

fn tokens(count: usize) -> Vec<u8> {
    let tokens: Vec<String> = (0..count).map(|n| (n * 7919 % 100_000).to_string()).collect();
    format!(r#"{{"model":"text-embedding-3-small","input":[{}]}}"#, tokens.join(",")).into_bytes()
}

fn events(count: usize) -> String {
    let event = concat!(
        r#"data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini","#,
        r#""system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" hello"},"logprobs":null,"#,
        r#""finish_reason":null}],"usage":null}"#,
        "\n\n"
    );
    event.repeat(count) + "data: [DONE]\n\n"
}

fn relay(stream: &Bytes, size: usize) {
    let mut relay = Relay::new(Dialect::OpenaiChat, Endpoint::ChatCompletions, StreamEnd::Done, true);
    let mut rest = stream.clone();
    while !rest.is_empty() {
        let chunk = rest.split_to(size.min(rest.len()));
        let _ = relay.push(chunk, &mut |part| {
            black_box(part);
        });
    }
    black_box(relay.finish(&mut |_| {}));
}

/// The best of some rounds, as time for one and bytes a second.
fn report(name: &str, bytes: usize, mut work: impl FnMut()) {
    let best = (0..ROUNDS).map(|_| round(&mut work)).min().unwrap_or_default();
    let nanos = u64::try_from(best.as_nanos()).unwrap_or(u64::MAX).max(1);
    let rate = u64::try_from(bytes).unwrap_or(u64::MAX) * 100 / nanos;
    println!("{name:40} {bytes:>8} bytes {nanos:>9} ns {:>4}.{:02} GB/s", rate / 100, rate % 100);
}

fn round(work: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < ROUND {
        for _ in 0..16 {
            work();
        }
        count += 16;
    }
    start.elapsed() / count
}
