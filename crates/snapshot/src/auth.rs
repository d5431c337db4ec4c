//! How a credential is presented to a provider.

use crate::Invalid;
use http::HeaderName;
use keyway_proto::snapshot::v1::{self as wire, AuthScheme};

/// How a credential is presented.
#[derive(Debug)]
pub enum Auth {
    /// Not at all.
    None,
    /// `name: prefix + secret`.
    Header(HeaderName, Box<str>),
    /// `?name=secret`.
    Query(Box<str>),
    /// Each request is signed with it.
    SigV4(SigV4),
    /// A token is fetched with it, and goes out in a header.
    OAuth(OAuth),
    /// A scheme that this build cannot serve.
    Unsupported(AuthScheme),
}

/// What AWS Signature Version 4 signs for. The credential is `ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`.
#[derive(Debug)]
pub struct SigV4 {
    /// `bedrock`.
    pub service: Box<str>,
    /// `us-east-1`.
    pub region: Box<str>,
    /// Where a credential without a colon goes: an API key.
    pub plain: Option<(HeaderName, Box<str>)>,
}

/// How tokens are had for a service account. The credential is the account's JSON.
#[derive(Debug)]
pub struct OAuth {
    /// Where the token goes.
    pub header: (HeaderName, Box<str>),
    /// Where tokens are had if the account does not say.
    pub token_url: Box<str>,
    /// What the tokens are for.
    pub scope: Box<str>,
    /// Where a credential that is no JSON goes: an API key.
    pub plain: Option<(HeaderName, Box<str>)>,
}

// === impl Auth ===

impl Auth {
    /// `bad` makes the fault of a field, whose name begins with a dot.
    pub(crate) fn build(
        from: Option<&wire::Auth>,
        bad: impl Fn(&str, &str) -> Invalid,
    ) -> Result<Self, Invalid> {
        let from = from.ok_or_else(|| bad("", "missing"))?;
        let header = |from: &wire::Auth, field: &str| {
            let name = from.name.parse().map_err(|_| bad(field, "not a header name"))?;
            Ok((name, Box::from(from.prefix.as_str())))
        };
        let plain = || match from.plain.as_deref() {
            None => Ok(None),
            Some(plain) if plain.scheme() == AuthScheme::Header => header(plain, ".plain.name").map(Some),
            Some(_) => Err(bad(".plain.scheme", "must be a header")),
        };
        Ok(match from.scheme() {
            AuthScheme::Unspecified => return Err(bad(".scheme", "unknown scheme")),
            AuthScheme::None => Auth::None,
            AuthScheme::Header => {
                let (name, prefix) = header(from, ".name")?;
                Auth::Header(name, prefix)
            }
            AuthScheme::Query => Auth::Query(from.name.as_str().into()),
            AuthScheme::Sigv4 if from.service.is_empty() => return Err(bad(".service", "missing")),
            AuthScheme::Sigv4 if from.region.is_empty() => return Err(bad(".region", "missing")),
            AuthScheme::Sigv4 => Auth::SigV4(SigV4 {
                service: from.service.as_str().into(),
                region: from.region.as_str().into(),
                plain: plain()?,
            }),
            scheme @ AuthScheme::Oauth if from.token_url.is_empty() => Auth::Unsupported(scheme),
            AuthScheme::Oauth => Auth::OAuth(OAuth {
                header: header(from, ".name")?,
                token_url: from.token_url.as_str().into(),
                scope: from.scope.as_str().into(),
                plain: plain()?,
            }),
        })
    }
}
