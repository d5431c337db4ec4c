//! How a secret goes into a request.

use crate::{
    oauth::{NoToken, Tokens},
    upstream::Connector,
};
use http::{HeaderName, HeaderValue};
use keyway_sigv4::Signer;
use keyway_snapshot::{Auth, Dialect, Provider, Secret, Surface, header_value};
use std::{sync::Arc, time::Instant};

/// Made once a key version, so that a request only clones it.
#[derive(Debug, Clone)]
pub(crate) enum Presented {
    Nothing,
    Header(HeaderName, HeaderValue),
    Query(String),
    /// Signs each request.
    SigV4(Arc<Signer>),
    /// A token is fetched first.
    Token(Arc<Tokens>),
}

/// The same for every surface of a provider.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    usual: Presented,
    /// Of surfaces that want it otherwise.
    others: Box<[(Dialect, Presented)]>,
}

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

impl Ways {
    /// Looks at everything secret that may go out and is not the secret as it was entered.
    pub(crate) fn each_mark(&self, mut look: impl FnMut(&[u8])) {
        let others = self.others.iter().map(|(_, presented)| presented);
        for presented in [&self.usual].into_iter().chain(others) {
            match presented {
                Presented::SigV4(signer) => signer.each_mark(&mut look),
                Presented::Token(tokens) => tokens.each_mark(&mut look),
                Presented::Nothing | Presented::Header(..) | Presented::Query(_) => {}
            }
        }
    }

    /// Comes back once every token that may be presented is there.
    ///
    /// # Errors
    /// Why one is not.
    pub(crate) async fn ready(&self, connector: &Connector) -> Result<(), NoToken> {
        for tokens in self.tokens() {
            tokens.ready(connector).await?;
        }
        Ok(())
    }

    /// The provider did not take what an attempt that began then presented; whether a fresh token may help.
    pub(crate) fn forget_tokens(&self, began: Instant) -> bool {
        self.tokens().filter(|tokens| tokens.forget(began)).count() > 0
    }

    fn tokens(&self) -> impl Iterator<Item = &Tokens> {
        let others = self.others.iter().map(|(_, presented)| presented);
        [&self.usual].into_iter().chain(others).filter_map(|one| match one {
            Presented::Token(tokens) => Some(&**tokens),
            _ => None,
        })
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
                // A pair of which a half is missing must not go out as if it were a key.
                None if secret.expose().contains(&b':') => Self::Nothing,
                None => Self::plain(scope.plain.as_ref(), secret),
            },
            Auth::OAuth(oauth) if secret.expose().trim_ascii_start().starts_with(b"{") => {
                Tokens::of(oauth, secret).map_or(Self::Nothing, |tokens| Self::Token(Arc::new(tokens)))
            }
            Auth::OAuth(oauth) => Self::plain(oauth.plain.as_ref(), secret),
        }
    }

    /// One API key, where the scheme asks for more.
    fn plain(place: Option<&(HeaderName, Box<str>)>, secret: &Secret) -> Self {
        place.map_or(Self::Nothing, |(name, prefix)| Self::header(name, prefix, secret))
    }

    fn header(name: &HeaderName, prefix: &str, secret: &Secret) -> Self {
        let value = header_value(prefix, secret.expose());
        value.map_or(Self::Nothing, |value| Self::Header(name.clone(), value))
    }
}
