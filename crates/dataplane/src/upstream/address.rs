//! Which addresses may be connected to. Judged on the address itself, every time, so that a name whose answer flips to
//! an inner address (DNS rebinding) leads nowhere.

use super::Connector;
use keyway_snapshot::Origin;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of network an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Anywhere.
    Public,
    /// Private or loopback: only for origins that are meant to be inside.
    Private,
    /// Link-local, cloud metadata, multicast, unspecified: never.
    Never,
}

/// Suffixes of names that are inside by convention.
const INNER_SUFFIXES: [&str; 3] = [".local", ".internal", ".svc"];
const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
const AWS_METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// Whether this origin may be reached at this address.
pub(crate) fn allowed(origin: &Origin, address: IpAddr) -> bool {
    match class(address) {
        Class::Public => true,
        Class::Never => false,
        Class::Private => origin.private_network || is_inner(&origin.host),
    }
}

impl Connector {
    /// Whether this origin is meant to be inside, where a Keyway may stand. A name says so, an address by its class.
    pub(crate) fn leads_inside(origin: &Origin) -> bool {
        let host = &*origin.host;
        origin.private_network
            || host.parse().map_or_else(|_| is_inner(host), |literal| class(literal) == Class::Private)
    }
}

fn is_inner(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.parse::<IpAddr>().is_ok()
        || !host.contains('.')
        || INNER_SUFFIXES.iter().any(|suffix| host.len() > suffix.len() && ends_with(host, suffix))
        || ends_with(host, ".localhost")
}

fn ends_with(host: &str, suffix: &str) -> bool {
    host.len()
        .checked_sub(suffix.len())
        .and_then(|at| host.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// What kind of address this is.
pub(crate) fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => class_v4(v4),
            None => class_v6(v6),
        },
    }
}

fn class_v4(v4: Ipv4Addr) -> Class {
    let [a, b, ..] = v4.octets();
    if v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || a == 0 || v4 == ALIBABA_METADATA {
        Class::Never
    } else if v4.is_private() || v4.is_loopback() || (a == 100 && (64..128).contains(&b)) {
        Class::Private
    } else {
        Class::Public
    }
}

fn class_v6(v6: Ipv6Addr) -> Class {
    if v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local() || v6 == AWS_METADATA_V6 {
        Class::Never
    } else if v6.is_loopback() || v6.is_unique_local() {
        Class::Private
    } else {
        Class::Public
    }
}

/// An IPv4 address in IPv6 clothes: mapped, or NAT64's well-known prefix (RFC 6052).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let nat64 = matches!(v6.segments(), [0x64, 0xff9b, 0, 0, 0, 0, _, _]);
    let [.., a, b, c, d] = v6.octets();
    v6.to_ipv4_mapped().or_else(|| nat64.then(|| Ipv4Addr::new(a, b, c, d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (address, expected) in [
            ("1.1.1.1", Class::Public),
            ("2606:4700::1111", Class::Public),
            ("127.0.0.1", Class::Private),
            ("10.1.2.3", Class::Private),
            ("172.31.0.1", Class::Private),
            ("192.168.0.1", Class::Private),
            ("100.64.0.1", Class::Private),
            ("::1", Class::Private),
            ("fd12::1", Class::Private),
            ("::ffff:127.0.0.1", Class::Private),
            ("169.254.169.254", Class::Never),
            ("::ffff:169.254.169.254", Class::Never),
            ("64:ff9b::a9fe:a9fe", Class::Never),
            ("fe80::1", Class::Never),
            ("fd00:ec2::254", Class::Never),
            ("100.100.100.200", Class::Never),
            ("0.0.0.0", Class::Never),
            ("::", Class::Never),
            ("224.0.0.1", Class::Never),
        ] {
            assert_eq!(class(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn names_that_are_inside() {
        for (host, inner) in [
            ("localhost", true),
            ("ollama", true),
            ("gpu.internal", true),
            ("vllm.models.svc", true),
            ("box.local", true),
            ("127.0.0.1", true),
            ("api.openai.com", false),
            ("evil-internal.com", false),
            ("internal.example.com", false),
        ] {
            assert_eq!(is_inner(host), inner, "{host}");
        }
    }

    #[test]
    fn origins_that_are_meant_to_be_inside() {
        for (host, inside) in [
            ("localhost", true),
            ("keyway", true),
            ("keyway.internal", true),
            ("keyway.team.svc", true),
            ("box.local.", true),
            ("a.localhost", true),
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("192.168.0.1", true),
            ("::1", true),
            ("fd12::1", true),
            ("::ffff:10.1.2.3", true),
            ("1.1.1.1", false),
            ("2606:4700::1111", false),
            ("api.openai.com", false),
        ] {
            let origin = |private_network| Origin {
                id: 0,
                tls: false,
                host: host.into(),
                port: 80,
                private_network,
                authority: http::HeaderValue::from_static("a"),
            };
            assert_eq!(Connector::leads_inside(&origin(false)), inside, "{host}");
            assert!(Connector::leads_inside(&origin(true)), "{host}");
        }
    }
}
