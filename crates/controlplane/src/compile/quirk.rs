//! What a provider and its models do differently from their dialects: the row's surfaces, its rules for all models, what
//! rows of models tell, the row's rules for some, the file's word on the provider, on models; each over those before it.

use super::provider::Row;
use keyway_catalog::{ResolvedSurface, Rule};
use keyway_config::{Provider, Quirks};
use keyway_proto::snapshot::v1 as wire;
use prost::Message;

/// A surface with the row's rules for all of its models. What the file says of `stream_options` is told here too: that is
/// asked where nothing is crossed.
pub(super) fn surface(row: Row<'_>, spec: &Provider, surface: &ResolvedSurface) -> wire::Surface {
    let mut compiled = surface.to_proto();
    let rules = row.into_iter().flat_map(|row| &row.quirks);
    let whole = || rules.clone().filter(|rule| rule.is_for_all(surface.dialect)).map(|rule| &rule.set);
    for quirks in whole() {
        let quirks = quirks.to_proto();
        let all = compiled.quirks.get_or_insert_default();
        if !quirks.efforts.is_empty() {
            all.efforts.clear();
        }
        // A message is merged field by field; what was just encoded cannot fail to be read.
        let _ = all.merge(quirks.encode_to_vec().as_slice());
    }
    let said = whole().chain(&spec.quirks).filter_map(|quirks| quirks.no_stream_options);
    compiled.no_stream_options = said.fold(compiled.no_stream_options, |_, latest| latest);
    compiled
}

/// Rules over models, the widest first: of two patterns of a file that fit, the longer one is laid over the other.
pub(super) fn rules(row: Row<'_>, spec: &Provider) -> Vec<wire::ModelQuirks> {
    let of_row = row.into_iter().flat_map(|row| &row.quirks).filter_map(Rule::to_proto);
    let mut of_file: Vec<(&str, &Quirks)> =
        spec.model_quirks.iter().map(|(models, quirks)| (models.as_str(), quirks)).collect();
    of_file.sort_by_key(|(models, _)| (!models.contains('*'), models.len()));
    let whole = spec.quirks.iter().map(|quirks| ("*", quirks));
    let of_file = whole.chain(of_file).map(|(models, quirks)| wire::ModelQuirks {
        models: models.to_owned(),
        quirks: Some(quirks.to_proto()),
        dialect: wire::Dialect::Unspecified.into(),
    });
    of_row.chain(of_file).collect()
}
