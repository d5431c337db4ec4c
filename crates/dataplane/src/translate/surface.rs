//! Which of a provider's surfaces serves a call: the caller's own dialect where it is spoken, else one that a
//! conversation can be carried over to.

use keyway_dialect::codec::{self, codec};
use keyway_snapshot::{Dialect, Endpoint, Provider, Surface};

/// The surface that serves calls of this dialect and endpoint; none where the provider cannot serve them.
pub(crate) fn surface(provider: &Provider, dialect: Dialect, endpoint: Endpoint) -> Option<&Surface> {
    // What is built in has no URLs.
    let has = |surface: &Surface, endpoint| provider.built_in || surface.url(endpoint).is_some();
    let own = provider.surface(dialect).filter(|surface| has(surface, endpoint));
    own.or_else(|| {
        let crosses = |surface: &&Surface| {
            surface.dialect != dialect
                && codec(surface.dialect).is_some()
                && has(surface, codec::endpoint(surface.dialect))
        };
        provider.surfaces.iter().filter(|_| is_conversation(dialect, endpoint)).find(crosses)
    })
}

/// Whether the codecs know what is asked for.
fn is_conversation(dialect: Dialect, endpoint: Endpoint) -> bool {
    codec(dialect).is_some() && codec::endpoint(dialect) == endpoint
}
