//! Who still uses what a change takes away: said where it is taken away, since whoever deletes sees no other place.

use super::{Body, Kind, Refusal, State};
use keyway_config::Problem;

/// Users that one refusal names.
const NAMED: usize = 5;

/// What is taken away, and what stays as it is in the state.
pub(super) struct Leaving<'a> {
    pub(super) state: &'a State,
    /// Whether it is gone, or looked at elsewhere.
    pub(super) passed_over: &'a dyn Fn(Kind, &str) -> bool,
    /// What is said before, and what else may be done.
    pub(super) words: [&'static str; 2],
}

/// One who uses it.
struct User<'a> {
    kind: Kind,
    name: &'a str,
    /// As what.
    place: &'static str,
}

// === impl Leaving ===

impl<'a> Leaving<'a> {
    /// What is wrong with taking it away, if anything.
    pub(super) fn problem(&self, kind: Kind, name: &str) -> Option<Problem> {
        let users: Vec<User<'_>> = self.users(kind, name).collect();
        let first = users.first()?;
        let named: Vec<String> = users.iter().take(NAMED).map(User::words).collect();
        let more = match users.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let [before, instead] = self.words;
        let reason = format!(
            "{before}is still used by {}{more}; {instead}give each another {}, or delete it first: {}",
            named.join(", "),
            kind.word(),
            first.removal(),
        );
        Some(Problem::new(kind.path(name), reason))
    }

    fn users<'b>(&'b self, kind: Kind, name: &'b str) -> impl Iterator<Item = User<'a>> + 'b {
        let of = [Kind::Model, Kind::Client, Kind::Operator].into_iter();
        let all = of.flat_map(|of| self.state.each(of).map(move |(user, held)| (of, user, held)));
        let left = all.filter(|(of, user, _)| !(self.passed_over)(*of, user));
        left.filter_map(move |(of, user, held)| {
            let place = place(&held.document.body, kind, name)?;
            Some(User { kind: of, name: user, place })
        })
    }
}

/// Refuses to take away one document that another one uses.
pub(crate) fn unused(state: &State, kind: Kind, name: &str) -> Result<(), Refusal> {
    let itself = |of: Kind, user: &str| of == kind && user == name;
    let leaving = Leaving { state, passed_over: &itself, words: ["", ""] };
    match leaving.problem(kind, name) {
        None => Ok(()),
        Some(problem) => Err(Refusal::Invalid(vec![problem])),
    }
}

/// As what a document uses that name, if it does.
fn place(user: &Body, kind: Kind, name: &str) -> Option<&'static str> {
    let of_provider = |model: &str| model.split_once('/').is_some_and(|(provider, _)| provider == name);
    match (user, kind) {
        (Body::Model(alias), Kind::Provider) if alias.targets.iter().any(|one| one.provider == name) => {
            Some("a target")
        }
        (Body::Model(alias), Kind::Provider) if alias.fallback.iter().any(|model| of_provider(model)) => {
            Some("a fallback")
        }
        (Body::Model(alias), Kind::Model) if alias.fallback.iter().any(|one| one == name) => {
            Some("a fallback")
        }
        (Body::Client { spec, .. }, Kind::Provider) if spec.passthrough.contains_key(name) => {
            Some("passthrough")
        }
        (Body::Client { spec, .. }, Kind::Team) if spec.team.as_deref() == Some(name) => Some("its team"),
        (Body::Operator(operator), Kind::Team) if operator.rights.team.as_deref() == Some(name) => {
            Some("its team")
        }
        _ => None,
    }
}

// === impl User ===

impl User<'_> {
    fn words(&self) -> String {
        let word = if self.kind == Kind::Model { "alias" } else { self.kind.word() };
        format!("{word} {} ({})", self.name, self.place)
    }

    fn removal(&self) -> String {
        format!("keyway {} delete {}", self.kind.word(), self.name)
    }
}
