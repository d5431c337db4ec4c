//! Running sums since the start, for the ops port. The spool's thread adds what it takes from the cores.

use super::sheet::Counted;
use keyway_snapshot::{METERS, Target};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Clients × keys × models that are told apart; beyond it counts go to one row named `other`.
const ROWS: usize = 100_000;
/// Targets that only callers named and that are told apart; beyond it theirs are `provider/other`.
const STRANGERS: usize = 2_000;
const OTHER: &str = "other";

/// Sums of one (client, key version, model).
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) client: Box<str>,
    pub(crate) key: Arc<str>,
    pub(crate) model: Box<str>,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) cancelled: u64,
    pub(crate) counts: [u64; METERS],
    pub(crate) nano_dollars: u64,
    /// Requests whose price is unknown.
    pub(crate) unpriced: u64,
    /// Requests whose usage is an estimate, wholly or in part.
    pub(crate) unmetered: u64,
}

type Places = HashMap<Box<str>, HashMap<Arc<str>, HashMap<Box<str>, usize>>>;

/// All of them.
#[derive(Debug)]
pub(crate) struct Totals {
    /// The first is the one for what has no row of its own.
    rows: Vec<Row>,
    /// By client, key version, model: nested, so that a look-up allocates nothing.
    places: Places,
    /// Labels of targets that only callers named.
    strangers: HashSet<Box<str>>,
}

// === impl Totals ===

impl Default for Totals {
    fn default() -> Self {
        let rows = vec![Row::new(OTHER, &Arc::from(OTHER), OTHER)];
        Self { rows, places: Places::default(), strangers: HashSet::new() }
    }
}

impl Totals {
    /// Adds what a target served.
    pub(crate) fn add(&mut self, client: &str, key: &Arc<str>, target: &Target, sum: &Counted) {
        let model = self.name(target);
        self.add_to(client, key, &model, sum);
    }

    /// The target's label, or what stands for it where callers made up too many.
    fn name<'a>(&mut self, target: &'a Target) -> Cow<'a, str> {
        if target.is_known || self.strangers.contains(&target.label) {
            return Cow::Borrowed(&target.label);
        }
        if self.strangers.len() >= STRANGERS {
            return Cow::Owned(format!("{}/{OTHER}", target.provider.name));
        }
        self.strangers.insert(target.label.clone());
        Cow::Borrowed(&target.label)
    }

    /// Adds to the row of these names, made if there is room for it.
    pub(crate) fn add_to(&mut self, client: &str, key: &Arc<str>, model: &str, sum: &Counted) {
        let known =
            self.places.get(client).and_then(|keys| keys.get(key)).and_then(|models| models.get(model));
        let place = match known {
            Some(place) => *place,
            None if self.rows.len() >= ROWS => 0,
            None => {
                let models =
                    self.places.entry(client.into()).or_default().entry(Arc::clone(key)).or_default();
                models.insert(model.into(), self.rows.len());
                self.rows.push(Row::new(client, key, model));
                self.rows.len() - 1
            }
        };
        if let Some(row) = self.rows.get_mut(place) {
            row.add(sum);
        }
    }

    /// Every row that counted something.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.requests > 0)
    }
}

// === impl Row ===

impl Row {
    fn new(client: &str, key: &Arc<str>, model: &str) -> Self {
        Self {
            client: client.into(),
            key: Arc::clone(key),
            model: model.into(),
            requests: 0,
            errors: 0,
            cancelled: 0,
            counts: [0; METERS],
            nano_dollars: 0,
            unpriced: 0,
            unmetered: 0,
        }
    }

    fn add(&mut self, sum: &Counted) {
        self.requests += sum.requests;
        self.errors += sum.errors;
        self.cancelled += sum.cancelled;
        self.unpriced += sum.unpriced;
        self.unmetered += sum.estimated;
        self.nano_dollars = self.nano_dollars.saturating_add(sum.nano_dollars);
        for (all, count) in self.counts.iter_mut().zip(sum.counts) {
            *all = all.saturating_add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::tests::snapshot;
    use keyway_snapshot::{CredentialState, Resolved};

    #[test]
    fn names_that_callers_make_up_are_told_apart_up_to_a_bound() {
        let state = snapshot(1, &[(1, CredentialState::Active)]);
        let (mut totals, key) = (Totals::default(), Arc::from("p/main/1"));
        let one = Counted { requests: 1, ..Counted::default() };
        for number in (0..STRANGERS + 500).chain(0..3) {
            let Ok(Resolved::Target(target)) = state.lookup(&format!("p/r{number}")) else { panic!() };
            totals.add("c", &key, &target, &one);
        }
        let of = |model: &str| totals.rows().find(|row| &*row.model == model).map(|row| row.requests);
        assert_eq!(totals.rows().count(), STRANGERS + 1);
        assert_eq!(
            (of("p/r0"), of("p/r1999"), of("p/r2000"), of("p/other")),
            (Some(2), Some(1), None, Some(500))
        );
    }
}
