//! Operators: who uses this API. Nobody makes, renews or changes one that may more than the maker, elsewhere or longer.

use super::{
    answer::{Answer, Fault},
    call::Call,
    resources::{find, written},
    view::{Done, Head, OneTime, Written},
};
use crate::{
    Outcome,
    plane::unix_millis,
    resource::{Body, Held, Kind, Operator, Proposal, Refusal, Rights, Scope, Scopes},
};
use keyway_config::{Expiry, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Seconds that a token lasts unless something else is said.
const LASTS: u64 = 90 * 86_400;
/// What has to be said for a token without end.
const NEVER: &str = "never";

/// An operator to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOperator {
    name: String,
    /// What it may: `config:read`, … or `admin` or `viewer`.
    scopes: Vec<String>,
    /// Binds it to the clients of one team.
    team: Option<String>,
    /// `90d`, a day or moment in UTC, or `never`; left out: 90 days, or as long as the maker's.
    expires: Option<String>,
}

/// How long a new token lasts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Renewal {
    /// `90d`, a day or moment in UTC, or `never`; left out: 90 days, or as long as the maker's.
    expires: Option<String>,
}

/// An operator.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OperatorView {
    #[serde(flatten)]
    head: Head,
    /// `enabled`, `disabled` or `expired`.
    state: &'static str,
    scopes: Scopes,
    /// The one team that it is bound to; absent = none.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// A moment in UTC, or `never`.
    expires: String,
    /// When its token was last shown, in UTC; absent = not since this control plane started.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<String>,
}

/// An operator with its token.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MadeOperator {
    /// Shown here only.
    token: OneTime,
    #[serde(flatten)]
    operator: Written<OperatorView>,
}

pub(super) async fn list(call: Call) -> Result<Answer, Fault> {
    let state = call.plane().state();
    let seen = state.each(Kind::Operator).filter(|(name, _)| call.who.sees(&state, Kind::Operator, name));
    Answer::json(&seen.filter_map(|(name, held)| OperatorView::new(&call, name, held)).collect::<Vec<_>>())
}

pub(super) async fn show(call: Call) -> Result<Answer, Fault> {
    super::resources::show(&call, Kind::Operator, |name, held| OperatorView::new(&call, name, held))
}

pub(super) async fn create(mut call: Call) -> Result<Answer, Fault> {
    let NewOperator { name, scopes, team, expires } = call.spec("")?;
    let team = match (&call.who.rights.team, team) {
        (Some(own), None) => Some(own.clone()),
        (_, team) => team,
    };
    let rights = Rights { scopes: named(&scopes)?, team, expires: until(&call, expires.as_deref())? };
    within(&call, &rights)?;
    call.path.insert("name".to_owned(), name.clone());
    let operator = Operator { digest: String::new(), rights, disabled: false };
    let outcome =
        call.change(Kind::Operator, &name, |proposal| proposal.new_operator(&name, operator)).await?;
    Ok(made(&call, &outcome)?.created())
}

pub(super) async fn rotate(call: Call) -> Result<Answer, Fault> {
    let Renewal { expires } = if call.body.is_empty() { Renewal::default() } else { call.spec("")? };
    let expires = until(&call, expires.as_deref())?;
    let renew = |proposal: &mut Proposal<'_>, there: Operator| {
        let rights = Rights { expires, ..there.rights };
        within(&call, &rights)?;
        proposal.operator_with_new_token(call.name(), Operator { rights, ..there })
    };
    let outcome = edit(&call, renew).await?;
    made(&call, &outcome)
}

pub(super) async fn disable(call: Call) -> Result<Answer, Fault> {
    set_disabled(&call, true).await
}

pub(super) async fn enable(call: Call) -> Result<Answer, Fault> {
    set_disabled(&call, false).await
}

pub(super) async fn delete(call: Call) -> Result<Answer, Fault> {
    let outcome = edit(&call, |proposal, _| proposal.delete(Kind::Operator, call.name())).await?;
    call.api.used.forget(call.name());
    Answer::json(&Done::from(&outcome))
}

