//! What is paid by the unit and not by the token: search units of reranks, images, seconds and characters of sound, web searches, requests.
//! `keyway usage` says what the provider's own record comes to, by a price table of its own and to the nano-dollar.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use keyway_e2e::gateway::{CHAT, Gateway, MESSAGES, Outcome, TOKEN, chat, streamed};
use keyway_testkit::caller::post;
use keyway_testkit::provider::{Provider, Reply, Seen};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
/// Femto-dollars of a nano-dollar.
const FEMTO: u128 = 1_000_000;
/// Model, meter, and femto-dollars a unit: those of the file below, less its discounts.
const PRICES: [(&str, &str, u128); 5] = [
    ("coh/rank", "search_units", 1_000_000_000_000),
    // Half a nano-dollar: each request is rounded, halves to the even one.
    ("coh/tiny", "search_units", 500_000),
    ("sim/picture", "images", 40_000_000_000_000),
    ("sim/whisper", "audio_milliseconds", 100_000_000),
    ("sim/voice", "characters", 15_000_000_000),
];
const RERANK: &str = "/v2/rerank";
const IMAGES: &str = "/v1/images/generations";
const LISTEN: &str = "/v1/audio/transcriptions";
const SPEAK: &str = "/v1/audio/speech";
const FORM: &str = "content-type: multipart/form-data; boundary=edge\r\n";

fn yaml(host: SocketAddr) -> String {
    format!(
        r#"providers:
  coh:
    dialect: cohere-chat
    base_url: "http://{host}"
    keys: [{{ name: main, secret: co-units-0123456789abcdef, discount: 50 }}]
    prices: {{ rank: {{ per_search_unit: "0.002" }}, tiny: {{ per_search_unit: "0.000000001" }} }}
  sim:
    dialect: openai-chat
    base_url: "http://{host}"
    api_key: sk-units-0123456789abcdef
    prices: {{ picture: {{ per_image: "0.04" }}, whisper: {{ per_second: "0.0001" }}, voice: {{ per_million_characters: 15 }} }}
clients:
  tester: {{ token: {TOKEN} }}
"#
    )
}

/// What a request is answered and billed: model and units. A form's number is the value of its second part.
fn billed(seen: &Seen) -> Option<(String, u64)> {
    let body = seen.json();
    let number = |name: &str| body.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok());
    Some(match seen.path() {
        RERANK => (format!("coh/{}", seen.model()), number("query")?),
        IMAGES => ("sim/picture".to_owned(), body.get("n")?.as_u64()?),
        SPEAK => ("sim/voice".to_owned(), body.get("input")?.as_str()?.chars().count() as u64),
        LISTEN => {
            let form = std::str::from_utf8(&seen.body).ok()?;
            let seconds = form.split("name=\"prompt\"\r\n\r\n").nth(1)?.split("\r\n").next()?;
            ("sim/whisper".to_owned(), seconds.parse::<u64>().ok()? * 1000)
        }
        _ => return None,
    })
}

fn reply(seen: &Seen) -> Reply {
    let Some((_, units)) = billed(seen) else { return Reply::status(400) };
    let ranks = json!([{ "index": 0, "relevance_score": 0.5 }]);
    let answer = match seen.path() {
        // Where nothing is told nothing can be reckoned.
        RERANK if units == 0 => json!({ "id": "r", "results": ranks }),
        RERANK => {
            json!({ "id": "r", "results": ranks, "meta": { "billed_units": { "search_units": units } } })
        }
        IMAGES => {
            json!({ "created": 1, "data": (0..units).map(|_| json!({ "b64_json": "aGk=" })).collect::<Vec<_>>() })
        }
        SPEAK => return Reply::whole("audio/mpeg", "sound"),
        _ => json!({ "text": "a", "usage": { "type": "duration", "seconds": units / 1000 } }),
    };
    Reply::whole("application/json", answer.to_string())
}

fn half_even(femto: u128) -> u128 {
    let (whole, rest) = (femto / FEMTO, femto % FEMTO);
    whole + u128::from(rest * 2 > FEMTO || (rest * 2 == FEMTO && whole % 2 == 1))
}

