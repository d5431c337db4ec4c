//! What is printed once it runs: addresses, the client's token, snippets that work as pasted.

use std::path::Path;

use keyway_catalog::{Capability, Catalog, Dialect, Mode, Model, Provider as Row, Status};
use keyway_config::{File, Provider};
use serde_json::json;

use super::found::Found;
use super::ready::Facts;

/// Answers without network or key.
pub(super) const SANDBOX_MODEL: &str = "sandbox/echo";
/// Small, cheap and known to work with tools; of other providers a model is chosen by its row.
const KNOWN: &[(&str, &str)] = &[
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-flash"),
    ("deepseek", "deepseek-chat"),
    ("mistral", "mistral-small-latest"),
    ("groq", "llama-3.3-70b-versatile"),
    ("openrouter", "openai/gpt-4o-mini"),
];

/// What the text tells.
#[derive(Debug)]
pub(crate) struct Announcement<'a> {
    pub(super) facts: &'a Facts,
    pub(super) home: &'a Path,
    /// The first client's name.
    pub(super) client: &'a str,
    pub(super) found: &'a [Found],
    /// Other providers, each with where it is from.
    pub(super) configured: Vec<(&'a str, &'static str)>,
    /// What the snippets ask for.
    pub(super) model: &'a str,
    pub(super) replicas: Option<u32>,
}

// === impl Announcement ===

