//! Clients and their tokens. A made token is in the one answer that made it.

use super::{
    answer::{Answer, Fault},
    call::{Call, read},
    resources::{find, put, written},
    view::{ClientView, OneTime, Written},
};
use crate::{
    Outcome,
    plane::unix_millis,
    resource::{Body, Handover, Kind, Refusal},
    rotation::handovers::{self, TokenUses},
};
use keyway_config::{Client, File, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A client to be made: its name beside what a file says of a client.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "read as the file's own type; this is its form in the API's description")]
pub(super) struct NewClient {
    name: String,
    /// True: a key pair for SigV4 is made beside the token.
    #[schemars(default)]
    make_key_pair: bool,
    #[schemars(flatten)]
    spec: Client,
}

/// A client with its token, if one was made.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MadeClient {
    /// Shown here only; absent where the caller gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<OneTime>,
    /// Of a made pair, whose id stands in `sigv4`. Shown here only.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<OneTime>,
    #[serde(flatten)]
    client: Written<ClientView>,
}

/// A new key pair.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NewPair {
    name: String,
    access_key_id: String,
    /// Shown here only; the pair before is refused from now on.
    secret_access_key: OneTime,
    /// The state in force, `epoch.counter`.
    snapshot: String,
}

/// Callers are seen on the new token alone once the old one was not used for so long, milliseconds,
const QUIET_MS: u64 = 10 * 60 * 1000;
/// or for so large a part of the overlap, if that is shorter.
const QUIET_PART: u64 = 4;

/// How long the old token stays valid.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Overlap {
    /// At most so long; absent = it ends at once.
    overlap: Option<Span>,
    /// It ends before, once the new token is used and the old one was not for so long; by default 10m, or a quarter of
    /// `overlap` if that is shorter.
    quiet: Option<Span>,
}

/// A client, and how its change of tokens goes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ClientDetail {
    #[serde(flatten)]
    view: ClientView,
    /// The newest change of its token that left the old one valid for a while; null = there was none.
    handover: Option<Handover>,
    /// Use of the new token since replicas started, while both are valid.
    new_token: Option<TokenUses>,
    /// The same of the old ones: who still has to change.
    old_tokens: Option<TokenUses>,
}

/// A new token.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NewToken {
    name: String,
    /// Shown here only; the one before is refused from now on, or at the end of the overlap.
    token: OneTime,
    /// The state in force, `epoch.counter`.
    snapshot: String,
}

pub(super) async fn list(call: Call) -> Result<Answer, Fault> {
    let state = call.plane().state();
    let seen = state.each(Kind::Client).filter(|(name, _)| call.who.sees(&state, Kind::Client, name));
    Answer::json(&seen.filter_map(|(name, held)| ClientView::new(name, held)).collect::<Vec<_>>())
}

pub(super) async fn show_one(call: Call) -> Result<Answer, Fault> {
    let held = find(&call, Kind::Client)?;
    let view =
        ClientView::new(call.name(), &held).ok_or_else(|| Fault::internal("a client of another kind"))?;
    let Body::Client { handover, .. } = &held.document.body else {
        return Err(Fault::internal("a client of another kind"));
    };
    let used = handover.as_ref().filter(|handover| handover.is_running());
    let used = used.map(|_| handovers::uses(call.name(), &call.plane().fleet().evidence()));
    let [new, old] = used.map_or([None, None], |used| used.map(Some));
    let detail = ClientDetail { view, handover: handover.clone(), new_token: new, old_tokens: old };
    Ok(Answer::json(&detail)?.version(held.version))
}

pub(super) async fn create(mut call: Call) -> Result<Answer, Fault> {
    let mut value = call.value()?;
    let mut take = |field: &str| value.as_object_mut().and_then(|fields| fields.shift_remove(field));
    let (name, make_pair) = (take("name"), take("make_key_pair"));
    let make_pair = match make_pair {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return Err(Refusal::field("make_key_pair", "is true or false").into()),
    };
    let Some(Value::String(name)) = name else {
        return Err(Refusal::field("name", "is missing").into());
    };
    let mut spec: Client = read(&value, &Kind::Client.path(&name))?;
    spec.team = spec.team.or_else(|| call.who.rights.team.clone());
    of_own_team(&call, &name, &spec)?;
    call.path.insert("name".to_owned(), name.clone());
    let mut file = File::default();
    file.clients.insert(name.clone(), spec.clone());
    let outcome = put(&call, Kind::Client, &file, |proposal| {
        if proposal.state.get(Kind::Client, &name).is_some() {
            return Err(Refusal::Exists { kind: Kind::Client, name: name.clone() });
        }
        proposal.client(&name, spec)?;
        if make_pair { proposal.make_pair(&name) } else { Ok(()) }
    });
    let outcome = outcome.await?;
    let held = find(&call, Kind::Client)?;
    let view = ClientView::new(&name, &held).ok_or_else(|| Fault::internal("a client of another kind"))?;
    let secret_access_key = outcome.pair.as_ref().map(OneTime::from);
    let made = MadeClient { token: token(&outcome), secret_access_key, client: Written::new(view, &outcome) };
    Ok(Answer::json(&made)?.created().version(held.version))
}

