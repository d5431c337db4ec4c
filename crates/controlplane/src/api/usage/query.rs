//! What a query asks for. Names that are none are refused with the nearest, never passed over.

use super::{cursor::Sealer, moment};
use crate::{
    api::{answer::Fault, call::Call},
    plane::unix_millis,
    usage::{Filter, Outcomes, Statuses},
};
use http::StatusCode;
use keyway_proto::fleet::v1::Outcome;
use serde::{Serialize, de::DeserializeOwned};

/// What was asked for when nothing was said.
const SINCE: &str = "24h";
/// Milliseconds after now that a stretch may reach: clocks of replicas may be ahead, and nothing is booked later.
const AHEAD: u64 = 86_400_000;

/// A stretch of time, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) since: u64,
    pub(super) until: u64,
}

/// A query under its route's rules.
pub(super) struct Query<'c> {
    call: &'c Call,
    sealer: Sealer,
    now: u64,
}

// === impl Query ===

impl<'c> Query<'c> {
    /// Every name in it is one of the route's.
    pub(super) fn new(call: &'c Call) -> Result<Self, Fault> {
        let known = call.route.query;
        if let Some(name) = call.query.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(unknown("name of this query", name, known.iter().copied()));
        }
        let secret = call.plane().vault().digest_key();
        let sealer = Sealer::new(secret, call.who.rights.team.as_deref(), call.route.path, &call.query);
        Ok(Self { call, sealer, now: unix_millis() })
    }

    /// A value that was given and is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&'c str> {
        self.call.query.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The same stretch on every page: the first one fixes it.
    pub(super) fn stretch(&self) -> Result<Stretch, Fault> {
        let moment = |name: &str, default: &str| {
            let text = self.text(name).unwrap_or(default);
            moment::parse(text, self.now).ok_or_else(|| wrong(name, moment::FORMS))
        };
        let (since, until) = (moment("since", SINCE)?, moment("until", "now")?);
        if since > until {
            return Err(wrong("since", "earlier than `until`"));
        }
        let last = self.now.saturating_add(AHEAD);
        Ok(Stretch { since: since.min(last), until: until.min(last) })
    }

    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, Fault> {
        let Some(text) = self.text("limit") else { return Ok(default) };
        let limit = text.parse::<usize>().ok().filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| wrong("limit", &format!("a number from 1 to {most}")))
    }

    /// Where the page before ended; `None` on the first.
    pub(super) fn cursor<T: DeserializeOwned>(&self) -> Result<Option<T>, Fault> {
        let Some(text) = self.text("cursor") else { return Ok(None) };
        let bad = || {
            let message = "this cursor is of another question or was changed; begin again without it";
            Fault::new(StatusCode::BAD_REQUEST, "bad_cursor", message)
        };
        self.sealer.open(text).map(Some).ok_or_else(bad)
    }

    pub(super) fn seal(&self, position: &impl Serialize) -> Option<String> {
        self.sealer.seal(position)
    }

    /// Whose usage: as asked, and within what the caller may see.
    pub(super) fn filter(&self) -> Filter {
        let text = |name: &str| self.text(name).map(str::to_owned);
        let tags = self.text("tag").into_iter().flat_map(|tags| tags.split(','));
        Filter {
            bound: self.call.who.rights.team.clone(),
            client: text("client"),
            team: text("team"),
            provider: text("provider"),
            model: text("model"),
            key: text("key"),
            alias: text("alias"),
            tags: tags.map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect(),
        }
    }

    pub(super) fn outcomes(&self) -> Result<Outcomes, Fault> {
        let status = self.text("status").map(|text| {
            statuses(text).ok_or_else(|| wrong("status", "a status like 429, or a class like 5xx"))
        });
        let outcome = self.text("outcome").map(|word| {
            OUTCOMES
                .iter()
                .find(|(known, _)| *known == word)
                .map(|(_, outcome)| *outcome)
                .ok_or_else(|| unknown("outcome", word, OUTCOMES.iter().map(|(known, _)| *known)))
        });
        let unpriced = match self.text("unpriced") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(wrong("unpriced", "true or false")),
        };
        Ok(Outcomes { status: status.transpose()?, outcome: outcome.transpose()?, unpriced })
    }
}

/// How a request can end, in words.
pub(super) const OUTCOMES: [(&str, Outcome); 4] = [
    ("served", Outcome::Served),
    ("refused", Outcome::Refused),
    ("broken", Outcome::Broken),
    ("cancelled", Outcome::Cancelled),
];

fn statuses(text: &str) -> Option<Statuses> {
    let (first, rest) = text.split_at_checked(1)?;
    let class = first.parse::<u16>().ok().filter(|class| (1..=5).contains(class))?;
    if rest.eq_ignore_ascii_case("xx") {
        return Some(Statuses { from: class * 100, to: class * 100 + 99 });
    }
    let status = text.parse::<u16>().ok().filter(|_| text.len() == 3)?;
    Some(Statuses { from: status, to: status })
}

/// What is wrong with the value of a name.
pub(super) fn wrong(name: &str, expected: &str) -> Fault {
    let mut fault = Fault::malformed(format!("`{name}` is {expected}"));
    fault.error.field = Some(name.to_owned());
    fault
}

/// What is no such word, with those that are near.
pub(super) fn unknown<'w>(what: &str, word: &str, known: impl Iterator<Item = &'w str> + Clone) -> Fault {
    let nearest = keyway_config::nearest(word, known.clone());
    let hint = match nearest.is_empty() {
        true => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
        false => format!("did you mean {}?", nearest.join(" or ")),
    };
    let mut fault = Fault::malformed(format!("`{word}` is no {what}; {hint}"));
    fault.error.nearest = nearest;
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_single_or_a_class() {
        let of = |text| statuses(text).map(|statuses| (statuses.from, statuses.to));
        assert_eq!((of("429"), of("5xx"), of("2XX")), (Some((429, 429)), Some((500, 599)), Some((200, 299))));
        for text in ["", "5", "5x", "6xx", "0xx", "42", "4290", "-42", "xx5", "\u{664}xx"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
