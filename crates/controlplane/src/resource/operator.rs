//! Who may use the admin API beside the bootstrap token. Kept like any document, but in no file: neither exported nor
//! pruned. Of a token only the keyed digest is kept.

use super::{Body, Kind, Proposal, Refusal, Scopes, State};
use serde::{Deserialize, Serialize};

/// Operators that there may be: each call's token is compared with all.
const OPERATOR_LIMIT: usize = 1_000;

/// What is kept of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Keyed digest of its token, hex.
    pub digest: String,
    /// What it may.
    pub rights: Rights,
    /// Its token is refused.
    pub disabled: bool,
}

/// What someone may do, to whom, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// What it may do.
    pub scopes: Scopes,
    /// The one team whose clients it sees and changes; absent = everything.
    pub team: Option<String>,
    /// Its token is refused from then on, seconds since 1970; absent = `never` was asked for.
    pub expires: Option<u64>,
}

// === impl Rights ===

impl Rights {
    /// Everything, for as long as the token is there.
    #[must_use]
    pub fn all() -> Self {
        Self { scopes: Scopes::from(super::Scope::ALL), team: None, expires: None }
    }

    /// Whether it can do nothing that the other cannot, to nobody else and no longer.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let no_longer = match (self.expires, other.expires) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(limit)) => own <= limit,
        };
        no_longer && self.scopes.is_subset(&other.scopes) && (other.team.is_none() || self.team == other.team)
    }
}

// === impl State ===

impl State {
    /// An operator.
    #[must_use]
    pub fn operator(&self, name: &str) -> Option<&Operator> {
        let Body::Operator(operator) = &self.get(Kind::Operator, name)?.document.body else { return None };
        Some(operator)
    }

    /// The team of a client; `None` if there is no such client or it has none.
    #[must_use]
    pub fn team_of_client(&self, name: &str) -> Option<&str> {
        let Body::Client { spec, .. } = &self.get(Kind::Client, name)?.document.body else { return None };
        spec.team.as_deref()
    }
}

// === impl Proposal ===

impl Proposal<'_> {
    /// Makes an operator with a new token.
    ///
    /// # Errors
    /// When one of that name is there, when there are too many, when its name or team cannot be.
    pub fn new_operator(&mut self, name: &str, operator: Operator) -> Result<(), Refusal> {
        if self.state.get(Kind::Operator, name).is_some() {
            return Err(Refusal::Exists { kind: Kind::Operator, name: name.to_owned() });
        }
        if let Err(reason) = keyway_config::check_name(name) {
            return Err(Refusal::field("name", reason));
        }
        if self.state.each(Kind::Operator).count() >= OPERATOR_LIMIT {
            return Err(Refusal::field("name", format!("there are {OPERATOR_LIMIT} operators; delete one")));
        }
        if operator.rights.team.as_ref().is_some_and(|team| self.state.get(Kind::Team, team).is_none()) {
            return Err(Refusal::field("team", "names no team; `keyway team set` makes one"));
        }
        self.operator_with_new_token(name, operator)
    }

    /// Writes an operator with a new token; an old one is refused from then on.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn operator_with_new_token(&mut self, name: &str, operator: Operator) -> Result<(), Refusal> {
        let digest = self.make_token(name)?;
        self.operator(name, Operator { digest, ..operator })
    }

    /// Writes an operator as it stands.
    ///
    /// # Errors
    /// When it cannot be written as a document.
    pub fn operator(&mut self, name: &str, operator: Operator) -> Result<(), Refusal> {
        self.put(Kind::Operator, name, Body::Operator(operator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Scope;

    #[test]
    fn within_means_no_more_nowhere_else_and_no_longer() {
        let of = |scopes: &[Scope], team: Option<&str>, expires| Rights {
            scopes: scopes.iter().copied().collect(),
            team: team.map(str::to_owned),
            expires,
        };
        let (read, both) = (&[Scope::ConfigRead][..], &[Scope::ConfigRead, Scope::ConfigWrite][..]);
        let cases = [
            (of(read, None, None), of(both, None, None), true),
            (of(both, None, None), of(read, None, None), false),
            (of(read, Some("a"), Some(5)), of(both, None, Some(5)), true),
            (of(read, Some("a"), None), of(both, Some("a"), None), true),
            (of(read, Some("b"), None), of(both, Some("a"), None), false),
            (of(read, None, None), of(both, Some("a"), None), false),
            (of(read, None, Some(6)), of(both, None, Some(5)), false),
            (of(read, None, None), of(both, None, Some(5)), false),
        ];
        for (child, parent, expected) in cases {
            assert_eq!(child.is_within(&parent), expected, "{child:?} {parent:?}");
        }
    }
}
