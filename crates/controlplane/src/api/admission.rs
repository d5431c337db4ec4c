//! Who calls, and whether they may: token, then scope, then whose it is. What belongs to another team is answered as
//! what is not there, by the same steps.

use super::{
    Api, Plane,
    answer::Fault,
    route::{Owner, Route},
};
use crate::{
    plane::unix_millis,
    resource::{Body, Kind, Operator, Refusal, Rights, State},
    token::bearer,
};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The actor of calls with the bootstrap token.
const BOOTSTRAP: &str = "bootstrap";
/// The actor of calls with a token that is nobody's.
const NOBODY: &str = "nobody";

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// As the audit log says it: `operator/NAME` or `bootstrap`.
    pub(super) name: String,
    pub(super) rights: Rights,
    /// Of the operator's token; empty = the bootstrap token.
    pub(super) digest: String,
}

/// Who was turned away, and how.
#[derive(Debug)]
pub(super) struct Denial {
    /// As far as it is known.
    pub(super) actor: String,
    pub(super) fault: Fault,
}

/// When each operator's token was last shown, seconds since 1970. In memory: a restart forgets.
#[derive(Debug, Default)]
pub(super) struct Used(Mutex<BTreeMap<String, u64>>);

/// Whether the caller shows a token that is good.
pub(super) fn admit(api: &Api, headers: &HeaderMap) -> Result<Identity, Denial> {
    let nobody = || Denial { actor: NOBODY.to_owned(), fault: Fault::unauthorized() };
    let token = bearer(headers).ok_or_else(nobody)?;
    if api.token.is(token) {
        return Ok(Identity { name: BOOTSTRAP.to_owned(), rights: Rights::all(), digest: String::new() });
    }
    let (name, operator) = operator_of(api, token).ok_or_else(nobody)?;
    let (now, actor) = (unix_millis() / 1000, format!("{}/{name}", Kind::Operator.word()));
    if let Some((code, why)) = refused(&operator, now) {
        let message = format!("the token of the operator `{name}` {why}");
        return Err(Denial { actor, fault: Fault::new(StatusCode::UNAUTHORIZED, code, message) });
    }
    api.used.note(&name, now);
    Ok(Identity { name: actor, rights: operator.rights, digest: operator.digest })
}

/// Whether the caller would be let in still, with the same rights: an open stream outlives the call that began it.
pub(super) fn holds(plane: &Plane, who: &Identity) -> bool {
    if who.digest.is_empty() {
        return true;
    }
    let (state, now) = (plane.state(), unix_millis() / 1000);
    let name = who.name.split_once('/').map_or("", |(_, name)| name);
    state.operator(name).is_some_and(|there| {
        there.digest == who.digest && there.rights == who.rights && refused(there, now).is_none()
    })
}

/// Whether that caller may use that route at all; whose its subject is comes after.
pub(super) fn permit(who: &Identity, route: &Route) -> Result<(), Fault> {
    if !who.rights.scopes.contains(&route.scope) {
        return Err(Fault::forbidden(format!(
            "this needs the scope `{}`, which {} does not have",
            route.scope, who.name
        )));
    }
    match &who.rights.team {
        Some(team) if route.owner == Owner::Everyone && !route.for_teams => Err(Fault::forbidden(format!(
            "this is not one team's, and {} is bound to the team `{team}`",
            who.name
        ))),
        _ => Ok(()),
    }
}

/// Whether the caller may touch what the path names. What it may not see is not there, and neither is it suggested.
pub(super) fn owned(who: &Identity, owner: Owner, state: &State, name: &str) -> Result<(), Refusal> {
    let kind = match owner {
        Owner::Everyone => return Ok(()),
        Owner::Team => Kind::Team,
        Owner::TeamOfClient => Kind::Client,
        Owner::TeamOfOperator => Kind::Operator,
    };
    if who.sees(state, kind, name) {
        return Ok(());
    }
    let visible = state.each(kind).map(|(name, _)| name).filter(|name| who.sees(state, kind, name));
    Err(Refusal::NotFound { kind, name: name.to_owned(), nearest: keyway_config::nearest(name, visible) })
}

fn operator_of(api: &Api, token: &str) -> Option<(String, Operator)> {
    let state = api.plane.state();
    let digest = blake3::Hash::from_hex(api.plane.digest(token)).ok()?;
    let mut found = None;
    // All are looked at, and equality of BLAKE3 hashes takes constant time.
    for (name, held) in state.each(Kind::Operator) {
        if let Body::Operator(operator) = &held.document.body
            && blake3::Hash::from_hex(&operator.digest).is_ok_and(|kept| kept == digest)
        {
            found = Some((name.to_owned(), operator.clone()));
        }
    }
    found
}

fn refused(operator: &Operator, now: u64) -> Option<(&'static str, &'static str)> {
    if operator.disabled {
        return Some(("token_disabled", "is disabled; `keyway operator enable` takes it again"));
    }
    let expired = operator.rights.expires.is_some_and(|expires| expires <= now);
    expired.then_some(("token_expired", "has expired; `keyway operator rotate` makes a new one"))
}

// === impl Identity ===

impl Identity {
    /// Whether it may see a client, a team or an operator of that name.
    pub(super) fn sees(&self, state: &State, kind: Kind, name: &str) -> bool {
        let Some(team) = self.rights.team.as_deref() else { return true };
        match kind {
            Kind::Team => name == team,
            Kind::Client => state.team_of_client(name) == Some(team),
            Kind::Operator => {
                state.operator(name).is_some_and(|one| one.rights.team.as_deref() == Some(team))
            }
            Kind::Provider
            | Kind::Model
            | Kind::Section
            | Kind::Replica
            | Kind::Host
            | Kind::Node
            | Kind::Join
            | Kind::Authority
            | Kind::Kek
            | Kind::Answer => false,
        }
    }
}

// === impl Used ===

impl Used {
    pub(super) fn of(&self, operator: &str) -> Option<u64> {
        self.0.lock().get(operator).copied()
    }

    pub(super) fn forget(&self, operator: &str) {
        self.0.lock().remove(operator);
    }

    fn note(&self, operator: &str, now: u64) {
        self.0.lock().insert(operator.to_owned(), now);
    }
}
