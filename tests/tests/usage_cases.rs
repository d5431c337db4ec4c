//! What users of other gateways were billed wrongly for, case by case, with the figures reckoned by hand. Beside it what a report
//! shows to whom, and how soon.

use std::time::{Duration, Instant};

use keyway_e2e::admin::Admin;
use keyway_e2e::gateway::{Gateway, Outcome};
use keyway_e2e::usage::{Answered, CLIENTS, Wish, exchange, prices, yaml};
use keyway_testkit::billing::{Biller, Kind, Order, Told};
use keyway_testkit::process::{Planes, Ran};
use reqwest::Method;
use serde_json::Value;

/// How long a record may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// A gateway before a provider that bills.
struct Case {
    biller: Biller,
    gateway: Gateway,
}

impl Case {
    fn start() -> Outcome<Self> {
        let biller = Biller::start(prices())?;
        let gateway = Gateway::start(&yaml(&biller.provider.base_url()))?;
        Ok(Self { biller, gateway })
    }

    async fn ask(
        &self,
        client: usize,
        (kind, model): (Kind, &'static str),
        order: Order,
    ) -> Outcome<Answered> {
        let client = *CLIENTS.get(client).ok_or("no such client")?;
        let wish = Wish { client, kind, model, order: order.clone(), refused: None };
        Ok(exchange(self.gateway.address, &wish, &order).await?)
    }

    /// The record of a request, as soon as there is one.
    async fn record(&self, id: &str) -> Outcome<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let ran = self.gateway.keyway.cli(&["why", id, "--output", "json"])?;
            match ran.code {
                Some(0) => return Ok(serde_json::from_str(&ran.stdout)?),
                Some(3) if Instant::now() < end => tokio::time::sleep(LOOK).await,
                _ => return Err(format!("{ran:?}").into()),
            }
        }
    }

    /// What a request for this order was booked as.
    async fn booked(&self, to: (Kind, &'static str), order: Order) -> Outcome<Booked> {
        let record = self.record(&self.ask(0, to, order).await?.id).await?;
        let usage = |name: &str| {
            record.pointer(&format!("/usage/{name}")).and_then(Value::as_u64).unwrap_or_default()
        };
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Booked {
            input: usage("input_tokens"),
            output: usage("output_tokens"),
            cost: record.get("cost_nanodollars").and_then(Value::as_u64),
            source: text("usage_source"),
            outcome: text("outcome"),
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Booked {
    input: u64,
    output: u64,
    cost: Option<u64>,
    source: String,
    outcome: String,
}

fn booked(input: u64, output: u64, cost: u64, source: &str, outcome: &str) -> Booked {
    Booked { input, output, cost: Some(cost), source: source.to_owned(), outcome: outcome.to_owned() }
}

fn words(count: usize) -> Vec<String> {
    (0..count).map(|place| format!("word ~{place}~")).collect()
}

fn order(name: &str) -> Order {
    Order { request: name.to_owned(), input: 100, output: 10, words: words(4), ..Order::default() }
}

const GPT: (Kind, &str) = (Kind::Chat, "openai/gpt-4.1");
const HAIKU: (Kind, &str) = (Kind::Messages, "anthropic/claude-haiku-4-5");

#[tokio::test]
async fn cached_tokens_cost_what_they_cost_litellm_9812() -> Outcome {
    let case = Case::start()?;
    // 100 x 2,000 + 900 x 500 + 10 x 8,000 nano-dollars.
    for (name, stream) in [("whole", false), ("stream", true)] {
        let order = Order { cached: 900, stream, ..order(name) };
        assert_eq!(case.booked(GPT, order).await?, booked(1000, 10, 730_000, "provider", "served"), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn cache_writes_cost_by_how_long_they_last_litellm_11364_portkey_1210() -> Outcome {
    let case = Case::start()?;
    // 10 x 1,000 + 1,000 x 100 + 500 x 1,250 + 200 x 2,000 + 20 x 5,000 nano-dollars.
    for (name, stream) in [("whole", false), ("stream", true)] {
        let order = Order {
            input: 10,
            cached: 1000,
            written: 500,
            written_1h: 200,
            output: 20,
            stream,
            ..order(name)
        };
        assert_eq!(
            case.booked(HAIKU, order).await?,
            booked(1710, 20, 1_235_000, "provider", "served"),
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn streams_of_messages_count_once_vercel_ai_17326_litellm_24176() -> Outcome {
    let case = Case::start()?;
    // Input stands in the first event and in the last, output in both: 1 and 333.
    let order = Order { input: 1234, output: 333, stream: true, ..order("once") };
    assert_eq!(case.booked(HAIKU, order).await?, booked(1234, 333, 2_899_000, "provider", "served"));
    Ok(())
}

#[tokio::test]
async fn streams_that_are_left_cost_what_was_delivered_litellm_14457() -> Outcome {
    let case = Case::start()?;
    // Two words of 8 bytes are 4 tokens. Messages have told their input; chat has not, so its body counts.
    let left = |name: &str| Order { stream: true, leave_after: Some(2), ..order(name) };
    assert_eq!(case.booked(HAIKU, left("messages")).await?, booked(100, 4, 120_000, "partial", "cancelled"));
    let input = (left("chat").body(GPT.0, GPT.1).len() as u64).div_ceil(4);
    let cost = input * 2000 + 4 * 8000;
    assert_eq!(case.booked(GPT, left("chat")).await?, booked(input, 4, cost, "estimate", "cancelled"));
    assert!(case.biller.is_quiet(), "the provider still writes for nobody");
    Ok(())
}

#[tokio::test]
async fn streams_that_break_cost_what_was_delivered_litellm_35958() -> Outcome {
    let case = Case::start()?;
    let order = Order { stream: true, break_after: Some(3), ..order("broken") };
    assert_eq!(case.booked(HAIKU, order).await?, booked(100, 6, 130_000, "partial", "broken"));
    Ok(())
}

#[tokio::test]
async fn usage_that_is_missing_or_cannot_be_is_estimated_u20() -> Outcome {
    let case = Case::start()?;
    for told in [Told::Nothing, Told::Negative, Told::Absurd] {
        for to in [GPT, (Kind::Responses, "openai/gpt-4.1"), HAIKU] {
            let order = Order { told, ..order(&format!("{told:?}-{:?}", to.0)) };
            let input = (order.body(to.0, to.1).len() as u64).div_ceil(4);
            // Four words of 8 bytes.
            let cost = if to == HAIKU { input * 1000 + 8 * 5000 } else { input * 2000 + 8 * 8000 };
            assert_eq!(
                case.booked(to, order).await?,
                booked(input, 8, cost, "estimate", "served"),
                "{told:?} {to:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_estimate_is_priced_by_the_service_tier_that_was_told() -> Outcome {
    let case = Case::start()?;
    let mut wrong = Vec::new();
    for to in [GPT, (Kind::Responses, "openai/gpt-4.1")] {
        let tiered =
            |name: &str| Order { tier: Some("priority".to_owned()), ..order(&format!("{:?}-{name}", to.0)) };
        let orders = [
            Order { told: Told::Nothing, ..tiered("whole") },
            Order { told: Told::Nothing, stream: true, ..tiered("stream") },
            Order { stream: true, leave_after: Some(4), ..tiered("left") },
            Order { stream: true, break_after: Some(4), ..tiered("broken") },
        ];
        for order in orders {
            let input = (order.body(to.0, to.1).len() as u64).div_ceil(4);
            let (name, booked) = (order.request.clone(), case.booked(to, order).await?);
            if booked.cost != Some(input * 3500 + 8 * 14_000) {
                wrong.push((name, booked));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[tokio::test]
async fn each_agent_has_its_own_costs_openclaw_66070() -> Outcome {
    let case = Case::start()?;
    for (name, agent) in [("a", "coder"), ("b", "writer"), ("c", "coder")] {
        let order = Order { tags: vec![format!("agent={agent}")], ..order(name) };
        let answered = case.ask(0, GPT, order).await?;
        case.record(&answered.id).await?;
    }
    let usage = ["usage", "--by", "tag:agent", "--sort", "requests", "--output", "json"];
    let rows: Vec<Value> = serde_json::from_str(&case.gateway.keyway.cli(&usage)?.stdout)?;
    let said: Vec<_> =
        rows.iter().map(|row| (row["tag:agent"].as_str(), row["cost_nanodollars"].as_u64())).collect();
    assert_eq!(said, [(Some("coder"), Some(560_000)), (Some("writer"), Some(280_000))]);
    Ok(())
}

#[tokio::test]
async fn an_unknown_price_is_never_zero_and_says_what_to_do() -> Outcome {
    let case = Case::start()?;
    let answered = case.ask(0, (Kind::Chat, "own/nothing"), order("unpriced")).await?;
    let record = case.record(&answered.id).await?;
    assert!(record["cost_nanodollars"].is_null(), "{record}");
    let answered = case.ask(0, (Kind::Chat, "own/gratis"), order("free")).await?;
    assert_eq!(case.record(&answered.id).await?["cost_nanodollars"].as_u64(), Some(0));
    let report = case.gateway.keyway.cli(&["usage", "--by", "client,model", "--since", "today"])?;
    for part in
        ["does not hold 1 of 2 requests", "  own/nothing  1", "    own:\n      prices: { \"nothing\":"]
    {
        assert!(report.stdout.contains(part), "{part}: {}", report.stdout);
    }
    assert!(report.stdout.lines().take(4).all(|line| line.chars().count() <= 80), "{}", report.stdout);
    Ok(())
}

/// The token of an operator with these scopes.
fn operator(case: &Case, name: &str, more: &[&str]) -> Outcome<String> {
    let args = [["operator", "create", name].as_slice(), more].concat();
    let ran = case.gateway.keyway.cli(&args)?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Ok(ran.stdout.trim().to_owned())
}

#[tokio::test]
async fn t8_t9_a_team_sees_its_own_requests_and_no_cursor_can_be_forged() -> Outcome {
    let case = Case::start()?;
    // ada and bob are of the red team, cyd of the blue one, dan of none.
    let mut ids = Vec::new();
    for client in [0, 1, 2, 3] {
        for number in 0..3 {
            ids.push(case.ask(client, GPT, order(&format!("{client}-{number}"))).await?.id);
        }
    }
    for id in &ids {
        case.record(id).await?;
    }
    let red = operator(&case, "red-reader", &["--scope", "usage:read", "--team", "red"])?;
    let blue = operator(&case, "blue-reader", &["--scope", "usage:read", "--team", "blue"])?;
    let none = operator(&case, "no-reader", &["--scope", "keys:read"])?;
    let run = |token: &str, args: &[&str]| -> Outcome<Ran> {
        Ok(case.gateway.keyway.cli_with(args, &[("KEYWAY_ADMIN_TOKEN", token)])?)
    };
    let usage = run(&red, &["usage", "--by", "client", "--output", "json"])?;
    let rows: Vec<Value> = serde_json::from_str(&usage.stdout)?;
    let clients: Vec<_> = rows.iter().map(|row| (row["client"].as_str(), row["requests"].as_u64())).collect();
    assert_eq!(clients.len(), 2, "{clients:?}");
    for name in ["ada", "bob"] {
        assert!(clients.contains(&(Some(name), Some(3))), "{clients:?}");
    }
    let logs = run(&red, &["logs", "--output", "json"])?;
    assert_eq!(logs.stdout.lines().count(), 6, "{logs:?}");
    let (own, others) = (&ids[0], &ids[6]);
    assert_eq!(run(&red, &["why", own])?.code, Some(0));
    let (another, unknown) =
        (run(&red, &["why", others])?, run(&red, &["why", "01K00000000000000000000000"])?);
    assert_eq!((another.code, unknown.code), (Some(3), Some(3)), "{another:?} {unknown:?}");
    assert_eq!(run(&red, &["usage", "--team", "blue", "--output", "json"])?.stdout.trim(), "[]");
    assert_eq!(run(&none, &["usage"])?.code, Some(4));
    assert_eq!(run(&none, &["logs", "-f"])?.code, Some(4));
    cursors(&case, &red, &blue).await
}

async fn cursors(case: &Case, red: &str, blue: &str) -> Outcome {
    let admin = Admin::new(case.gateway.keyway.admin_url(), red)?;
    for path in ["/logs?limit=1", "/usage?by=client&limit=1&since=1h"] {
        let page = admin.get(path).await?;
        let cursor = page.get("next").and_then(Value::as_str).ok_or("no further page")?;
        let with = |cursor: &str| format!("{path}&cursor={cursor}");
        assert_eq!(admin.call(Method::GET, &with(cursor), None).await?.status, 200);
        let mut forged = vec![format!("{cursor}A"), "AAAA".to_owned(), cursor[..cursor.len() / 2].to_owned()];
        forged.extend((0..cursor.len()).step_by(7).map(|at| flipped(cursor, at)));
        for forged in forged {
            let answered = admin.call(Method::GET, &with(&forged), None).await?;
            assert_eq!((answered.status, answered.code()), (400, "bad_cursor"), "{forged}");
        }
        let answered = admin.with_token(blue).call(Method::GET, &with(cursor), None).await?;
        assert_eq!((answered.status, answered.code()), (400, "bad_cursor"), "another team's");
    }
    Ok(())
}

fn flipped(cursor: &str, at: usize) -> String {
    let flip = |(place, letter): (usize, char)| match (place == at, letter) {
        (true, 'A') => 'B',
        (true, _) => 'A',
        (false, letter) => letter,
    };
    cursor.chars().enumerate().map(flip).collect()
}

#[tokio::test]
async fn whoever_follows_sees_a_request_of_each_replica_within_a_second() -> Outcome {
    let biller = Biller::start(prices())?;
    let planes = Planes::start(&yaml(&biller.provider.base_url()), 3)?;
    let follower = planes.begin(&["logs", "-f", "--output", "json"], &[])?;
    let wish = |name: String| {
        let order = Order { request: name, ..order("") };
        (Wish { client: CLIENTS[0], kind: GPT.0, model: GPT.1, order: order.clone(), refused: None }, order)
    };
    // Whether it follows already nobody says, so requests are made until one is seen.
    let (end, mut number) = (Instant::now() + PATIENCE, 0);
    while follower.stdout().is_empty() {
        assert!(Instant::now() < end, "{}", follower.stderr());
        let (wish, order) = wish(format!("first-{number}"));
        exchange(planes.replicas[0].address()?, &wish, &order).await?;
        number += 1;
        tokio::time::sleep(LOOK).await;
    }
    let mut slowest = Duration::ZERO;
    for replica in &planes.replicas {
        let (wish, order) = wish(format!("of-{}", replica.id));
        let answered = exchange(replica.address()?, &wish, &order).await?;
        while !follower.stdout().contains(&answered.id) {
            assert!(answered.at.elapsed() < Duration::from_secs(1), "{}: {}", replica.id, follower.stdout());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        slowest = slowest.max(answered.at.elapsed());
    }
    println!("seen within {slowest:?}");
    Ok(())
}