/// A JSON merge patch: what is named replaces, `null` removes.
pub(super) async fn patch(call: Call) -> Result<Answer, Fault> {
    let Value::Object(changes) = call.value()? else {
        return Err(Fault::malformed("a patch is a JSON object"));
    };
    let prefix = Kind::Client.path(call.name());
    edit(&call, |spec| {
        let mut value =
            serde_json::to_value(spec).map_err(|_| Refusal::Internal("a client that is no JSON"))?;
        if let Value::Object(fields) = &mut value {
            for (name, change) in changes {
                merge(fields, name, change);
            }
        }
        read(&value, &prefix)
    })
    .await
}

pub(super) async fn delete(call: Call) -> Result<Answer, Fault> {
    call.delete(Kind::Client).await
}

pub(super) async fn disable(call: Call) -> Result<Answer, Fault> {
    edit(&call, |spec| Ok(Client { disabled: true, ..spec.clone() })).await
}

pub(super) async fn enable(call: Call) -> Result<Answer, Fault> {
    edit(&call, |spec| Ok(Client { disabled: false, ..spec.clone() })).await
}

pub(super) async fn rotate(call: Call) -> Result<Answer, Fault> {
    let name = call.name();
    let handover = handover(&call)?;
    let outcome = call.change(Kind::Client, name, |proposal| proposal.rotate_client(name, handover)).await?;
    let token = token(&outcome).ok_or_else(|| Fault::internal("no token was made"))?;
    Answer::json(&NewToken { name: name.to_owned(), token, snapshot: outcome.version.to_string() })
}

/// How the old token ends; absent = at once.
fn handover(call: &Call) -> Result<Option<Handover>, Fault> {
    if call.body.is_empty() {
        return Ok(None);
    }
    let Overlap { overlap, quiet } = serde_json::from_value(call.value()?)
        .map_err(|error| Fault::malformed(format!("the body does not fit: {error}")))?;
    let now = unix_millis();
    Ok(overlap.map(Span::millis).filter(|overlap| *overlap > 0).map(|overlap| Handover {
        begun: now,
        until: now.saturating_add(overlap),
        quiet_ms: quiet.map_or(QUIET_MS.min(overlap / QUIET_PART), Span::millis),
        ended: None,
    }))
}

/// A new key pair for who signs, in place of the one that is there.
pub(super) async fn key_pair(call: Call) -> Result<Answer, Fault> {
    let name = call.name();
    let outcome = call.change(Kind::Client, name, |proposal| proposal.make_pair(name)).await?;
    let made = outcome.pair.as_ref().ok_or_else(|| Fault::internal("no key pair was made"))?;
    Answer::json(&NewPair {
        name: name.to_owned(),
        access_key_id: made.access_key_id.clone(),
        secret_access_key: OneTime::from(made),
        snapshot: outcome.version.to_string(),
    })
}

/// Changes what the client's document says, as it stands when this change has its turn.
async fn edit(call: &Call, edit: impl FnOnce(&Client) -> Result<Client, Refusal>) -> Result<Answer, Fault> {
    let name = call.name();
    let outcome = call.change(Kind::Client, name, |proposal| {
        let there = proposal.state.get(Kind::Client, name).map(|held| &held.document.body);
        let Some(Body::Client { spec, .. }) = there else {
            return Err(proposal.not_found(Kind::Client, name));
        };
        let spec = edit(spec)?;
        of_own_team(call, name, &spec)?;
        let mut file = File::default();
        file.clients.insert(name.to_owned(), spec.clone());
        let problems = keyway_config::check(&file);
        if !problems.is_empty() {
            return Err(Refusal::Invalid(problems));
        }
        proposal.warnings.extend(keyway_config::warnings(&file));
        proposal.client(name, spec)
    });
    written(call, Kind::Client, &outcome.await?, ClientView::new)
}

/// Whoever is bound to a team has clients of that team only.
fn of_own_team(call: &Call, name: &str, spec: &Client) -> Result<(), Refusal> {
    match &call.who.rights.team {
        Some(team) if spec.team.as_ref() != Some(team) => {
            let field = format!("{}.team", Kind::Client.path(name));
            Err(Refusal::field(
                field,
                format!("must be `{team}`, the team that {} is bound to", call.who.name),
            ))
        }
        _ => Ok(()),
    }
}

fn merge(fields: &mut serde_json::Map<String, Value>, name: String, change: Value) {
    match (change, fields.get_mut(&name)) {
        (Value::Null, _) => drop(fields.shift_remove(&name)),
        (Value::Object(changes), Some(Value::Object(below))) => {
            for (name, change) in changes {
                merge(below, name, change);
            }
        }
        (other, _) => drop(fields.insert(name, other)),
    }
}

fn token(outcome: &Outcome) -> Option<OneTime> {
    outcome.tokens.first().map(OneTime::from)
}
