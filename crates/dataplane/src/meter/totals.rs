//! Running sums since the start, for the ops port. The spool's thread adds what it takes from the cores.

use super::sheet::Counted;
use keyway_snapshot::METERS;
use std::{collections::HashMap, sync::Arc};

/// Clients × keys × models that are told apart; beyond it counts go to one row named `other`.
const ROWS: usize = 100_000;
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
}

// === impl Totals ===

impl Default for Totals {
    fn default() -> Self {
        Self { rows: vec![Row::new(OTHER, &Arc::from(OTHER), OTHER)], places: Places::default() }
    }
}

impl Totals {
    /// Adds to the row of these names, made if there is room for it.
    pub(crate) fn add(&mut self, client: &str, key: &Arc<str>, model: &str, sum: &Counted) {
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
