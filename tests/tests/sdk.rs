//! The official SDKs against Keyway, with the strict provider behind it: what an application sees when only its
//! base URL and its key have changed. One test is one scenario of a script in `tests/sdk`.

use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::Keyway;
use keyway_testkit::sdk::Script;
use keyway_testkit::strict::{Key, Seen, Strict};

/// A client that may use everything.
const TOKEN: &str = "kw-sdk-everything-0123456789abcdef";
/// A client that may use the alias `greeter` alone.
const NARROW: &str = "kw-sdk-narrow-0123456789abcdef";
/// A client that is disabled.
const DISABLED: &str = "kw-sdk-disabled-0123456789abcdef";

/// An SDK, as a test needs it.
struct Sdk {
    script: &'static str,
    /// The catalogue's provider that the strict provider stands in for.
    provider: &'static str,
    dialect: &'static str,
}

/// Whether a scenario's requests get as far as the provider.
#[derive(PartialEq)]
enum Reach {
    Provider,
    Gateway,
}

/// The strict provider under the row's own name, and a provider whose port nothing listens on.
fn yaml(sdk: &Sdk, strict: &Strict, key: &Key) -> String {
    let Sdk { provider, dialect, .. } = sdk;
    let (url, secret) = (strict.url(), &key.secret);
    format!(
        r#"providers:
  {provider}: {{ base_url: "{url}", keys: [{{ name: main, secret: "{secret}" }}] }}
  gone: {{ dialect: {dialect}, base_url: "http://127.0.0.1:1", api_key: sk-gone-0123456789 }}
models:
  greeter: {{ targets: [{{ provider: {provider}, model: sim-text }}] }}
  unreachable: {{ targets: [{{ provider: gone, model: a }}, {{ provider: gone, model: b }}] }}
clients:
  everything: {{ token: {TOKEN} }}
  narrow: {{ token: {NARROW}, models: [greeter] }}
  disabled: {{ token: {DISABLED}, disabled: true }}
"#
    )
}

async fn scenario(sdk: &Sdk, reach: Reach, name: &str) -> Outcome {
    let strict = Strict::shared()?;
    let key = strict.new_key(name).await?;
    let keyway = Keyway::up().config(yaml(sdk, strict, &key)).start()?;
    let script = Script::new(sdk.script)?
        .arg(name)
        .env("KEYWAY_URL", keyway.base_url())
        .env("KEYWAY_TOKEN", TOKEN)
        .env("NARROW_TOKEN", NARROW)
        .env("DISABLED_TOKEN", DISABLED);
    let finished = tokio::task::spawn_blocking(move || script.run()).await??;
    let seen = strict.seen(&key).await?;
    assert!(finished.ok, "{}\nthe provider saw {seen:#?}\nKeyway wrote\n{}", finished.output, keyway.log());
    assert_eq!(!seen.is_empty(), reach == Reach::Provider, "the provider saw {seen:#?}");
    for request in &seen {
        assert!(is_clean(request), "the provider objects: {request:#?}");
    }
    Ok(())
}

/// Nothing that the provider would not have seen from the SDK itself: its own Host, its own credential, no header of
/// Keyway's. What a caller gets wrong (400) is the caller's.
fn is_clean(request: &Seen) -> bool {
    request.status == Some(400) || request.violations.is_empty()
}

macro_rules! scenarios {
    ($sdk:ident, $facts:expr, provider: $($far:ident)*, gateway: $($near:ident)*) => {
        mod $sdk {
            use super::{Outcome, Reach, Sdk, scenario};
            const SDK: Sdk = $facts;
            $(#[tokio::test]
            async fn $far() -> Outcome {
                scenario(&SDK, Reach::Provider, stringify!($far)).await
            })*
            $(#[tokio::test]
            async fn $near() -> Outcome {
                scenario(&SDK, Reach::Gateway, stringify!($near)).await
            })*
        }
    };
}

scenarios! { openai_python,
    Sdk { script: "openai_calls.py", provider: "openai", dialect: "openai-chat" },
    provider: text stream tools tool_stream embeddings responses responses_stream alias malformed rate_limit
        upstream_refuses_the_key cut_stream upstream_timeout,
    gateway: models wrong_token client_disabled model_not_allowed unknown_model too_large all_targets_failed
}

scenarios! { openai_node,
    Sdk { script: "openai_calls.mjs", provider: "openai", dialect: "openai-chat" },
    provider: text stream tools tool_stream embeddings responses responses_stream alias malformed rate_limit
        upstream_refuses_the_key cut_stream upstream_timeout,
    gateway: models wrong_token client_disabled model_not_allowed unknown_model too_large all_targets_failed
}

scenarios! { anthropic_python,
    Sdk { script: "anthropic_calls.py", provider: "anthropic", dialect: "anthropic-messages" },
    provider: text stream tools tool_stream count_tokens alias malformed rate_limit upstream_refuses_the_key
        cut_stream upstream_timeout,
    gateway: models wrong_token client_disabled model_not_allowed unknown_model too_large all_targets_failed
}

scenarios! { anthropic_node,
    Sdk { script: "anthropic_calls.mjs", provider: "anthropic", dialect: "anthropic-messages" },
    provider: text stream tools tool_stream count_tokens alias malformed rate_limit upstream_refuses_the_key
        cut_stream upstream_timeout,
    gateway: models wrong_token client_disabled model_not_allowed unknown_model too_large all_targets_failed
}
