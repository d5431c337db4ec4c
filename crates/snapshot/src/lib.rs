//! The typed, immutable state that a data plane serves from, built from the resources that the control plane sends.
//! Both planes run the same conversion, so that the control plane refuses what a replica would refuse.
//! Pure: no I/O, no clock.

mod auth;
mod build;
mod client;
mod clients;
mod hash;
mod invalid;
mod limit;
mod model;
mod pasted;
mod price;
mod provider;
pub mod quirk;
mod resolve;
mod resources;
mod route;
mod secret;
mod signed;
mod url;
mod version;

#[cfg(test)]
mod tests;

pub use auth::{Auth, OAuth, SigV4};
pub use client::{Client, DigestKey, Pair, Pattern, TokenDigest};
pub use clients::Clients;
pub use hash::{StateHash, state_hash};
pub use invalid::Invalid;
pub use keyway_proto::snapshot::v1::{
    ClientState, CredentialState, Dialect, Endpoint, LimitUnit, Meter, PriceOrigin, ServiceTier, Strategy,
    StreamEnd,
};
pub use limit::LimitHeaders;
pub use model::{Alias, Target};
pub use pasted::{key_pattern, looks_like_key};
pub use price::{
    Bill, Charge, METERS, NanoDollars, Price, Rate, Rules, Used, When, percent, service_tier_by_name,
    service_tier_name,
};
pub use provider::{Provider, Surface};
pub use quirk::{Effort, Efforts, Quirks};
pub use resolve::{Refused, Resolved};
pub use resources::{Change, ResourceName, Resources, Roots};
pub use route::route;
pub use secret::{Secret, header_value};
pub use signed::signed;
pub use url::{EndpointUrl, Misplaced, Origin, standard_path};
pub use version::Version;

use foldhash::HashMap;
use std::{sync::Arc, time::Duration};

/// Bounds and defaults that hold for a whole data plane.
#[derive(Debug)]
pub struct Settings {
    /// Digests client tokens.
    pub digest_key: DigestKey,
    /// Bytes that one request's body may have.
    pub body_limit: usize,
    /// Bytes of request bodies held at one time.
    pub bodies_in_flight_limit: usize,
    /// What applies where neither provider nor model says otherwise.
    pub timeouts: Timeouts,
    /// Whose state this is; empty = not said.
    pub cluster: Box<str>,
    /// How long secrets are used without word from the control plane; `None` = without limit.
    pub lease: Option<Duration>,
    /// Calls are refused while the usage spool has no room for single requests.
    pub refuse_when_spool_full: bool,
}

/// Waits; `None` leaves the next wider setting in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Whole reply that is not a stream.
    pub total: Option<Duration>,
    /// First event of a stream.
    pub first_token: Option<Duration>,
    /// Between two events of a stream.
    pub idle: Option<Duration>,
    /// Opening a connection, TLS included.
    pub connect: Option<Duration>,
}

/// One version of a provider's key, as it travels.
#[derive(Debug)]
pub struct Credential {
    /// The provider whose key it is.
    pub provider: Box<str>,
    /// The key's name.
    pub key: Box<str>,
    /// Counts up with each rotation.
    pub version: u32,
    /// Whether new requests take it.
    pub state: CredentialState,
    /// Share of requests among the provider's keys.
    pub weight: u32,
    /// What the provider checks; empty where the version is revoked.
    pub secret: Secret,
    /// Keys of one provider that name the same share one of its limits: the key's own name where nothing else is said.
    pub quota: Box<str>,
    /// Replicas on which it is on trial: active there, standby everywhere else. Empty = not on trial.
    pub active_on: Vec<Box<str>>,
    /// Replicas on which it is standby, because a newer one is on trial there.
    pub standby_on: Vec<Box<str>>,
}

/// One immutable, versioned state of everything that the data plane needs. A state that follows from another by a change
/// shares with it what the change leaves alone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// `epoch.counter`.
    pub version: Version,
    /// Root over all resources.
    pub hash: StateHash,
    /// The versions that last changed what replicas are sent.
    pub parts: Parts,
    /// Bounds and defaults.
    pub settings: Arc<Settings>,
    /// By token digest.
    pub clients: Clients,
    /// By name.
    pub providers: Arc<HashMap<Box<str>, Arc<Provider>>>,
    /// By provider.
    pub credentials: Arc<HashMap<Box<str>, Vec<Arc<Credential>>>>,
    names: Arc<HashMap<Box<str>, resolve::Named>>,
    resources: Resources,
}

/// The versions that last changed each of the two kinds of what replicas are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Credentials.
    pub secrets: Version,
    /// Everything else.
    pub configuration: Version,
}

// === impl Timeouts ===

impl Timeouts {
    /// The tighter setting wins where both have one.
    #[must_use]
    pub fn tightened_by(self, other: Timeouts) -> Timeouts {
        let least = |a: Option<Duration>, b: Option<Duration>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Timeouts {
            total: least(self.total, other.total),
            first_token: least(self.first_token, other.first_token),
            idle: least(self.idle, other.idle),
            connect: least(self.connect, other.connect),
        }
    }
}

// === impl Credential ===

impl Credential {
    /// `provider/key/version`: names it in records, metrics and reports.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.provider, self.key, self.version)
    }

    /// What it is on that replica.
    #[must_use]
    pub fn state_on(&self, replica: &str) -> CredentialState {
        let names = |list: &[Box<str>]| list.iter().any(|one| **one == *replica);
        let stands_by = (!self.active_on.is_empty() && !names(&self.active_on)) || names(&self.standby_on);
        if self.state == CredentialState::Active && stands_by {
            CredentialState::Retiring
        } else {
            self.state
        }
    }

    /// Whether it is tried on that replica while an older version stands by for it.
    #[must_use]
    pub fn is_on_trial_on(&self, replica: &str) -> bool {
        !self.active_on.is_empty() && self.state_on(replica) == CredentialState::Active
    }
}
