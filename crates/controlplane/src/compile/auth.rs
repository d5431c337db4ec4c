//! How a provider's credentials are presented: the file's way, else the row's, else the dialect's usual one.

use super::provider::Row;
use crate::resource::{Kind, Refusal};
use keyway_catalog::{AuthScheme as Listed, ResolvedSurface};
use keyway_config::{Auth, NamedAuth, Provider};
use keyway_proto::snapshot::v1::{self as wire, AuthScheme};

/// What Bedrock's requests are signed for.
const BEDROCK: &str = "bedrock";
/// The name in addresses that is also signed.
pub(super) const REGION: &str = "region";

/// How each surface of a provider is presented a credential. The first one's way is the provider's.
pub(super) struct Ways<'a> {
    pub(super) name: &'a str,
    pub(super) row: Row<'a>,
    pub(super) spec: &'a Provider,
    pub(super) has_keys: bool,
}

// === impl Ways ===

impl Ways<'_> {
    /// # Errors
    /// When a request could not be signed for lack of a region.
    pub(super) fn of(&self, surface: &ResolvedSurface) -> Result<wire::Auth, Refusal> {
        if let Some(own) = &self.spec.auth {
            return Ok(of_file(own));
        }
        let auth = match surface.auth.as_ref().or(self.row.map(|row| &row.auth)) {
            Some(auth) if auth.optional && !self.has_keys => plain(AuthScheme::None),
            Some(auth) => auth.to_proto(),
            None => usual(surface.dialect),
        };
        match auth.scheme() {
            AuthScheme::Sigv4 => {
                let region = self.spec.region.as_ref().or(surface.vars.get(REGION)).cloned();
                let region = region.ok_or_else(|| self.no_region())?;
                Ok(wire::Auth { region, plain: Some(Box::new(self.api_key())), ..auth })
            }
            AuthScheme::Oauth => Ok(wire::Auth { plain: self.listed().map(Box::new), ..auth }),
            _ => Ok(auth),
        }
    }

    fn no_region(&self) -> Refusal {
        let field = format!("{}.{REGION}", Kind::Provider.path(self.name));
        Refusal::field(field, "its requests are signed for a region: set one, like us-east-1")
    }

    /// The form that the row lists for one key alone.
    fn listed(&self) -> Option<wire::Auth> {
        let mut alternatives = self.row?.auth_alternatives.iter();
        alternatives.find(|auth| auth.scheme == Listed::Header).map(keyway_catalog::Auth::to_proto)
    }

    fn api_key(&self) -> wire::Auth {
        self.listed().unwrap_or_else(|| header("authorization", "Bearer "))
    }
}

fn of_file(auth: &Auth) -> wire::Auth {
    match auth {
        Auth::Named(NamedAuth::None) => plain(AuthScheme::None),
        Auth::Named(NamedAuth::Bearer) => header("authorization", "Bearer "),
        Auth::Header { header: name, prefix } => header(name, prefix),
        Auth::Query { query } => wire::Auth { name: query.clone(), ..plain(AuthScheme::Query) },
    }
}

fn usual(dialect: wire::Dialect) -> wire::Auth {
    match dialect {
        wire::Dialect::AnthropicMessages => header("x-api-key", ""),
        wire::Dialect::Gemini => header("x-goog-api-key", ""),
        wire::Dialect::BedrockConverse => {
            wire::Auth { service: BEDROCK.to_owned(), ..plain(AuthScheme::Sigv4) }
        }
        wire::Dialect::Unspecified
        | wire::Dialect::OpenaiChat
        | wire::Dialect::OpenaiResponses
        | wire::Dialect::CohereChat => header("authorization", "Bearer "),
    }
}

fn header(name: &str, prefix: &str) -> wire::Auth {
    wire::Auth { name: name.to_owned(), prefix: prefix.to_owned(), ..plain(AuthScheme::Header) }
}

fn plain(scheme: AuthScheme) -> wire::Auth {
    wire::Auth { scheme: scheme.into(), ..wire::Auth::default() }
}