impl Announcement<'_> {
    pub(super) fn text(&self) -> String {
        let Facts { base_url, ops_url, admin_url, fleet_addr, client_token, .. } = self.facts;
        let home = self.home.display();
        let token = client_token.expose();
        let replicas =
            self.replicas.map_or_else(String::new, |count| format!(" with {count} data plane process(es)"));
        format!(
            "Keyway {} is up{replicas}. Ctrl-C stops it.\n\n  \
             Base URL      {base_url}  (OpenAI SDKs: {base_url}/v1, Anthropic SDKs: {base_url})\n  \
             Client token  {token}  (client {}; kept in {home}/client.token)\n  \
             Admin API     {admin_url}  (token in {home}/admin.token; `keyway` on this machine finds it)\n  \
             Operations    {ops_url}  (/healthz /readyz /metrics /snapshot)\n  \
             Fleet stream  {fleet_addr}\n  \
             Providers     {}\n  \
             State         kept in the data directory; keep a copy of its root.key elsewhere: no backup holds it\n{}\n{}",
            env!("CARGO_PKG_VERSION"),
            self.client,
            self.providers(),
            self.sandbox(),
            self.snippets(),
        )
    }

    fn providers(&self) -> String {
        let found =
            self.found.iter().map(|found| format!("{} (key from {})", found.provider, found.variable));
        let configured = self.configured.iter().map(|(name, origin)| format!("{name} ({origin})"));
        let all = found.chain(configured).chain(["sandbox (built in, answers by itself)".to_owned()]);
        all.collect::<Vec<_>>().join(", ")
    }

    fn sandbox(&self) -> String {
        if self.model != SANDBOX_MODEL {
            return String::new();
        }
        "\nNo provider key was found, so the examples use the built-in sandbox, which echoes and needs no network.\n\
         Set one, like OPENAI_API_KEY, and start again, or run `keyway provider add openai`.\n"
            .to_owned()
    }

    /// Each may be pasted into a shell whatever token and model hold.
    fn snippets(&self) -> String {
        let (url, token, model) = (&self.facts.base_url, self.facts.client_token.expose(), self.model);
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] });
        let (body, bearer) = (quoted(&body.to_string()), quoted(&format!("Authorization: Bearer {token}")));
        let openclaw = openclaw(url, token, model);
        // A JSON string is a Python string too.
        let (base, token, model) = (json!(format!("{url}/v1")), json!(token), json!(model));
        format!(
            "curl:\n\n\
             curl {url}/v1/chat/completions \\\n  -H {bearer} \\\n  \
             -H 'Content-Type: application/json' \\\n  -d {body}\n\n\
             OpenAI SDK (Python):\n\n\
             python3 - <<'EOF'\n\
             from openai import OpenAI\n\
             client = OpenAI(base_url={base}, api_key={token})\n\
             reply = client.chat.completions.create(\n    model={model},\n    \
             messages=[{{\"role\": \"user\", \"content\": \"Hello\"}}],\n)\n\
             print(reply.choices[0].message.content)\nEOF\n\n\
             OpenClaw:\n\n\
             openclaw config patch --stdin <<'EOF'\n{openclaw}\nEOF\n"
        )
    }
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// OpenClaw's own format: a provider `keyway`, and its model as the default one.
fn openclaw(url: &str, token: &str, model: &str) -> String {
    let row = model.split_once('/').and_then(|(provider, id)| Catalog::embedded().model(provider, id));
    let window = row.and_then(|row| row.context_window).unwrap_or(131_072);
    let output = row.and_then(|row| row.max_output_tokens).unwrap_or(4_096);
    let patch = json!({
        "models": { "mode": "merge", "providers": { "keyway": {
            "baseUrl": format!("{url}/v1"),
            "apiKey": token,
            "api": "openai-completions",
            "models": [{
                "id": model,
                "name": model,
                "reasoning": false,
                "input": ["text"],
                "cost": { "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0 },
                "contextWindow": window,
                "maxTokens": output,
            }],
        } } },
        "agents": { "defaults": { "model": { "primary": format!("keyway/{model}") } } },
    });
    serde_json::to_string_pretty(&patch).unwrap_or_default()
}

/// What the snippets, which speak OpenAI chat, ask for: the file's first alias, else a small model of a provider whose
/// own dialect it is (the file's before those found), else one of a provider that speaks it too, else the sandbox.
pub(super) fn model(file: &File, found: &[Found]) -> String {
    if let Some(alias) = file.models.keys().next() {
        return alias.clone();
    }
    let configured = file.providers.iter().map(|(name, provider)| (name.as_str(), Some(provider)));
    let all: Vec<_> = configured.chain(found.iter().map(|found| (found.provider.as_str(), None))).collect();
    let first = |own: bool| {
        all.iter().find_map(|(name, provider)| {
            let fits = if own { is_own(name, *provider) } else { is_spoken(name, *provider) };
            let model = if fits { small_model(name, *provider) } else { None };
            model.map(|model| format!("{name}/{model}"))
        })
    };
    first(true).or_else(|| first(false)).unwrap_or_else(|| SANDBOX_MODEL.to_owned())
}

/// OpenAI chat is the provider's main or only dialect.
fn is_own(name: &str, provider: Option<&Provider>) -> bool {
    match provider.and_then(|provider| provider.dialect) {
        Some(dialect) => dialect == keyway_config::Dialect::OpenAiChat,
        None => Catalog::embedded().provider(name).and_then(Row::dialect) == Some(Dialect::OpenaiChat),
    }
}

/// OpenAI chat is among the row's dialects and the file took none of them away.
fn is_spoken(name: &str, provider: Option<&Provider>) -> bool {
    let untouched = provider.is_none_or(|provider| provider.dialect.is_none() && provider.base_url.is_none());
    untouched
        && Catalog::embedded().provider(name).is_some_and(|row| row.surface(Dialect::OpenaiChat).is_some())
}

fn small_model(name: &str, provider: Option<&Provider>) -> Option<String> {
    let named =
        provider.and_then(|provider| provider.models.first().or_else(|| provider.prices.keys().next()));
    let known = || KNOWN.iter().find(|(known, _)| *known == name).map(|(_, model)| (*model).to_owned());
    let fits = |model: &&Model| {
        model.mode == Mode::Chat
            && model.is_default()
            && model.status != Some(Status::Deprecated)
            && model.deprecation_date.is_none()
    };
    let of_row = || {
        let models = Catalog::embedded().models(name).iter().filter(fits);
        models.max_by_key(|model| model.can.contains(&Capability::Tools)).map(|model| model.id.clone())
    };
    named.cloned().or_else(known).or_else(of_row)
}