/// Requests, units, nano-dollars and requests without a price.
type Sum = (u64, u64, u128, u64);

fn recorded(provider: &Provider) -> BTreeMap<String, Sum> {
    let mut sums = BTreeMap::<String, Sum>::new();
    for (model, units) in provider.seen().iter().filter_map(billed) {
        let rate = PRICES.iter().find(|(name, ..)| *name == model).map_or(0, |(.., rate)| *rate);
        let sum = sums.entry(model).or_default();
        *sum = (
            sum.0 + 1,
            sum.1 + units,
            sum.2 + half_even(u128::from(units) * rate),
            sum.3 + u64::from(units == 0),
        );
    }
    sums
}

fn reported(gateway: &Gateway) -> Outcome<BTreeMap<String, Sum>> {
    let ran = gateway.keyway.cli(&["usage", "--by", "model", "--since", "1h", "--output", "json"])?;
    let rows: Vec<Value> = serde_json::from_str(&ran.stdout)?;
    let row = |row: &Value| {
        let model = row.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (_, meter, _) = PRICES.into_iter().find(|(name, ..)| *name == model)?;
        let count = |name: &str| row.pointer(name).and_then(Value::as_u64).unwrap_or_default();
        let units = count(&format!("/units/{meter}"));
        Some((model, (count("/requests"), units, count("/cost_nanodollars").into(), count("/unpriced"))))
    };
    Ok(rows.iter().filter_map(row).collect())
}

#[tokio::test]
async fn units_are_reported_as_money_to_the_nano_dollar() -> Outcome {
    let provider = Provider::start()?;
    provider.decide(reply);
    let gateway = Gateway::start(&yaml(provider.address()))?;
    let rerank = |model: &str, units: u64| {
        json!({ "model": model, "query": units.to_string(), "documents": ["a", "b"] }).to_string()
    };
    let picture = json!({ "model": "sim/picture", "prompt": "a cat", "n": 3 }).to_string();
    let speech = json!({ "model": "sim/voice", "input": "Grüße", "voice": "alloy" }).to_string();
    let mut asked = vec![(IMAGES, picture), (SPEAK, speech)];
    asked.extend([1, 7, 0].map(|units| (RERANK, rerank("coh/rank", units))));
    // 0.5, 1.5, 2.5 and 3.5 nano-dollars: 0, 2, 2 and 4.
    asked.extend([1, 3, 5, 7].map(|units| (RERANK, rerank("coh/tiny", units))));
    for (path, body) in &asked {
        let answer = gateway.ask(path, body).await?;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
    }
    let part = |name: &str, value: &str| {
        format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let form =
        [part("model", "sim/whisper"), part("prompt", "9"), part("file", "sound"), "--edge--\r\n".to_owned()];
    let request = String::from_utf8(post(LISTEN, TOKEN, "", form.concat().as_bytes()))?;
    let request = request.replacen("content-type: application/json\r\n", FORM, 1);
    let answer = gateway.connect().await?.ask(request.as_bytes()).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let recorded = recorded(&provider);
    let end = Instant::now() + PATIENCE;
    let said = loop {
        let said = reported(&gateway)?;
        let booked: u64 = said.values().map(|sum| sum.0).sum();
        if booked > asked.len() as u64 || Instant::now() > end {
            break said;
        }
        tokio::time::sleep(LOOK).await;
    };
    println!("{said:?}");
    assert_eq!(said, recorded);
    assert_eq!(said.get("coh/tiny"), Some(&(4, 16, 8, 0)));
    assert_eq!(said.get("coh/rank"), Some(&(3, 8, 8_000_000, 1)));
    Ok(())
}

/// A reply of Anthropic's that searched so often as the request's last message says, whole or as a stream.
fn searched(seen: &Seen) -> Reply {
    let body = seen.json();
    let searches: u64 = body
        .pointer("/messages/0/content")
        .and_then(|content| content.as_str().or_else(|| content.pointer("/0/text")?.as_str()))
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let usage = json!({ "input_tokens": 10, "output_tokens": 3, "server_tool_use": { "web_search_requests": searches } });
    let message = |content: Value, stop: Option<&str>, usage: &Value| {
        json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "seek", "content": content,
            "stop_reason": stop, "stop_sequence": null, "usage": usage })
    };
    if body.get("stream") != Some(&json!(true)) {
        let whole = message(json!([{ "type": "text", "text": "found" }]), Some("end_turn"), &usage);
        return Reply::whole("application/json", whole.to_string());
    }
    let start = message(json!([]), None, &json!({ "input_tokens": 10, "output_tokens": 1 }));
    let events = [
        json!({ "type": "message_start", "message": start }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "found" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": usage }),
        json!({ "type": "message_stop" }),
    ];
    let name =
        |event: &Value| event.get("type").and_then(Value::as_str).map(str::to_owned).unwrap_or_default();
    let event = |event: &Value| format!("event: {}\ndata: {event}\n\n", name(event));
    Reply::whole("text/event-stream", events.iter().map(event).collect::<String>())
}

