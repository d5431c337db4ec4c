//! Where a provider's dialects are, given its catalogue row and what the user wrote. A catalogue base is used as written;
//! a key never goes to another origin than the row's, or, where the user named one, than the user's.

use crate::provider::{Auth, Endpoint, Kind, Probe, Provider, Surface};
use crate::quirk::Quirks;
use keyway_proto::snapshot::v1::{self as wire, Dialect, StreamEnd};
use std::collections::BTreeMap;
use thiserror::Error;

/// A surface as it will be called. Names in braces that are left stand for settings; see `fill`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedSurface {
    /// Which wire format.
    pub dialect: Dialect,
    /// Up to and with the version segment, no slash at the end; empty = built in.
    pub base_url: String,
    /// Endpoints that are not at the dialect's own path; may hold `{model}`.
    pub paths: BTreeMap<Endpoint, String>,
    /// How a complete stream ends; unspecified = the dialect's own way.
    pub end: StreamEnd,
    /// `stream_options` is refused or unknown there.
    pub no_stream_options: bool,
    /// What it does differently from its dialect.
    pub quirks: Quirks,
    /// Instead of the provider's.
    pub auth: Option<Auth>,
    /// Which models it serves; none = all.
    pub models: Vec<String>,
    /// As the row's.
    pub body_version: String,
    /// What was put in place of names.
    pub vars: BTreeMap<String, String>,
}

/// Why no address comes of what the file says. Holds no URL, since one could hold a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BaseUrlError {
    #[error("not in the catalogue: `dialect` is required, such as openai-chat")]
    NoDialect,
    #[error("not in the catalogue: `base_url` is required")]
    NoBaseUrl,
    #[error("`base_url` {0}")]
    NotAUrl(&'static str),
    #[error("a built-in provider has no `base_url`")]
    BuiltIn,
    #[error("a built-in provider speaks openai-chat and anthropic-messages only")]
    BuiltInDialect,
    #[error("its address needs {}: set {} or `base_url`", .0.join(", "), settings(.0))]
    Unfilled(Vec<String>),
}

/// Which fields of the file give these names.
fn settings(names: &[String]) -> &'static str {
    match names {
        [one] if one == "region" => "`region`",
        [_] => "it in `vars`",
        _ => "them in `vars`",
    }
}

/// A base URL in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Base {
    /// `https://host:port`, lower-case, without the scheme's own port.
    origin: String,
    /// Empty, or from its first slash on without a last one.
    path: String,
}

/// Values of names in braces.
type Vars = Vec<(String, String)>;

/// The surfaces that serve a provider: of its catalogue row (none = not in the catalogue), the `dialect` of the file and
/// its `base_url`. The first is the main one.
///
/// # Errors
/// What is missing or wrong in the file.
pub fn resolve_base_url(
    row: Option<&Provider>,
    dialect: Option<Dialect>,
    user_base_url: Option<&str>,
) -> Result<Vec<ResolvedSurface>, BaseUrlError> {
    let user = user_base_url.map(Base::parse).transpose()?;
    let Some(row) = row else {
        let dialect = dialect.ok_or(BaseUrlError::NoDialect)?;
        let user = user.ok_or(BaseUrlError::NoBaseUrl)?;
        return Ok(vec![ResolvedSurface::plain(dialect, user.with_version(prefix(dialect)))]);
    };
    if row.is_built_in() {
        return built_in(row, dialect, user.is_some());
    }
    let chosen = chosen(row, dialect);
    match user {
        None => Ok(chosen.into_iter().map(|surface| surface.0).collect()),
        Some(user) => Ok(place(&chosen, &user, row.kind == Kind::SelfHosted)),
    }
}

/// What a dialect's paths begin with at most providers.
fn prefix(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Gemini => "/v1beta",
        Dialect::CohereChat => "/v2",
        Dialect::BedrockConverse => "",
        Dialect::Unspecified
        | Dialect::OpenaiChat
        | Dialect::OpenaiResponses
        | Dialect::AnthropicMessages => "/v1",
    }
}

fn built_in(
    row: &Provider,
    dialect: Option<Dialect>,
    has_base: bool,
) -> Result<Vec<ResolvedSurface>, BaseUrlError> {
    if has_base {
        return Err(BaseUrlError::BuiltIn);
    }
    let listed = row.surfaces.iter().filter(|surface| dialect.is_none_or(|only| only == surface.dialect));
    let found: Vec<_> = listed.map(|surface| ResolvedSurface::of(surface, String::new())).collect();
    if found.is_empty() { Err(BaseUrlError::BuiltInDialect) } else { Ok(found) }
}

