//! One provider's row: which of its wire formats are among our dialects, and where each is.

mod curated;
mod surfaces;

use super::{
    facts,
    text::{Table, inline, quoted},
};
use std::collections::BTreeMap;

/// The file's text; none where the provider speaks none of the dialects.
pub(crate) fn row(fact: &facts::Provider) -> Option<String> {
    let surfaces = surfaces::of(fact);
    if surfaces.is_empty() {
        return None;
    }
    let mut table = Table::default();
    table.text("name", &fact.name);
    table.text("kind", &fact.kind);
    table.raw("auth", auth(&fact.auth));
    let mut alternatives: Vec<String> = fact.auth.alternatives.iter().map(auth).collect();
    if fact.env.iter().any(|name| name == curated::ANTHROPIC_BEARER_ENV) {
        alternatives.push(curated::ANTHROPIC_BEARER.to_owned());
    }
    if !alternatives.is_empty() {
        table.raw("auth_alternatives", super::text::array(alternatives));
    }
    let env = curated::Env::of(fact);
    table.list("env", &env.keys);
    table.list("env_shared", &env.shared);
    table.list("env_settings", &env.settings);
    table.optional("base_url_env", fact.base_url_env.as_ref());
    table.map("headers", &headers(fact));
    table.list("optional_headers", &fact.optional_headers);
    table.map("base_url_vars", &surfaces::vars(fact, &surfaces));
    table.number("default_port", fact.default_port);
    table.list("endpoints", &fact.endpoints);
    table.list("notes", &notes(fact));
    table.optional("probe", curated::probe(&fact.id).map(str::to_owned).as_ref());
    table.optional("doc", fact.doc.as_ref());
    if fact.confidence != "high" {
        table.text("confidence", &fact.confidence);
    }
    for surface in &surfaces {
        surface.write(&mut table);
    }
    Some(table.finish())
}

/// An `auth` value, as TOML.
fn auth(fact: &facts::Auth) -> String {
    let header = fact.header.as_deref().unwrap_or("authorization").to_ascii_lowercase();
    let prefix = fact.prefix.as_deref();
    let (scheme, name, prefix, flow) = match fact.scheme.as_str() {
        "bearer" => ("header", header, prefix.or(Some("Bearer ")), None),
        "header" => ("header", header, prefix, None),
        "query" => ("query", fact.param.clone().unwrap_or_default(), None, None),
        "none" if fact.optional_bearer => ("header", header, Some("Bearer "), None),
        "sigv4" => ("sigv4", String::new(), None, None),
        "none" => ("none", String::new(), None, None),
        "oauth" => ("oauth", header, prefix.or(Some("Bearer ")), Some("login")),
        other => ("oauth", header, prefix.or(Some("Bearer ")), Some(other.trim_start_matches("oauth-"))),
    };
    let mut pairs = vec![("scheme", quoted(scheme))];
    let mut add = |key, value: Option<&str>| {
        pairs.extend(value.filter(|value| !value.is_empty()).map(|value| (key, quoted(value))));
    };
    add("name", Some(&name));
    add("prefix", prefix);
    add("service", fact.service.as_deref());
    add("flow", flow);
    add("token_url", fact.token_url.as_deref());
    add("scope", fact.scope.as_deref());
    add("env", fact.env.as_deref());
    add("note", fact.note.as_deref());
    if fact.optional_bearer {
        pairs.push(("optional", "true".to_owned()));
    }
    inline(pairs)
}

/// Headers that must be sent, but for one that holds the key: that is `auth`.
fn headers(fact: &facts::Provider) -> BTreeMap<String, String> {
    let fixed = fact.extra_headers.iter().filter(|(_, value)| !value.contains('{'));
    fixed.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

/// What is said in words, but for what the surfaces' quirks say already.
fn notes(fact: &facts::Provider) -> Vec<String> {
    let repeated = "thinking models return/expect reasoning in `";
    let said = fact.quirks.iter().filter(|quirk| !quirk.starts_with(repeated));
    let said = said.map(|quirk| quirk.replace("off_peak_prices in models.json", "by_time of its models"));
    said.chain(surfaces::further_bases(fact)).collect()
}
