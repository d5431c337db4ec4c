//! Providers, keys, models, teams and clients, once as a keyway.yaml and once as the simulator's price table. Prices of `openai`
//! and `anthropic` are the catalogue's and stand here again, as their makers' lists say them.

use keyway_testkit::billing::{Above, Key, Price, Prices, Rates, Tier, per_million};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its name.
    pub name: &'static str,
    /// Its token.
    pub token: &'static str,
}

/// The last one may use nothing of `openai`.
pub const CLIENTS: [Client; 5] = [
    Client { name: "ada", token: "kw-ada-0123456789abcdefghijkl" },
    Client { name: "bob", token: "kw-bob-0123456789abcdefghijkl" },
    Client { name: "cyd", token: "kw-cyd-0123456789abcdefghijkl" },
    Client { name: "dan", token: "kw-dan-0123456789abcdefghijkl" },
    Client { name: "eve", token: "kw-eve-0123456789abcdefghijkl" },
];

/// Secret and name of each key.
const KEYS: [(&str, Key); 4] = [
    ("sk-usage-main-0123456789", Key { name: "openai/main", discount: 0 }),
    ("sk-usage-spare-0123456789", Key { name: "openai/spare", discount: 0 }),
    ("sk-usage-claude-0123456789", Key { name: "anthropic/only", discount: 0 }),
    ("sk-usage-own-0123456789", Key { name: "own/only", discount: 10 }),
];

/// The file, for a provider at this base URL.
#[must_use]
pub fn yaml(base_url: &str) -> String {
    let [main, spare, claude, own] = KEYS.map(|(secret, _)| secret);
    let clients: String = CLIENTS.map(|client| entry(&client)).concat();
    format!(
        r#"providers:
  openai:
    base_url: "{base_url}"
    keys: [{{ name: main, secret: {main}, weight: 2 }}, {{ name: spare, secret: {spare} }}]
  anthropic: {{ base_url: "{base_url}", keys: [{{ name: only, secret: {claude} }}] }}
  own:
    dialect: openai-chat
    base_url: "{base_url}"
    keys: [{{ name: only, secret: {own}, discount: 10 }}]
    models: [nothing]
    prices:
      house: {{ input: "0.333", cache_read: "0.0333", output: "1.111" }}
      tiny: {{ input: "0.0005", cache_read: "0.0001", output: "0.0015" }}
      gratis: free
models:
  mix:
    targets: [{{ provider: own, model: house }}, {{ provider: openai, model: gpt-5-mini }}]
    fallback: [openai/gpt-4.1]
    retries: 3
teams: {{ red: {{}}, blue: {{}} }}
clients:
{clients}"#
    )
}

fn entry(client: &Client) -> String {
    let Client { name, token } = client;
    let team = match team(name) {
        "" => String::new(),
        team => format!(", team: {team}"),
    };
    let models = if *name == "eve" { ", models: [\"own/*\", \"anthropic/*\"]" } else { "" };
    format!("  {name}: {{ token: {token}{team}{models} }}\n")
}

/// The team of a client; empty where it has none.
pub(super) fn team(client: &str) -> &'static str {
    match client {
        "ada" | "bob" => "red",
        "cyd" => "blue",
        _ => "",
    }
}

/// Thousandths of a dollar per million: input, cached, output.
const fn chat(input: u128, cached: u128, output: u128) -> Rates {
    Rates {
        input: per_million(input),
        cached: per_million(cached),
        output: per_million(output),
        written: 0,
        written_1h: 0,
        images: 0,
    }
}

/// In hundred-thousandths of a dollar per million: input, cached, written for five minutes and an hour, output.
const fn claude(rates: [u128; 5]) -> Rates {
    let [input, cached, written, written_1h, output] = rates;
    const UNIT: u128 = per_million(1) / 100;
    Rates {
        input: input * UNIT,
        cached: cached * UNIT,
        written: written * UNIT,
        written_1h: written_1h * UNIT,
        output: output * UNIT,
        images: 0,
    }
}

/// The simulator's price table.
#[must_use]
pub fn prices() -> Prices {
    let plain = |rates: Rates| Price { rates, ..Price::default() };
    let tier = |name, rates| Tier { name, rates, above: None };
    let gpt54 = Price {
        rates: chat(2500, 250, 15_000),
        above: Some(Above { tokens: 272_000, rates: chat(5000, 500, 22_500) }),
        tiers: vec![
            Tier {
                name: "flex",
                rates: chat(1250, 130, 7500),
                above: Some(Above { tokens: 272_000, rates: chat(2500, 250, 11_250) }),
            },
            tier("priority", chat(5000, 500, 30_000)),
        ],
    };
    let gpt5_mini = Price {
        tiers: vec![
            tier("flex", Rates { cached: per_million(25) / 2, ..chat(125, 0, 1000) }),
            tier("priority", chat(450, 45, 3600)),
        ],
        ..plain(chat(250, 25, 2000))
    };
    let gpt41 =
        Price { tiers: vec![tier("priority", chat(3500, 875, 14_000))], ..plain(chat(2000, 500, 8000)) };
    let haiku = claude([100_000, 10_000, 125_000, 200_000, 500_000]);
    let long = Price {
        above: Some(Above { tokens: 100_000, rates: claude([50_000, 5000, 62_500, 100_000, 250_000]) }),
        ..plain(claude([10_000, 1000, 12_500, 20_000, 50_000]))
    };
    let image = Rates { images: per_million(10_000), ..chat(5000, 0, 40_000) };
    let house = Rates { cached: per_million(333) / 10, ..chat(333, 0, 1111) };
    let tiny = Rates { input: 500_000, cached: 100_000, output: 1_500_000, ..Rates::default() };
    let models = [
        ("gpt-5.4", gpt54),
        ("gpt-5-mini", gpt5_mini),
        ("gpt-4.1", gpt41),
        ("text-embedding-3-small", plain(chat(20, 0, 0))),
        ("gpt-image-1", plain(image)),
        ("claude-haiku-4-5", plain(haiku)),
        ("claude-haiku-5-5", long),
        ("house", plain(house)),
        ("tiny", plain(tiny)),
        ("gratis", plain(Rates::default())),
    ];
    Prices { models: models.into(), keys: KEYS.into() }
}
