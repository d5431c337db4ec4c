//! A provider's wire formats that are among our dialects, each with base URL and the paths that are not its own.

use super::curated;
use crate::catalog::{
    facts::{OtherDialect, Provider},
    text::{Table, inline, quoted},
};
use std::collections::BTreeMap;

const BEARER: &str = r#"{ scheme = "header", name = "authorization", prefix = "Bearer " }"#;
const X_API_KEY: &str = r#"{ scheme = "header", name = "x-api-key" }"#;

/// Paths that each dialect has under its base URL. The first is its main call.
const DEFAULTS: &[(&str, &[(&str, &str)])] = &[
    (
        "openai-chat",
        &[
            ("chat", "/chat/completions"),
            ("embeddings", "/embeddings"),
            ("images", "/images/generations"),
            ("image_edits", "/images/edits"),
            ("speech", "/audio/speech"),
            ("transcription", "/audio/transcriptions"),
            ("moderations", "/moderations"),
            ("models", "/models"),
            ("rerank", "/rerank"),
            ("files", "/files"),
            ("batches", "/batches"),
            ("realtime", "/realtime"),
        ],
    ),
    ("openai-responses", &[("responses", "/responses"), ("models", "/models")]),
    (
        "anthropic-messages",
        &[
            ("messages", "/messages"),
            ("count_tokens", "/messages/count_tokens"),
            ("batches", "/messages/batches"),
            ("files", "/files"),
            ("models", "/models"),
        ],
    ),
    (
        "gemini",
        &[
            ("chat", "/models/{model}:generateContent"),
            ("chat_stream", "/models/{model}:streamGenerateContent?alt=sse"),
            ("embeddings", "/models/{model}:embedContent"),
            ("count_tokens", "/models/{model}:countTokens"),
            ("batches", "/models/{model}:batchGenerateContent"),
            ("files", "/files"),
            ("models", "/models"),
            ("images", ""),
        ],
    ),
    (
        "bedrock-converse",
        &[
            ("chat", "/model/{model}/converse"),
            ("chat_stream", "/model/{model}/converse-stream"),
            ("count_tokens", "/model/{model}/count-tokens"),
            ("embeddings", ""),
            ("images", ""),
            ("rerank", ""),
            ("batches", ""),
        ],
    ),
    (
        "cohere-chat",
        &[("chat", "/chat"), ("embeddings", "/embed"), ("rerank", "/rerank"), ("models", "/models")],
    ),
];

/// Endpoints without a path of the dialect's own that a row may still give one.
const EXTRA: [&str; 3] = ["fim", "ocr", "video"];

/// Names in a base URL for which the facts have no words.
const VARS: &[(&str, &str)] = &[
    ("account_id", "CLOUDFLARE_ACCOUNT_ID"),
    ("gateway_id", "CLOUDFLARE_GATEWAY_ID"),
    ("workspace", "Modal workspace"),
    ("app", "Modal app"),
    ("host", "host of NEON_AI_GATEWAY_BASE_URL"),
    ("tenant", "PREDIBASE_TENANT_ID"),
    ("model", "deployment"),
];

/// One wire format of a provider.
pub(super) struct Surface {
    dialect: String,
    base_url: String,
    paths: BTreeMap<String, String>,
    no_stream_options: bool,
    quirks: Vec<(&'static str, String)>,
    auth: Option<&'static str>,
}

/// All that are among our dialects, the main one first.
pub(super) fn of(fact: &Provider) -> Vec<Surface> {
    let mut all: Vec<Surface> = Vec::new();
    let base = base_url(fact);
    if let Some(dialect) = dialect(&fact.dialect) {
        let mut main = Surface::new(dialect, &base, own_path(fact, dialect));
        main.add_paths(fact);
        main.no_stream_options = fact.quirks.iter().any(|quirk| quirk.contains("no stream_options"));
        all.push(main);
    }
    for other in &fact.other_dialects {
        let Some(dialect) = dialect(&other.dialect) else { continue };
        if !all.iter().any(|surface| surface.dialect == dialect) {
            all.push(further(fact, other, dialect, &base));
        }
    }
    // OpenAI-style rows name further wire formats by their endpoints.
    if matches!(fact.dialect.as_str(), "openai-chat" | "openai-responses" | "azure-openai") {
        add_listed(fact, &base, &mut all);
    }
    for surface in all.iter_mut().filter(|surface| surface.dialect == "openai-chat") {
        surface.quirks = curated::relative(fact);
    }
    all
}

fn add_listed(fact: &Provider, base: &str, all: &mut Vec<Surface>) {
    for (endpoint, dialect) in
        [("chat", "openai-chat"), ("responses", "openai-responses"), ("messages", "anthropic-messages")]
    {
        let path = own_path(fact, dialect);
        let standard = fact.standard_paths || fact.dialect == "azure-openai";
        let listed = standard && fact.endpoints.iter().any(|known| known == endpoint);
        if all.iter().any(|surface| surface.dialect == dialect) || !(listed || path.is_some()) {
            continue;
        }
        let mut surface = Surface::new(dialect, base, path);
        if dialect == "openai-chat" {
            surface.add_paths(fact);
        }
        all.push(surface);
    }
}

fn further(fact: &Provider, other: &OtherDialect, dialect: &str, base: &str) -> Surface {
    let base = other.base_url.as_deref().unwrap_or(base);
    let path = other.path.as_deref().map(|path| path.split(" (").next().unwrap_or(path));
    let mut surface = Surface::new(dialect, base, path.map(str::to_owned));
    let note = other.note.as_deref().unwrap_or_default();
    if note.contains("x-api-key") {
        surface.auth = Some(X_API_KEY);
    } else if note.contains("bearer auth") {
        surface.auth = Some(BEARER);
    }
    let stream = match surface.paths.get("messages") {
        Some(raw) if raw.ends_with(":rawPredict") => Some(raw.replace(":rawPredict", ":streamRawPredict")),
        Some(_) => fact.paths.get("invoke_stream").cloned(),
        None => None,
    };
    surface.paths.extend(stream.map(|path| ("messages_stream".to_owned(), with_model(&path))));
    surface
}

fn dialect(fact: &str) -> Option<&str> {
    match fact {
        "openai-chat" | "openai-responses" | "anthropic-messages" | "gemini" | "bedrock-converse" => {
            Some(fact)
        }
        "azure-openai" => Some("openai-chat"),
        "cohere" => Some("cohere-chat"),
        "vertex" => Some("gemini"),
        _ => None,
    }
}

fn base_url(fact: &Provider) -> String {
    if fact.dialect == "azure-openai" {
        // Its v1 paths take the deployment as the model of the body, like everyone else's.
        return format!("{}/v1", fact.base_url);
    }
    match fact.base_url.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((_, path)) => format!("https://{{host}}{path}"),
        None => fact.base_url.clone(),
    }
}

