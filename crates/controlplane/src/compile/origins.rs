//! Where a provider's secrets are sent: scheme, host and port of every address that it has. Secrets are sealed for these,
//! so that a changed address alone never takes a key along.

use http::Uri;
use keyway_proto::snapshot::v1 as wire;
use prost::Message;
use std::collections::BTreeSet;

/// Every origin of a provider, `https://host:port` each.
pub(crate) fn origins(provider: &wire::Provider) -> BTreeSet<String> {
    let bases = provider.surfaces.iter().map(|surface| surface.base_url.as_str());
    let paths = provider.surfaces.iter().flat_map(|surface| &surface.paths).map(|path| path.path.as_str());
    bases.chain(paths.filter(|path| path.contains("://"))).filter_map(origin).collect()
}

/// Every origin of the provider among compiled resources.
pub(crate) fn origins_in(resources: &[wire::Resource]) -> BTreeSet<String> {
    let provider = resources.iter().find(|resource| resource.kind() == wire::Kind::Provider);
    let provider = provider.and_then(|resource| wire::Provider::decode(resource.body.clone()).ok());
    provider.map(|provider| origins(&provider)).unwrap_or_default()
}

/// The origin of a URL, its port spelled out; `None` if it has none.
pub(crate) fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.replace('{', "%7B").replace('}', "%7D").parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let port = authority.port_u16().unwrap_or(usual);
    Some(format!("{scheme}://{}:{port}", authority.host().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_case_are_one_spelling() {
        for (url, expected) in [
            ("https://API.openai.com/v1", Some("https://api.openai.com:443")),
            ("https://api.openai.com:443", Some("https://api.openai.com:443")),
            ("http://10.0.0.7:8000/v1", Some("http://10.0.0.7:8000")),
            ("http://[::1]/v1", Some("http://[::1]:80")),
            ("https://a.example/{x}/y", Some("https://a.example:443")),
            ("https://user@a.example", None),
            ("ftp://a.example", None),
            ("/v1/chat", None),
        ] {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        }
    }
}
