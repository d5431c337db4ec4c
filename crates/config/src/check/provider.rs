//! Checks of one provider.

use std::collections::BTreeSet;

use keyway_catalog::Quirks;

use super::price::prices;
use super::{At, names, source};
use crate::file::{Auth, Provider, Secret, Timeouts};
use crate::nearest::hint;
use crate::secrets::looks_like_secret;

/// The built-in provider, always there.
pub(super) const SANDBOX: &str = "sandbox";

/// Bytes of a provider's credential; a service account's JSON has about 2,400.
const SECRET_LIMIT: usize = 16 * 1024;
const WEIGHT_LIMIT: u32 = 1_000_000;
const HEADERS_LIMIT: usize = 32;
const MODEL_QUIRKS_LIMIT: usize = 256;
const HEADER_VALUE_LIMIT: usize = 4 * 1024;

/// Headers that Keyway sets itself or that frame a message.
const OWN_HEADERS: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

pub(super) fn check(at: &mut At<'_>, name: &str, provider: &Provider) {
    if let Err(reason) = names::name(name) {
        return at.report(reason);
    }
    if name == SANDBOX {
        return at.report("is built in and takes no settings; remove it or choose another name");
    }
    complete(at, name, provider);
    if let Some(url) = &provider.base_url {
        at.report_field("base_url", base_url(url));
    }
    keys(at, provider);
    auth(at, provider);
    headers(&mut at.field("headers"), provider);
    prices(&mut at.field("prices"), &provider.prices);
    for (index, model) in provider.models.iter().enumerate() {
        if let Err(reason) = names::model(model) {
            at.field("models").item(index).report(reason);
        }
    }
    if provider.region.as_deref().is_some_and(|region| !is_region(region)) {
        at.field("region").report("a region has lowercase letters, digits and '-', like us-east-1");
    }
    vars(&mut at.field("vars"), name, provider);
    timeouts(&mut at.field("timeouts"), provider.timeouts.as_ref());
    quirks(at, provider);
}

/// Each is a name of the row's, and a part of a host or path.
fn vars(at: &mut At<'_>, provider: &str, spec: &Provider) {
    let row = keyway_catalog::Catalog::embedded().provider(provider);
    let known = || row.into_iter().flat_map(|row| row.base_url_vars.keys());
    for (name, value) in &spec.vars {
        if !known().any(|one| one == name) {
            at.field(name).report(format!("is in no address of this provider{}", hint(name, known())));
        } else if value.is_empty() || value.len() > 253 || !value.bytes().all(is_of_address) {
            at.field(name).report("has letters, digits, '-', '_' and '.' only");
        }
    }
}

fn is_of_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// What the catalogue does not know must be described.
fn complete(at: &mut At<'_>, name: &str, provider: &Provider) {
    let catalog = keyway_catalog::Catalog::embedded();
    if catalog.provider(name).is_some() {
        return;
    }
    let missing: Vec<&str> =
        [("dialect", provider.dialect.is_none()), ("base_url", provider.base_url.is_none())]
            .into_iter()
            .filter_map(|(field, missing)| missing.then_some(field))
            .collect();
    if !missing.is_empty() {
        let near = hint(name, catalog.providers().iter().map(|row| &row.id));
        at.report(format!("is not in the catalogue and so needs {}{near}", missing.join(" and ")));
    }
}

/// `http` or `https`, a host, no credentials, no query.
pub(super) fn base_url(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else { return Err("must begin with https:// or http://".into()) };
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    if url.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err("must be a URL in ASCII without spaces".into());
    }
    if authority.contains('@') {
        return Err("must not hold a user or password; give the key as `api_key`".into());
    }
    if rest.contains(['?', '#']) {
        return Err("must not hold a query or fragment; give the key as `api_key`".into());
    }
    if path.split('/').any(looks_like_secret) {
        return Err("looks as if it held a key; give it as `api_key`".into());
    }
    let (host, port) = split_port(authority);
    let is_host = |host: &str| {
        host.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':'))
    };
    if host.is_empty()
        || !is_host(host)
        || port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0))
    {
        return Err("must name a host, and a port from 1 to 65535 if any".into());
    }
    Ok(())
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn keys(at: &mut At<'_>, provider: &Provider) {
    if let Some(secret) = &provider.api_key {
        at.report_field("api_key", credential(secret));
    }
    let mut seen = BTreeSet::new();
    if provider.api_key.is_some() {
        seen.insert("default");
    }
    let mut at = at.field("keys");
    for (index, key) in provider.keys.iter().enumerate() {
        let mut at = at.item(index);
        at.report_field("name", names::name(&key.name));
        if !seen.insert(&key.name) {
            at.field("name").report("is the name of another key of this provider; key names are unique");
        }
        if let Some(secret) = &key.secret {
            at.report_field("secret", credential(secret));
        }
        at.report_field("weight", weight(key.weight));
        if let Some(quota) = &key.quota {
            at.report_field("quota", names::name(quota));
        }
        prices(&mut at.field("prices"), &key.prices);
        if let Some(rotation) = &key.rotation {
            source::check(&mut at.field("rotation"), rotation);
        }
    }
}