/// The path of a dialect's main call, where the facts name one.
fn own_path(fact: &Provider, dialect: &str) -> Option<String> {
    if fact.dialect == "azure-openai" {
        return None;
    }
    let (main, _) = defaults(dialect).first()?;
    fact.paths.get(*main).cloned()
}

fn defaults(dialect: &str) -> &'static [(&'static str, &'static str)] {
    DEFAULTS.iter().find(|(name, _)| *name == dialect).map_or(&[], |(_, paths)| paths)
}

fn with_model(path: &str) -> String {
    path.replace("{modelId}", "{model}").replace("{deployment}", "{model}")
}

/// Names in braces that stand in the base URLs, each with what to put there.
pub(super) fn vars(fact: &Provider, surfaces: &[Surface]) -> BTreeMap<String, String> {
    let names = surfaces.iter().flat_map(|surface| surface.base_url.split('{').skip(1));
    let names = names.filter_map(|rest| rest.split_once('}').map(|(name, _)| name));
    let words = |name: &str| {
        let ours = VARS.iter().find(|(known, _)| *known == name).map(|(_, words)| (*words).to_owned());
        fact.base_url_vars.get(name).cloned().or(ours).unwrap_or_else(|| name.to_owned())
    };
    names.map(|name| (name.to_owned(), words(name))).collect()
}

/// Further bases of a dialect that the row has already, in words.
pub(super) fn further_bases(fact: &Provider) -> Vec<String> {
    let mut seen: Vec<&str> = dialect(&fact.dialect).into_iter().collect();
    let mut found = Vec::new();
    for other in &fact.other_dialects {
        let Some(dialect) = dialect(&other.dialect) else { continue };
        if seen.contains(&dialect) {
            found.extend(other.base_url.as_ref().map(|base| format!("{dialect} is also at {base}")));
        }
        seen.push(dialect);
        found.extend(other.note.as_ref().map(|note| format!("{dialect}: {note}")));
    }
    found
}

// === impl Surface ===

impl Surface {
    /// A main call whose path ends as the dialect's own does has the rest of it in the base.
    fn new(dialect: &str, base: &str, path: Option<String>) -> Self {
        let mut surface = Self {
            dialect: dialect.to_owned(),
            base_url: base.trim_end_matches('/').to_owned(),
            paths: BTreeMap::new(),
            no_stream_options: false,
            quirks: Vec::new(),
            auth: None,
        };
        let path = path.map(|path| with_model(&path));
        let Some(((name, own), path)) = defaults(dialect).first().zip(path) else { return surface };
        match path.strip_suffix(own) {
            Some(rest) => surface.base_url.push_str(rest),
            None => drop(surface.paths.insert((*name).to_owned(), path)),
        }
        surface
    }

    /// Paths of the facts that are not the dialect's own. The main call's was looked at by `new`.
    fn add_paths(&mut self, fact: &Provider) {
        if fact.dialect == "azure-openai" {
            return;
        }
        let own = defaults(&self.dialect);
        for (name, path) in &fact.paths {
            let default = own.iter().skip(1).find(|(known, _)| known == name).map(|(_, path)| *path);
            let known = default.or_else(|| EXTRA.contains(&name.as_str()).then_some(""));
            let path = with_model(path);
            if known.is_some_and(|default| default != path) {
                self.paths.insert(name.clone(), path);
            }
        }
    }

    pub(super) fn write(&self, table: &mut Table) {
        table.heading("surfaces");
        table.text("dialect", &self.dialect);
        table.text("base_url", &self.base_url);
        if !self.paths.is_empty() {
            table.raw("paths", inline(self.paths.iter().map(|(name, path)| (name.as_str(), quoted(path)))));
        }
        table.flag("no_stream_options", self.no_stream_options);
        if !self.quirks.is_empty() {
            table.raw("quirks", inline(self.quirks.clone()));
        }
        if let Some(auth) = self.auth {
            table.raw("auth", auth);
        }
    }
}