#[tokio::test]
async fn web_searches_and_requests_are_reported_as_money() -> Outcome {
    let provider = Provider::start()?;
    provider.decide(|seen| if seen.model() == "seek" { searched(seen) } else { Reply::Good });
    let host = provider.address();
    // A cent a search, of which a tenth is taken off; three nano-dollars a request, whatever is said in it.
    let gateway = Gateway::start(&format!(
        "providers:
  ant:
    dialect: anthropic-messages
    base_url: \"http://{host}\"
    keys: [{{ name: main, secret: sk-ant-units-0123456789, discount: 10 }}]
    prices: {{ seek: {{ input: 0, output: 0, per_web_search: \"0.01\" }} }}
  sim:
    dialect: openai-chat
    base_url: \"http://{host}/v1\"
    api_key: sk-units-0123456789abcdef
    prices: {{ flat: {{ input: 0, output: 0, per_request: \"0.000000003\" }} }}
clients:
  tester: {{ token: {TOKEN} }}
"
    ))?;
    let seek = |searches: u64, stream: bool| {
        let turns = json!([{ "role": "user", "content": searches.to_string() }]);
        json!({ "model": "ant/seek", "max_tokens": 9, "stream": stream, "messages": turns }).to_string()
    };
    // In the provider's own dialect and across, whole and as a stream: 0 + 2 + 3 + 1 + 4 searches.
    let asked = [
        (MESSAGES, seek(0, false)),
        (MESSAGES, seek(2, false)),
        (MESSAGES, seek(3, true)),
        (CHAT, seek(1, false)),
        (CHAT, seek(4, true)),
        (CHAT, chat("sim/flat")),
        (CHAT, streamed("sim/flat")),
        (MESSAGES, seek(0, false).replace("ant/seek", "sim/flat")),
    ];
    for (path, body) in &asked {
        let answer = gateway.ask(path, body).await?;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
    }
    let end = Instant::now() + PATIENCE;
    let rows = loop {
        let ran = gateway.keyway.cli(&["usage", "--by", "model", "--since", "1h", "--output", "json"])?;
        let rows: Vec<Value> = serde_json::from_str(&ran.stdout)?;
        let booked: u64 = rows.iter().filter_map(|row| row["requests"].as_u64()).sum();
        if booked >= asked.len() as u64 || Instant::now() > end {
            break rows;
        }
        tokio::time::sleep(LOOK).await;
    };
    let of = |model: &str| rows.iter().find(|row| row["model"] == model).unwrap_or(&Value::Null);
    let (seek, flat) = (of("ant/seek"), of("sim/flat"));
    let told =
        |row: &Value| (row["requests"].clone(), row["cost_nanodollars"].clone(), row["unpriced"].clone());
    assert_eq!(seek.pointer("/units/web_searches"), Some(&json!(10)), "{rows:#?}");
    assert_eq!(told(seek), (json!(5), json!(90_000_000), json!(0)), "{rows:#?}");
    assert_eq!(told(flat), (json!(3), json!(9), json!(0)), "{rows:#?}");
    Ok(())
}
