//! A provider's bill beside the books: made from what the provider itself recorded, it agrees to the nano-dollar; a row that
//! was changed, one that is missing and one of something else are told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use keyway_e2e::gateway::{Gateway, Outcome};
use keyway_e2e::usage::{CLIENTS, Wish, exchange, prices, yaml};
use keyway_testkit::billing::{Account, Biller, Ending, Kind, Order};
use keyway_testkit::process::Ran;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
const ASKED: [(Kind, &str, bool); 6] = [
    (Kind::Chat, "openai/gpt-4.1", false),
    (Kind::Chat, "openai/gpt-4.1", true),
    (Kind::Responses, "openai/gpt-5-mini", false),
    (Kind::Embeddings, "openai/text-embedding-3-small", false),
    (Kind::Messages, "anthropic/claude-haiku-4-5", true),
    (Kind::Messages, "anthropic/claude-haiku-4-5", false),
];

/// A gateway before a provider that bills, and the day on which all was booked.
struct Case {
    biller: Biller,
    gateway: Gateway,
    day: String,
}

impl Case {
    /// Asks for all, and waits until all is booked.
    async fn start() -> Outcome<Self> {
        let biller = Biller::start(prices())?;
        let gateway = Gateway::start(&yaml(&biller.provider.base_url()))?;
        for (place, (kind, model, stream)) in (1..).zip(ASKED) {
            let words = vec!["word ~0~".to_owned()];
            let (request, input) = (format!("request {place}"), 1000 * place + 7);
            let order = Order {
                request,
                input,
                cached: if kind == Kind::Embeddings { 0 } else { 13 * place },
                output: 10 + place,
                stream,
                words,
                ..Order::default()
            };
            let [client, ..] = CLIENTS;
            let wish = Wish { client, kind, model, order: order.clone(), refused: None };
            let answered = exchange(gateway.address, &wish, &order).await?;
            assert_eq!(answered.answer.map(|answer| answer.status), Some(200), "{model}");
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let ran = gateway.keyway.cli(&["usage", "--by", "day", "--since", "2h", "--output", "json"])?;
            let rows: Vec<Value> = serde_json::from_str(&ran.stdout)?;
            let booked: u64 = rows.iter().filter_map(|row| row.get("requests")?.as_u64()).sum();
            if booked == ASKED.len() as u64 {
                let [row] = rows.as_slice() else { return Err("midnight came in between".into()) };
                let day = row.get("day").and_then(Value::as_str).and_then(|day| day.get(..10));
                return Ok(Self { day: day.ok_or("no day")?.to_owned(), biller, gateway });
            }
            assert!(Instant::now() < end, "{ran:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What this provider recorded, by model.
    fn recorded(&self, provider: &str) -> BTreeMap<String, Account> {
        let mut sums = BTreeMap::<String, Account>::new();
        for charge in self.biller.charges().into_values() {
            assert_eq!(charge.ending, Ending::Served);
            if charge.key.starts_with(provider) {
                sums.entry(charge.model).or_default().add(&charge.account);
            }
        }
        sums
    }

    fn reconcile(&self, provider: &str, bill: &str, more: &[&str]) -> Outcome<Ran> {
        let file = self.gateway.keyway.write("bill", bill)?;
        let file = file.to_str().ok_or("no text")?;
        let arguments = ["usage", "reconcile", "--provider", provider, "--bill", file];
        Ok(self.gateway.keyway.cli(&[&arguments, more].concat())?)
    }
}

fn dollars(nano: u64) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

/// As OpenAI's console exports it: models by the names of their versions, two line items each.
fn export(day: &str, recorded: &BTreeMap<String, Account>) -> String {
    let mut text =
        "start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id\n".to_owned();
    let mut item = |model: &str, what: &str, nano: u64| {
        let (start, amount) = (format!("{day}T00:00:00+00:00"), dollars(nano));
        text.push_str(&format!(
            "{start},,{amount}000000000000000000000,usd,\"{model}-2026-04-14, {what}\",\n"
        ));
    };
    for (model, account) in recorded {
        let input = account.cost_nanodollars / 3;
        item(model, "input", input);
        item(model, "output", account.cost_nanodollars - input);
    }
    text
}

/// As Anthropic's cost report tells it, in cents.
fn report(day: &str, account: &Account) -> String {
    let item = |what: &str, nano: u64| {
        let cents = format!("{}.{:07}", nano / 10_000_000, nano % 10_000_000);
        json!({ "amount": cents, "currency": "USD", "cost_type": "tokens", "model": "claude-haiku-4-5-20251001",
                "description": format!("Claude Haiku 4.5 Usage - {what}") })
    };
    let (input, output) = (item("Input Tokens", 1), item("Output Tokens", account.cost_nanodollars - 1));
    let bucket = json!({ "starting_at": format!("{day}T00:00:00Z"), "results": [input, output] });
    json!({ "data": [bucket], "has_more": false, "next_page": null }).to_string()
}

/// The rows that lie apart: model, verdict and difference.
fn apart(ran: &Ran) -> Outcome<Vec<(String, String, i64)>> {
    let said: Value = serde_json::from_str(&ran.stdout)?;
    let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = said.get("rows").and_then(Value::as_array).ok_or("no rows")?.iter();
    let apart = rows.filter(|row| text(row, "verdict") != "agrees").map(|row| {
        let difference = row.get("difference_nanodollars").and_then(Value::as_i64);
        Ok((text(row, "model"), text(row, "verdict"), difference.ok_or("no difference")?))
    });
    let apart: Outcome<Vec<_>> = apart.collect();
    let apart = apart?;
    assert_eq!(said.get("agrees"), Some(&json!(apart.is_empty())), "{said}");
    assert_eq!(ran.code, Some(if apart.is_empty() { 0 } else { 1 }), "{ran:?}");
    Ok(apart)
}

#[tokio::test]
async fn a_bill_agrees_or_it_is_told_where_not() -> Outcome {
    let case = Case::start().await?;
    let recorded = case.recorded("openai");
    assert_eq!(recorded.len(), 3, "{recorded:?}");
    let json = ["--output", "json"];
    let bill = export(&case.day, &recorded);
    let ran = case.reconcile("openai", &bill, &[])?;
    println!("{}", ran.stdout);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(apart(&case.reconcile("openai", &bill, &json)?)?, []);

    let mut other = recorded.clone();
    other.get_mut("gpt-4.1").ok_or("no gpt-4.1")?.cost_nanodollars += 1;
    let lost = other.remove("gpt-5-mini").ok_or("no gpt-5-mini")?.cost_nanodollars;
    other.insert("web search".to_owned(), Account { cost_nanodollars: 7, ..Account::default() });
    let bill = export(&case.day, &other);
    let found = apart(&case.reconcile("openai", &bill, &json)?)?;
    let row = |model: &str, verdict: &str, nano: i64| (model.to_owned(), verdict.to_owned(), nano);
    let expected = [
        row("gpt-4.1", "differs", 1),
        row("gpt-5-mini", "only_books", -i64::try_from(lost)?),
        row("web search-2026-04-14", "only_bill", 7),
    ];
    assert_eq!(found, expected);
    let people = case.reconcile("openai", &bill, &[])?;
    println!("{}\n{}", people.stdout, people.stderr);
    assert_eq!(people.code, Some(1));
    let said = "the bill of openai and the books do not agree: 3 of 4 rows lie apart";
    assert!(people.stderr.contains(said) && people.stdout.contains("only books"), "{people:?}");
    let more = ["--tolerance", "0.00000001", "--output", "json"];
    assert_eq!(apart(&case.reconcile("openai", &bill, &more)?)?, [expected[1].clone()]);
    Ok(())
}

#[tokio::test]
async fn money_and_tokens_come_in_two_files_and_models_have_two_names() -> Outcome {
    let case = Case::start().await?;
    let recorded = case.recorded("anthropic");
    let account = recorded.get("claude-haiku-4-5").ok_or("no haiku")?;
    let (nano, input, output) = (account.cost_nanodollars, account.input_tokens, account.output_tokens);
    let tokens = |output: u64| {
        format!(
            "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_input_tokens_cache_read,usage_output_tokens\n\
             {},Claude Haiku 4.5,{},{},{output}\n",
            case.day,
            input - account.cache_read_tokens,
            account.cache_read_tokens
        )
    };
    let beside = case.gateway.keyway.write("tokens", &tokens(output))?;
    let more = ["--bill", beside.to_str().ok_or("no text")?, "--csv"];
    let ran = case.reconcile("anthropic", &report(&case.day, account), &more)?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let same = format!("{nano},{nano},0,,2,{input},{input},{output},{output},0,0");
    assert_eq!(
        ran.stdout.lines().nth(1),
        Some(format!("{},claude-haiku-4-5,agrees,{same}", case.day).as_str())
    );
    // Tokens alone decide where there is no money.
    assert_eq!(case.reconcile("anthropic", &tokens(output), &[])?.code, Some(0));
    let ran = case.reconcile("anthropic", &tokens(output + 1), &[])?;
    assert!(ran.code == Some(1) && ran.stdout.contains("differs"), "{ran:?}");

    // The books' own report is a bill that agrees with them.
    let own = ["usage", "--by", "day,model", "--provider", "anthropic", "--since", "today", "--csv"];
    let own = case.gateway.keyway.cli(&own)?;
    let ran = case.reconcile("anthropic", &own.stdout, &[])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for (bill, code) in [("", 1), ("day,cost\n", 2), ("model,cost\na,1\n", 2)] {
        assert_eq!(case.reconcile("anthropic", bill, &[])?.code, Some(code), "{bill}");
    }
    Ok(())
}
