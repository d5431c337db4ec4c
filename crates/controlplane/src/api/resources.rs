//! Providers, aliases and teams: list, show, put, delete.

use super::{
    answer::{Answer, Fault},
    call::Call,
    explain,
    view::{ModelView, ProviderView, TeamView, Written},
};
use crate::{
    Outcome,
    resource::{Held, Kind, Refusal, not_found},
};
use keyway_config::{File, Model, Provider, Team};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

pub(super) async fn list_providers(call: Call) -> Result<Answer, Fault> {
    let state = call.plane().state();
    let configured = state.each(Kind::Provider).filter_map(|(name, held)| ProviderView::new(name, held));
    Answer::json(&configured.chain(ProviderView::built_in(call.plane())).collect::<Vec<_>>())
}

pub(super) async fn show_provider(call: Call) -> Result<Answer, Fault> {
    if call.name() == crate::compile::SANDBOX {
        return Answer::json(&ProviderView::built_in(call.plane()));
    }
    let limits = call.plane().fleet().limits(call.name(), None);
    show(&call, Kind::Provider, |name, held| Some(ProviderView::new(name, held)?.limited(limits)))
}

pub(super) async fn put_provider(call: Call) -> Result<Answer, Fault> {
    let name = call.name();
    let spec: Provider = call.spec(&Kind::Provider.path(name))?;
    let mut file = File::default();
    file.providers.insert(name.to_owned(), spec.clone());
    let outcome = put(&call, Kind::Provider, &file, |proposal| proposal.provider(name, spec)).await?;
    written(&call, Kind::Provider, &outcome, ProviderView::new)
}

pub(super) async fn delete_provider(call: Call) -> Result<Answer, Fault> {
    call.delete(Kind::Provider).await
}

pub(super) async fn list_models(call: Call) -> Result<Answer, Fault> {
    let state = call.plane().state();
    Answer::json(
        &state.each(Kind::Model).filter_map(|(name, held)| ModelView::new(name, held)).collect::<Vec<_>>(),
    )
}

/// As the list, and each target with its state and why.
pub(super) async fn show_model(call: Call) -> Result<Answer, Fault> {
    let held = find(&call, Kind::Model)?;
    let shown = explain::Alias::new(&held, call.plane(), call.name())?;
    Ok(Answer::json(&shown)?.version(held.version))
}

pub(super) async fn put_model(call: Call) -> Result<Answer, Fault> {
    let name = call.name();
    let spec: Model = call.spec(&Kind::Model.path(name))?;
    let mut file = File::default();
    file.models.insert(name.to_owned(), spec.clone());
    let outcome = put(&call, Kind::Model, &file, |proposal| proposal.model(name, spec)).await?;
    written(&call, Kind::Model, &outcome, ModelView::new)
}

pub(super) async fn delete_model(call: Call) -> Result<Answer, Fault> {
    call.delete(Kind::Model).await
}

pub(super) async fn list_teams(call: Call) -> Result<Answer, Fault> {
    let state = call.plane().state();
    let seen = state.each(Kind::Team).filter(|(name, _)| call.who.sees(&state, Kind::Team, name));
    Answer::json(&seen.filter_map(|(name, held)| TeamView::new(name, held)).collect::<Vec<_>>())
}

pub(super) async fn show_team(call: Call) -> Result<Answer, Fault> {
    show(&call, Kind::Team, TeamView::new)
}

pub(super) async fn put_team(call: Call) -> Result<Answer, Fault> {
    let name = call.name();
    let spec: Team = call.spec(&Kind::Team.path(name))?;
    let mut file = File::default();
    file.teams.insert(name.to_owned(), spec.clone());
    let outcome = put(&call, Kind::Team, &file, |proposal| proposal.team(name, spec)).await?;
    written(&call, Kind::Team, &outcome, TeamView::new)
}

pub(super) async fn delete_team(call: Call) -> Result<Answer, Fault> {
    call.delete(Kind::Team).await
}

/// The document that the path names.
pub(super) fn find(call: &Call, kind: Kind) -> Result<Arc<Held>, Fault> {
    let state = call.plane().state();
    let held = state.get(kind, call.name()).cloned();
    held.ok_or_else(|| not_found(&state, kind, call.name()).into())
}

/// Shows the document that the path names.
pub(super) fn show<V: Serialize>(
    call: &Call,
    kind: Kind,
    view: impl FnOnce(&str, &Held) -> Option<V>,
) -> Result<Answer, Fault> {
    let held = find(call, kind)?;
    Ok(Answer::json(&view(call.name(), &held))?.version(held.version))
}

/// Shows what a change made of the document that the path names.
pub(super) fn written<V: Serialize + JsonSchema>(
    call: &Call,
    kind: Kind,
    outcome: &Outcome,
    view: impl FnOnce(&str, &Held) -> Option<V>,
) -> Result<Answer, Fault> {
    let held = find(call, kind)?;
    let shown = view(call.name(), &held).ok_or_else(|| Fault::internal("a document of another kind"))?;
    Ok(Answer::json(&Written::new(shown, outcome))?.version(held.version))
}

/// Checks one document as a file that holds nothing else, and writes it.
pub(super) async fn put(
    call: &Call,
    kind: Kind,
    file: &File,
    propose: impl FnOnce(&mut crate::resource::Proposal<'_>) -> Result<(), Refusal>,
) -> Result<Outcome, Fault> {
    let warnings = call.plane().check(file)?;
    let mut outcome = call.change(kind, call.name(), propose).await?;
    outcome.warnings.splice(0..0, warnings);
    Ok(outcome)
}
