//! Six official SDKs to six providers in all 36 pairs: what the SDK's user sees, and what the provider understood. Prints
//! the grid. Nothing is below 100 % but what `tests/sdk/grid/exceptions.toml` lists with its reason.

use std::time::Instant;

use keyway_e2e::gateway::Outcome;
use keyway_e2e::grid::{self, DIALECTS, Stated, Verdict};
use keyway_testkit::process::Keyway;
use keyway_testkit::strict::{Key, Strict};

/// What the SDKs use as their API key.
const TOKEN: &str = "kw-grid-everything-0123456789abcdef";
/// boto3's key pair.
const ACCESS_KEY_ID: &str = "KWGRID0123456789ABCD";
const SECRET_ACCESS_KEY: &str = "kw-grid-secret-access-key-0123456789abcdef";
/// Scenarios of tests/sdk/grid/scenarios.py.
const SCENARIOS: usize = 18;

/// Who serves a dialect: rows of the catalogue, for their auth, and one that has no row. Each speaks its one dialect only,
/// so that every other caller's request crosses.
const PROVIDERS: [(&str, &str); 6] = [
    ("openai-chat", "openai"),
    ("openai-responses", "responses"),
    ("anthropic-messages", "anthropic"),
    ("gemini", "google"),
    ("bedrock-converse", "bedrock"),
    ("cohere-chat", "cohere"),
];

fn yaml(strict: &Strict, key: &Key, pair: &Key) -> String {
    let url = strict.url();
    let providers = PROVIDERS.map(|(dialect, provider)| {
        let (secret, more) = match dialect {
            "bedrock-converse" => (&pair.secret, ", region: us-east-1"),
            _ => (&key.secret, ""),
        };
        format!("  {provider}: {{ dialect: {dialect}, base_url: \"{url}\", api_key: \"{secret}\"{more} }}\n")
    });
    format!(
        r"providers:
{}clients:
  everything:
    token: {TOKEN}
",
        providers.concat()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sdk_reaches_every_provider() -> Outcome {
    let strict = Strict::shared()?;
    let (key, pair) = (strict.new_key("grid").await?, strict.new_pair("grid").await?);
    let keyway = Keyway::up().config(yaml(strict, &key, &pair)).start()?;
    let begun = Instant::now();
    let targets = PROVIDERS.map(|(dialect, provider)| format!("{dialect}={provider}")).join(",");
    let cells = grid::play(&targets, |script| {
        script
            .env("KEYWAY_URL", keyway.base_url())
            .env("KEYWAY_TOKEN", TOKEN)
            .env("KEYWAY_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("KEYWAY_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    })
    .await?;
    let took = begun.elapsed();

    let mut records = strict.seen(&key).await?;
    records.extend(strict.seen(&pair).await?);
    let stated = Stated::read()?;
    let verdicts = grid::judge(&cells, &records, &stated);
    let scenarios: Vec<_> = cells.iter().take(SCENARIOS).map(|cell| cell.place.scenario.clone()).collect();
    println!("{}", grid::table(&verdicts, &scenarios));
    println!("{} cells, {} requests at the provider, {took:.1?}", cells.len(), records.len());

    let wrong = verdicts.iter().filter_map(|(place, verdict)| match verdict {
        Verdict::Wrong(why) => Some(format!("{place}: {why}")),
        Verdict::Whole | Verdict::Stated => None,
    });
    let unplayed = stated.places().filter(|place| !verdicts.contains_key(place));
    let wrong: Vec<_> =
        wrong.chain(unplayed.map(|place| format!("{place} is listed and was not played"))).collect();
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(verdicts.len(), DIALECTS.len() * DIALECTS.len() * SCENARIOS, "cells");
    Ok(())
}
