//! Where a provider's key may be sent: the origins of every address that a data plane would put together from its
//! surfaces. A secret is sealed for this set; a provider that moves has another one.

use http::Uri;
use keyway_proto::snapshot::v1 as wire;
use std::collections::BTreeSet;

/// Every origin as `scheme://host:port`, lower case, the port always there. What is no address is left out: no data
/// plane takes a state with it, and to be left out only narrows where the key may go.
#[must_use]
pub fn origins(provider: &wire::Provider) -> BTreeSet<String> {
    let addresses = provider.surfaces.iter().flat_map(|surface| {
        let paths = surface.paths.iter().map(|path| path.path.as_str()).filter(|path| path.contains("://"));
        paths.chain([surface.base_url.as_str()])
    });
    addresses.filter_map(origin).collect()
}

fn origin(address: &str) -> Option<String> {
    // Names in braces are filled in for each request, and only in paths.
    let uri: Uri = address.replace('{', "%7B").replace('}', "%7D").parse().ok()?;
    let scheme = uri.scheme_str()?;
    let usual = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = uri.authority()?;
    let port = authority.port_u16().unwrap_or(usual);
    Some(format!("{scheme}://{}:{port}", authority.host().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A base address with the paths of its endpoints.
    type Surface = (&'static str, &'static [&'static str]);

    fn provider(surfaces: &[Surface]) -> wire::Provider {
        let path = |path: &&str| wire::EndpointPath { path: (*path).to_owned(), ..Default::default() };
        let surface = |(base, paths): &Surface| wire::Surface {
            base_url: (*base).to_owned(),
            paths: paths.iter().map(path).collect(),
            ..Default::default()
        };
        wire::Provider { surfaces: surfaces.iter().map(surface).collect(), ..Default::default() }
    }

    #[test]
    fn origins_of_addresses() {
        let table: [(&[Surface], &[&str]); 10] = [
            (&[("https://api.example.com/v1", &[])], &["https://api.example.com:443"]),
            (&[("HTTPS://API.Example.com:443/", &[])], &["https://api.example.com:443"]),
            (&[("http://localhost/v1", &[])], &["http://localhost:80"]),
            (&[("http://[::1]:8080/v1", &[])], &["http://[::1]:8080"]),
            (&[("https://a.example/v1", &["/own", "models/{model}:call"])], &["https://a.example:443"]),
            (
                &[("https://a.example", &["http://B.example:81/x/{model}"])],
                &["http://b.example:81", "https://a.example:443"],
            ),
            (&[("https://a.example", &[]), ("https://a.example/other", &[])], &["https://a.example:443"]),
            // The host is what counts, not what stands before an @.
            (&[("https://a.example@evil.example/", &[])], &["https://evil.example:443"]),
            (&[("ftp://a.example", &[]), ("nothing", &[]), ("", &[])], &[]),
            (&[], &[]),
        ];
        for (surfaces, expected) in table {
            let found = origins(&provider(surfaces));
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{surfaces:?}");
        }
    }
}
