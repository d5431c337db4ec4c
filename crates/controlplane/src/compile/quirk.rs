//! What a provider and its models do differently from their dialects: the row's surfaces, what rows of models tell, the
//! row's rules, the file's word on the provider, the file's word on models; each over those before it.

use super::provider::Row;
use keyway_catalog::{ResolvedSurface, Rule};
use keyway_config::{Provider, Quirks};
use keyway_proto::snapshot::v1 as wire;

/// A surface, with what is said of it as a whole about `stream_options`: that is asked where nothing is crossed, too.
pub(super) fn surface(row: Row<'_>, spec: &Provider, surface: &ResolvedSurface) -> wire::Surface {
    let mut compiled = surface.to_proto();
    let rules = row.into_iter().flat_map(|row| &row.quirks);
    let whole = rules.filter(|rule| rule.is_for_all(surface.dialect)).map(|rule: &Rule| &rule.set);
    let said = whole.chain(&spec.quirks).filter_map(|quirks| quirks.no_stream_options);
    compiled.no_stream_options = said.last().unwrap_or(compiled.no_stream_options);
    compiled
}

/// Rules over models, the widest first: of two patterns of a file that fit, the longer one is laid over the other.
pub(super) fn rules(row: Row<'_>, spec: &Provider) -> Vec<wire::ModelQuirks> {
    let of_row = row.into_iter().flat_map(|row| &row.quirks).map(Rule::to_proto);
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