async fn set_disabled(call: &Call, disabled: bool) -> Result<Answer, Fault> {
    let set = |proposal: &mut Proposal<'_>, there: Operator| {
        proposal.operator(call.name(), Operator { disabled, ..there })
    };
    let outcome = edit(call, set).await?;
    written(call, Kind::Operator, &outcome, |name, held| OperatorView::new(call, name, held))
}

/// Changes an operator that may no more than the caller, as it stands when this change has its turn.
async fn edit(
    call: &Call,
    edit: impl FnOnce(&mut Proposal<'_>, Operator) -> Result<(), Refusal>,
) -> Result<Outcome, Fault> {
    let name = call.name();
    call.change(Kind::Operator, name, |proposal| {
        let there = proposal.state.operator(name).cloned();
        let there = there.ok_or_else(|| proposal.not_found(Kind::Operator, name))?;
        // How long it lasts does not matter to who may change it.
        within(call, &Rights { expires: call.who.rights.expires, ..there.rights.clone() })?;
        edit(proposal, there)
    })
    .await
}

fn within(call: &Call, rights: &Rights) -> Result<(), Refusal> {
    if rights.is_within(&call.who.rights) {
        return Ok(());
    }
    let more =
        rights.scopes.difference(&call.who.rights.scopes).map(|scope| scope.word()).collect::<Vec<_>>();
    let message = if more.is_empty() {
        format!(
            "{} makes and changes only operators of its own team that end no later than it does",
            call.who.name
        )
    } else {
        format!("{} does not have {} itself", call.who.name, more.join(", "))
    };
    Err(Refusal::Forbidden(message))
}

fn named(words: &[String]) -> Result<Scopes, Refusal> {
    let mut scopes = Scopes::new();
    for (place, word) in words.iter().enumerate() {
        let named = Scope::named(word);
        if named.is_empty() {
            return Err(Refusal::field(
                format!("scopes[{place}]"),
                format!("is no scope; there are {}", Scope::words()),
            ));
        }
        scopes.extend(named);
    }
    if scopes.is_empty() {
        Err(Refusal::field("scopes", "names no scope; an operator needs one"))
    } else {
        Ok(scopes)
    }
}

/// When a token ends that is made now; `None` = never.
fn until(call: &Call, said: Option<&str>) -> Result<Option<u64>, Refusal> {
    let now = unix_millis() / 1000;
    let Some(said) = said else {
        let limit = call.who.rights.expires.unwrap_or(u64::MAX);
        return Ok(Some((now + LASTS).min(limit)));
    };
    if said == NEVER {
        return Ok(None);
    }
    let end = match (Span::parse(said), Expiry::parse(said)) {
        (_, Some(moment)) => moment.unix(),
        (Some(span), None) => now + span.millis() / 1000,
        (None, None) => {
            return Err(Refusal::field("expires", "is a span like 90d, a day like 2027-01-31, or never"));
        }
    };
    if end > now { Ok(Some(end)) } else { Err(Refusal::field("expires", "is over already")) }
}

/// Shows an operator whose token was just made.
fn made(call: &Call, outcome: &Outcome) -> Result<Answer, Fault> {
    let held = find(call, Kind::Operator)?;
    let view = OperatorView::new(call, call.name(), &held);
    let view = view.ok_or_else(|| Fault::internal("an operator of another kind"))?;
    let token = outcome.tokens.first().map(OneTime::from);
    let token = token.ok_or_else(|| Fault::internal("no token was made"))?;
    Ok(Answer::json(&MadeOperator { token, operator: Written::new(view, outcome) })?.version(held.version))
}

// === impl OperatorView ===

impl OperatorView {
    fn new(call: &Call, name: &str, held: &Held) -> Option<Self> {
        let Body::Operator(operator) = &held.document.body else { return None };
        let Rights { scopes, team, expires } = operator.rights.clone();
        let expired = expires.is_some_and(|end| end <= unix_millis() / 1000);
        let moment = |unix| Expiry::from_unix(unix).to_string();
        Some(Self {
            head: Head::new(name, held),
            state: match (operator.disabled, expired) {
                (true, _) => "disabled",
                (false, true) => "expired",
                (false, false) => "enabled",
            },
            scopes,
            team,
            expires: expires.map_or_else(|| NEVER.to_owned(), moment),
            last_used: call.api.used.of(name).map(moment),
        })
    }
}
