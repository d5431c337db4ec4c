//! What a provider's models do differently from each dialect, in the words of the file.

use super::{
    answer::{Answer, Fault},
    call::Call,
    resources,
};
use crate::resource::Kind;
use keyway_proto::snapshot::v1 as wire;
use keyway_snapshot::Provider;
use prost::Message;
use std::collections::BTreeMap;

/// By dialect: `no_sampling`, `efforts: low, high`.
pub(super) type ByDialect = BTreeMap<String, Vec<String>>;

/// For `?model=`, or for every model.
pub(super) async fn show(call: Call) -> Result<Answer, Fault> {
    let held = resources::find(&call, Kind::Provider)?;
    let compiled = held.resources.first().and_then(|first| wire::Provider::decode(first.body.clone()).ok());
    let compiled = compiled.ok_or_else(|| Fault::internal("a provider that is not compiled"))?;
    let model = call.query.get("model").map(String::as_str).unwrap_or_default();
    Answer::json(&of(&compiled, model))
}

/// What holds for a model; for no name, what holds for all of them.
pub(super) fn of(compiled: &wire::Provider, model: &str) -> ByDialect {
    let Ok(provider) = Provider::build(compiled) else { return ByDialect::new() };
    let surfaces = provider.surfaces.iter();
    let named = surfaces.map(|surface| {
        let name = keyway_catalog::dialect_name(surface.dialect).to_owned();
        (name, provider.quirks(surface, model).held())
    });
    named.filter(|(_, held)| !held.is_empty()).collect()
}