/// Of a secret that a provider is shown.
///
/// # Errors
/// What is wrong with it, without the secret.
pub fn credential(secret: &Secret) -> Result<(), String> {
    let text = secret.expose();
    if text.trim().is_empty() {
        return Err("is empty".into());
    }
    if text.len() > SECRET_LIMIT {
        return Err(format!("has more than {SECRET_LIMIT} bytes"));
    }
    // A service account's JSON has lines; everything else goes into a header as it stands.
    if !text.starts_with('{') && text.bytes().any(|b| b.is_ascii_control()) {
        return Err("holds a line break or another control character; remove it".into());
    }
    Ok(())
}

pub(super) fn weight(weight: Option<u32>) -> Result<(), String> {
    match weight {
        Some(weight) if !(1..=WEIGHT_LIMIT).contains(&weight) => {
            Err(format!("must be from 1 to {WEIGHT_LIMIT}"))
        }
        _ => Ok(()),
    }
}

fn auth(at: &mut At<'_>, provider: &Provider) {
    match &provider.auth {
        Some(Auth::Header { header, .. }) if !is_token(header) => {
            at.field("auth").field("header").report("must be the name of a header");
        }
        Some(Auth::Header { prefix, .. }) if looks_like_secret(prefix) || !is_value(prefix) => {
            at.field("auth").field("prefix").report("is what stands before the secret, like 'Bearer '");
        }
        Some(Auth::Query { query }) if !is_token(query) => {
            at.field("auth").field("query").report("must be the name of a query parameter");
        }
        _ => {}
    }
}

fn headers(at: &mut At<'_>, provider: &Provider) {
    if provider.headers.len() > HEADERS_LIMIT {
        at.report(format!("has more than {HEADERS_LIMIT} headers"));
    }
    for (name, value) in &provider.headers {
        let lower = name.to_ascii_lowercase();
        let reason = if !is_token(name) {
            "is not a header's name"
        } else if OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("x-keyway-") {
            "is set by Keyway itself; for a credential use `api_key` and `auth`"
        } else if looks_like_secret(value) {
            "looks as if it held a key, and headers are shown by export; use `api_key` and `auth`"
        } else if value.len() > HEADER_VALUE_LIMIT || !is_value(value) {
            "has a value that no header may have"
        } else {
            continue;
        };
        at.field(name).report(reason);
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_value(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

fn is_region(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// What contradicts itself, names that no model has, and what holds for a whole provider only.
fn quirks(at: &mut At<'_>, provider: &Provider) {
    let check =
        |quirks: &Quirks| keyway_snapshot::Quirks::check(&quirks.to_proto()).map_err(|why| why.to_string());
    if let Some(quirks) = &provider.quirks {
        at.report_field("quirks", check(quirks));
    }
    let mut at = at.field("model_quirks");
    if provider.model_quirks.len() > MODEL_QUIRKS_LIMIT {
        at.report(format!("has more than {MODEL_QUIRKS_LIMIT} models; use `*` for any characters of a name"));
    }
    for (models, quirks) in &provider.model_quirks {
        let mut at = at.field(models);
        if let Err(reason) = names::model(models).and_then(|()| check(quirks)) {
            at.report(reason);
        } else if quirks.no_stream_options.is_some() {
            at.field("no_stream_options").report("holds for a whole provider; write it under `quirks`");
        }
    }
}

/// A bound of nothing would refuse everything.
pub(super) fn timeouts(at: &mut At<'_>, timeouts: Option<&Timeouts>) {
    let Some(timeouts) = timeouts else { return };
    let fields = [
        ("total", timeouts.total),
        ("first_token", timeouts.first_token),
        ("idle", timeouts.idle),
        ("connect", timeouts.connect),
    ];
    for (field, _) in fields.into_iter().filter(|(_, span)| span.is_some_and(|span| span.millis() == 0)) {
        at.field(field).report("must be more than 0");
    }
}