/// The row's surfaces that the file leaves on, each with its base. A dialect that the row does not list is taken to be
/// at the main one's base, at its own paths.
fn chosen(row: &Provider, dialect: Option<Dialect>) -> Vec<(ResolvedSurface, Base)> {
    let whole = |surface: &Surface| {
        let base = Base::parse(surface.base_url.as_deref()?).ok()?;
        let mut resolved = ResolvedSurface::of(surface, base.text());
        // The list of models is asked for to try a key, and for nothing else.
        if let Probe::Get(path) = &row.probe {
            resolved.paths.insert(Endpoint::Models, path.clone());
        }
        Some((resolved, base))
    };
    let Some(dialect) = dialect else {
        return row.surfaces.iter().filter_map(whole).collect();
    };
    if let Some(surface) = row.surface(dialect) {
        return whole(surface).into_iter().collect();
    }
    let main = row.surfaces.first().and_then(whole);
    main.map(|(_, base)| (ResolvedSurface::plain(dialect, base.text()), base)).into_iter().collect()
}

/// Applies a user's base to the row's surfaces. The first one's origin is the row's.
fn place(chosen: &[(ResolvedSurface, Base)], user: &Base, self_hosted: bool) -> Vec<ResolvedSurface> {
    let Some((_, home)) = chosen.first() else { return Vec::new() };
    let near = || chosen.iter().filter(|(_, base)| base.origin == home.origin);
    // A self-hosted row's origin is only an example, so any origin is the row's.
    let origin = capture(&home.origin, &user.origin).or_else(|| self_hosted.then(Vec::new));
    let replaced = || near().map(|(surface, _)| surface.replaced(user)).collect();
    let Some(vars) = origin else { return replaced() };
    if user.path.is_empty() {
        return chosen.iter().map(|(surface, base)| surface.moved(base, home, user, &vars)).collect();
    }
    if let Some(more) = capture(&home.path, &user.path) {
        let vars: Vars = vars.into_iter().chain(more).collect();
        return chosen.iter().map(|(surface, base)| surface.moved(base, home, user, &vars)).collect();
    }
    // The path of one of its other dialects: the others are not at a path that the user wrote.
    let same = near().filter_map(|(surface, base)| {
        let more = capture(&base.path, &user.path)?;
        let vars: Vars = vars.iter().cloned().chain(more).collect();
        Some(surface.moved(base, home, user, &vars))
    });
    let same: Vec<_> = same.collect();
    if same.is_empty() { replaced() } else { same }
}

// === impl ResolvedSurface ===

impl ResolvedSurface {
    fn of(surface: &Surface, base_url: String) -> Self {
        Self {
            dialect: surface.dialect,
            base_url,
            paths: surface.paths.clone(),
            end: surface.end,
            no_stream_options: surface.no_stream_options,
            quirks: surface.quirks.clone(),
            auth: surface.auth.clone(),
            models: surface.models.clone(),
            body_version: surface.body_version.clone(),
            vars: BTreeMap::new(),
        }
    }

    fn plain(dialect: Dialect, base_url: String) -> Self {
        let relative = dialect == Dialect::OpenaiChat;
        Self {
            dialect,
            base_url,
            paths: BTreeMap::new(),
            end: StreamEnd::Unspecified,
            no_stream_options: false,
            quirks: if relative { Quirks::of_relative() } else { Quirks::default() },
            auth: None,
            models: Vec::new(),
            body_version: String::new(),
            vars: BTreeMap::new(),
        }
    }

    /// The row's own base at the user's spelling of its origin. Addresses at other origins stay as the row has them.
    fn moved(&self, base: &Base, home: &Base, user: &Base, vars: &[(String, String)]) -> Self {
        let origin = if base.origin == home.origin { &user.origin } else { &base.origin };
        let mut surface = Self { base_url: format!("{origin}{}", base.path), ..self.clone() };
        for path in surface.paths.values_mut() {
            if let Some(rest) = path.strip_prefix(&home.origin).filter(|rest| rest.starts_with('/')) {
                *path = format!("{}{rest}", user.origin);
            }
        }
        surface.substitute(vars);
        surface
    }

    /// The user's base in place of the row's. An address at another origin is dropped with the origin.
    fn replaced(&self, user: &Base) -> Self {
        // Such a path holds all of the address itself (Bedrock's `/model/{model}/invoke`).
        let complete = self.paths.get(&Endpoint::Messages).is_some_and(|path| path.contains("{model}"));
        let version = if complete { "" } else { prefix(self.dialect) };
        let own = self.paths.iter().filter(|(_, path)| !path.contains("://"));
        let paths = own.map(|(endpoint, path)| (*endpoint, without_version(path).to_owned())).collect();
        Self { base_url: user.with_version(version), paths, ..self.clone() }
    }

    /// Puts settings (`region`, `resource`…) into the address.
    ///
    /// # Errors
    /// Names without a value.
    pub fn fill(mut self, vars: &[(String, String)]) -> Result<Self, BaseUrlError> {
        self.substitute(vars);
        let unfilled = self.unfilled();
        if unfilled.is_empty() { Ok(self) } else { Err(BaseUrlError::Unfilled(unfilled)) }
    }

