//! Official SDKs to providers of all six dialects: what the SDK's user sees, and what the provider understood. Python's in
//! all 36 pairs and every scenario, Node's on the diagonal and one crossing each. Prints the grids. Nothing is below 100 %
//! but what `tests/sdk/grid/exceptions.toml` lists with its reason.

use std::time::Instant;

use keyway_e2e::gateway::Outcome;
use keyway_e2e::grid::{self, DIALECTS, Stated, Verdict};
use keyway_testkit::process::Keyway;
use keyway_testkit::strict::{Key, Strict};

/// What the SDKs use as their API key.
const TOKEN: &str = "kw-grid-everything-0123456789abcdef";
/// What they use where they shall see one model alone.
const NARROW: &str = "kw-grid-narrow-0123456789abcdef";
/// Bedrock's SDKs sign with a key pair.
const ACCESS_KEY_ID: &str = "KWGRID0123456789ABCD";
const SECRET_ACCESS_KEY: &str = "kw-grid-secret-access-key-0123456789abcdef";

/// Who serves a dialect: rows of the catalogue, for their auth and their quirks, and one that has no row. Each speaks its
/// one dialect only, so that every other caller's request crosses. Models' names begin as those of models of today, each
/// with its quirks.
const PROVIDERS: [(&str, &str, &str); 6] = [
    ("openai-chat", "openai", "gpt-4o."),
    ("openai-responses", "responses", ""),
    ("anthropic-messages", "anthropic", "claude-opus-4-6."),
    ("gemini", "google", "gemini-3-pro."),
    ("bedrock-converse", "bedrock", "anthropic.claude-sonnet-4-5."),
    ("cohere-chat", "cohere", "command-a."),
];

fn yaml(strict: &Strict, key: &Key, pair: &Key) -> String {
    let url = strict.url();
    let providers = PROVIDERS.map(|(dialect, provider, _)| {
        let (secret, more) = match dialect {
            "bedrock-converse" => (&pair.secret, ", region: us-east-1"),
            // As of the many that show their thoughts, which OpenAI does not.
            "openai-chat" => (&key.secret, ", quirks: { reasoning_field: reasoning_content }"),
            _ => (&key.secret, ""),
        };
        format!("  {provider}: {{ dialect: {dialect}, base_url: \"{url}\", api_key: \"{secret}\"{more} }}\n")
    });
    format!(
        r"providers:
{}models:
  greeter: {{ targets: [{{ provider: openai, model: gpt-5.2 }}] }}
clients:
  narrow: {{ token: {NARROW}, models: [greeter] }}
  everything:
    token: {TOKEN}
    sigv4: {{ access_key_id: {ACCESS_KEY_ID}, secret_access_key: {SECRET_ACCESS_KEY} }}
",
        providers.concat()
    )
}

/// Plays the scripts, prints the grid, and asserts that there are this many cells and none is wrong.
#[expect(clippy::print_stdout, reason = "the grid is what people run this for")]
async fn played(name: &str, scripts: &[&str], cells_wanted: usize, stated: &Stated) -> Outcome {
    let strict = Strict::shared()?;
    let (key, pair) = (strict.new_key(name).await?, strict.new_pair(name).await?);
    let keyway = Keyway::up().config(yaml(strict, &key, &pair)).start()?;
    let begun = Instant::now();
    let targets =
        PROVIDERS.map(|(dialect, provider, model)| format!("{dialect}={provider}/{model}")).join(",");
    let prepared = |script: keyway_testkit::sdk::Script| {
        script
            .env("KEYWAY_URL", keyway.base_url())
            .env("KEYWAY_TOKEN", TOKEN)
            .env("NARROW_TOKEN", NARROW)
            .env("KEYWAY_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("KEYWAY_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    };
    let cells = grid::play(scripts, &targets, prepared).await?;
    let took = begun.elapsed();

    let mut records = strict.seen(&key).await?;
    records.extend(strict.seen(&pair).await?);
    let verdicts = grid::judge(&cells, &records, stated);
    println!("{}", grid::table(&cells, &verdicts));
    println!("{} cells, {} requests at the provider, {took:.1?}", cells.len(), records.len());

    let wrong = verdicts.iter().filter_map(|(place, verdict)| match verdict {
        Verdict::Wrong(why) => Some(format!("{place}: {why}")),
        Verdict::Whole | Verdict::Stated => None,
    });
    let unplayed = stated.places().filter(|place| !verdicts.contains_key(place));
    let wrong: Vec<_> =
        wrong.chain(unplayed.map(|place| format!("{place} is listed and was not played"))).collect();
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(verdicts.len(), cells_wanted, "cells");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sdk_reaches_every_provider() -> Outcome {
    let scripts = DIALECTS.map(|(_, script)| script);
    // What every dialect's callers can say; by address a picture and a document; a document, sound, and stop sequences.
    let cells = 36 * 22 + 6 * (5 + 3 + 5 + 3 + 5);
    played("grid", &scripts, cells, &Stated::read()?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_sdks_reach_their_own_provider_and_another() -> Outcome {
    played("grid-node", &["grid/node.mjs"], 22 * 4, &Stated::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_five_turns_survive_every_crossing() -> Outcome {
    played("grid-agent", &["grid/agent.py"], 6 * 5, &Stated::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_ranks_counts_and_lists_of_models_cross_too() -> Outcome {
    let cells = 3 * 4 + 4 * 4 + 1 + 4;
    played("grid-operations", &["grid/operations.py"], cells, &Stated::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sdk_tells_its_user_of_mistakes_by_its_own_class() -> Outcome {
    played("grid-mistakes", &["grid/mistakes.py"], 6 * 3, &Stated::default()).await
}
