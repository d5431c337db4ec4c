//! How a secret goes into a request.

use crate::sigv4::Signer;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use keyway_snapshot::{Auth, Dialect, Provider, Secret, Surface};
use std::sync::Arc;

/// Made once a key version, so that a request only clones it.
#[derive(Debug, Clone)]
pub(crate) enum Presented {
    Nothing,
    Header(HeaderName, HeaderValue),
    Query(String),
    /// Signs each request.
    SigV4(Arc<Signer>),
}

/// The same for every surface of a provider.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    usual: Presented,
    /// Of surfaces that want it otherwise.
    others: Box<[(Dialect, Presented)]>,
}

/// Bytes of a secret, wiped when the last header that shows them is gone.
struct Shown(zeroize::Zeroizing<Vec<u8>>);

// === impl Ways ===

impl Ways {
    pub(crate) fn of(provider: &Provider, secret: &Secret) -> Self {
        let own = |surface: &Surface| Some((surface.dialect, Presented::of(surface.auth.as_ref()?, secret)));
        let others = provider.surfaces.iter().filter_map(own).collect();
        Self { usual: Presented::of(&provider.auth, secret), others }
    }

    /// For who presents nothing.
    pub(crate) fn none() -> Self {
        Self { usual: Presented::Nothing, others: Box::default() }
    }

    /// How it goes to this surface.
    pub(crate) fn at(&self, surface: &Surface) -> &Presented {
        if surface.auth.is_none() {
            return &self.usual;
        }
        let own = self.others.iter().find(|(dialect, _)| *dialect == surface.dialect);
        own.map_or(&Presented::Nothing, |(_, presented)| presented)
    }
}

// === impl Presented ===

impl Presented {
    pub(crate) fn of(auth: &Auth, secret: &Secret) -> Self {
        match auth {
            Auth::None | Auth::Unsupported(_) => Self::Nothing,
            Auth::Header(name, prefix) => Self::header(name, prefix, secret),
            Auth::Query(name) => Self::Query(name.to_string()),
            Auth::SigV4(scope) => match Signer::of(scope, secret) {
                Some(signer) => Self::SigV4(Arc::new(signer)),
                None => Self::plain(scope.plain.as_ref(), secret),
            },
            Auth::OAuth(_) => Self::Nothing,
        }
    }

    /// One API key, where the scheme asks for more.
    fn plain(place: Option<&(HeaderName, Box<str>)>, secret: &Secret) -> Self {
        // A pair of which a half is missing must not go out as if it were a key.
        let one = !secret.expose().contains(&b':');
        place.filter(|_| one).map_or(Self::Nothing, |(name, prefix)| Self::header(name, prefix, secret))
    }

    fn header(name: &HeaderName, prefix: &str, secret: &Secret) -> Self {
        let value = header_value(prefix, secret.expose());
        value.map_or(Self::Nothing, |value| Self::Header(name.clone(), value))
    }
}

/// A value that shows a secret and is wiped; none if the secret does not fit into a header.
pub(crate) fn header_value(prefix: &str, secret: &[u8]) -> Option<HeaderValue> {
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(prefix.len() + secret.len()));
    text.extend_from_slice(prefix.as_bytes());
    text.extend_from_slice(secret);
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(Shown(text))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl AsRef<[u8]> for Shown {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