    /// Names in braces that still need a value. A path's `{model}` is not one: it is filled in per request.
    #[must_use]
    pub fn unfilled(&self) -> Vec<String> {
        let in_paths = self.paths.values().flat_map(|path| names(path)).filter(|name| *name != "model");
        let mut all: Vec<String> = names(&self.base_url).chain(in_paths).map(str::to_owned).collect();
        all.sort();
        all.dedup();
        all
    }

    fn substitute(&mut self, vars: &[(String, String)]) {
        self.vars.extend(vars.iter().cloned());
        for text in self.paths.values_mut().chain([&mut self.base_url]) {
            for (name, value) in vars {
                *text = text.replace(&format!("{{{name}}}"), value);
            }
        }
    }

    /// Hosts that do not follow their pattern, by the row's list.
    #[must_use]
    pub fn at_hosts(mut self, hosts: &BTreeMap<String, String>) -> Self {
        for text in self.paths.values_mut().chain([&mut self.base_url]) {
            for (pattern, host) in hosts {
                let found =
                    text.strip_prefix("https://").and_then(|rest| rest.strip_prefix(pattern.as_str()));
                if let Some(rest) = found.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                    *text = format!("https://{host}{rest}");
                }
            }
        }
        self
    }

    /// As the snapshot carries it, without the endpoints that it does not know yet and without `auth`, which needs more
    /// than the row.
    #[must_use]
    pub fn to_proto(&self) -> wire::Surface {
        let path = |(endpoint, path): (&Endpoint, &String)| {
            let (endpoint, stream) = endpoint.to_proto(self.dialect)?;
            Some(wire::EndpointPath { endpoint: endpoint.into(), path: path.clone(), stream })
        };
        wire::Surface {
            dialect: self.dialect.into(),
            base_url: self.base_url.clone(),
            paths: self.paths.iter().filter_map(path).collect(),
            stream_end: self.end.into(),
            no_stream_options: self.no_stream_options,
            auth: None,
            quirks: (self.quirks != Quirks::default()).then(|| self.quirks.to_proto()),
            models: self.models.clone(),
            body_version: self.body_version.clone(),
        }
    }
}

// === impl Base ===

impl Base {
    fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let wrong = |why| Err(BaseUrlError::NotAUrl(why));
        let (scheme, rest) = text.trim().split_once("://").unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        let own_port = match scheme.as_str() {
            "https" => ":443",
            "http" => ":80",
            _ => return wrong("must begin with https:// or http://"),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return wrong("must not hold a user or password");
        }
        if rest.contains(['?', '#']) {
            return wrong("must not hold a query or fragment");
        }
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return wrong("holds a space, a backslash or a control character");
        }
        let authority = lower_case(authority);
        let authority = authority.strip_suffix(own_port).unwrap_or(&authority);
        if !is_authority(authority) {
            return wrong("has no host, or not a valid one");
        }
        let path = path.trim_end_matches('/').to_owned();
        Ok(Self { origin: format!("{scheme}://{authority}"), path })
    }

    fn text(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }

    /// As written where it names a version, else with this one.
    fn with_version(&self, prefix: &str) -> String {
        let versioned = self.path.split('/').any(is_version);
        format!("{}{}{}", self.origin, self.path, if versioned { "" } else { prefix })
    }
}

/// Lower-case but for names in braces.
fn lower_case(authority: &str) -> String {
    if authority.contains('{') { authority.to_owned() } else { authority.to_ascii_lowercase() }
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            return port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let good = |c: char| c.is_ascii_alphanumeric() || "-._{}".contains(c);
    !host.is_empty() && host.chars().all(good) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// `v1`, `v1beta`, `v4`.
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// A path without the version that it begins with, since the base has one.
fn without_version(path: &str) -> &str {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let end = rest.find('/').unwrap_or(rest.len());
    let (first, tail) = rest.split_at(end);
    if is_version(first) { tail } else { path }
}

/// Names in braces, in order.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// The values of a template's names where a text has its form. A name stands for one character or more, no slash.
fn capture(template: &str, text: &str) -> Option<Vars> {
    let (fixed, rest) = template.split_at(template.find('{').unwrap_or(template.len()));
    let text = text.strip_prefix(fixed)?;
    let Some((name, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
        return text.is_empty().then(Vec::new);
    };
    let literal = after.split('{').next().unwrap_or_default();
    let end = if literal.is_empty() { text.find('/').unwrap_or(text.len()) } else { text.find(literal)? };
    let (value, tail) = text.split_at(end);
    if value.is_empty() || value.contains('/') {
        return None;
    }
    let mut vars = vec![(name.to_owned(), value.to_owned())];
    vars.extend(capture(after, tail)?);
    Some(vars)
}
