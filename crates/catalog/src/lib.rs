//! Providers and models with known prices, as data. The rows lie in `catalog/` as TOML (see docs/catalog.md) and are
//! embedded; a provider's models are parsed when they are first asked for. No I/O, no clock, no floats.

mod base_url;
mod embedded;
mod limit;
mod listed;
mod model;
mod names;
mod price;
mod provider;
mod quirk;
mod rows;
#[cfg(test)]
mod tests;

pub use base_url::{BaseUrlError, ResolvedSurface, resolve_base_url};
pub use keyway_proto::snapshot::v1::{Dialect, StreamEnd};
pub use limit::{LimitHeaders, Unit, usual_limit_headers};
pub use model::{Capability, Mode, Model, Scheduled, Status, Timed, UnitPrice};
pub use names::{DIALECTS, dialect_from_name, dialect_name};
pub use price::{Meter, Money, Price, Rates, Tier};
pub use provider::{Auth, AuthScheme, Confidence, Endpoint, Kind, Probe, Provider, Surface};
pub use quirk::{CacheMarks, Effort, Quirks, ReasoningField, Rule};
pub use rows::{Catalog, CatalogError};
