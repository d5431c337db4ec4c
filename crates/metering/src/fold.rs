//! Many frames as one: records become sums, so that a full spool loses detail and no count.

use crate::sum::{add, of_record};
use keyway_proto::fleet::v1::{Frame, Spender, Sum};
use std::collections::HashMap;

/// The one tag of what had others, where there is no room to tell them apart.
pub const OTHER: &str = "other";

/// Sums by spender and minute.
#[derive(Debug, Default)]
pub struct Fold {
    sums: HashMap<(Spender, u64), Sum>,
    /// Rows beyond which tags are no longer told apart.
    tagged: usize,
}

// === impl Fold ===

impl Fold {
    /// An empty one that tells tags apart until it has that many rows.
    #[must_use]
    pub fn new(tagged: usize) -> Self {
        Self { sums: HashMap::new(), tagged }
    }

    /// Adds everything that a frame holds.
    pub fn frame(&mut self, frame: &Frame) {
        frame.records.iter().for_each(|record| self.sum(&of_record(record)));
        frame.sums.iter().for_each(|sum| self.sum(sum));
    }

    /// Adds one sum.
    pub fn sum(&mut self, sum: &Sum) {
        let mut spender = sum.spender.clone().unwrap_or_default();
        if self.sums.len() >= self.tagged
            && !spender.tags.is_empty()
            && !self.sums.contains_key(&(spender.clone(), sum.minute))
        {
            spender.tags = vec![OTHER.to_owned()];
        }
        let place = self.sums.entry((spender.clone(), sum.minute));
        let place =
            place.or_insert_with(|| Sum { spender: Some(spender), minute: sum.minute, ..Sum::default() });
        add(place, sum);
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// The sums, in no order.
    #[must_use]
    pub fn into_sums(self) -> Vec<Sum> {
        self.sums.into_values().collect()
    }
}

/// Neighbouring frames as one that books the same; `None` of no frames.
#[must_use]
pub fn fold(frames: &[Frame], tagged: usize) -> Option<Frame> {
    let (first, last) = (frames.first()?.first, frames.last()?.last);
    let mut sums = Fold::new(tagged);
    frames.iter().for_each(|frame| sums.frame(frame));
    Some(Frame { first, last, records: Vec::new(), sums: sums.into_sums() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_proto::{
        fleet::v1::{Count, Outcome, Record, UsageSource},
        snapshot::v1::Meter,
    };

    fn record(client: &str, tag: &str, minute: u64, nano: Option<u64>) -> Record {
        Record {
            spender: Some(Spender {
                client: client.to_owned(),
                tags: vec![tag.to_owned()],
                ..Spender::default()
            }),
            started_unix_millis: minute * 60_000 + 7,
            outcome: Outcome::Served.into(),
            usage_source: UsageSource::Provider.into(),
            nano_dollars: nano,
            counts: vec![Count { meter: Meter::Output.into(), count: 5 }],
            total_micros: minute,
            ..Record::default()
        }
    }

    fn total(frames: &[Frame]) -> Sum {
        let mut all = Sum::default();
        let mut sums = Fold::new(usize::MAX);
        frames.iter().for_each(|frame| sums.frame(frame));
        sums.into_sums().iter().for_each(|sum| add(&mut all, sum));
        all
    }

    #[test]
    fn folding_loses_detail_and_no_count() {
        let frames: Vec<Frame> = (1..=20)
            .map(|number| Frame {
                first: number,
                last: number,
                records: vec![record("a", &format!("run={number}"), number / 4, Some(number))],
                sums: vec![of_record(&record("b", "run=1", number / 4, None))],
            })
            .collect();
        let folded = fold(&frames, 4).unwrap();
        assert_eq!((folded.first, folded.last), (1, 20));
        assert!(folded.sums.len() < 20, "{}", folded.sums.len());
        assert_eq!(total(&frames), total(std::slice::from_ref(&folded)));
        let all = total(&[folded]);
        assert_eq!((all.requests, all.unpriced, all.nano_dollars), (40, 20, 210));
        assert_eq!((all.counts[0].count, all.delivered_output_tokens, all.max_total_micros), (200, 200, 5));
    }

    #[test]
    fn folding_twice_is_folding_once() {
        let frames: Vec<Frame> = (1..=9)
            .map(|number| Frame {
                first: number,
                last: number,
                records: vec![record("a", "x=1", 3, Some(number))],
                sums: Vec::new(),
            })
            .collect();
        let (left, right) = frames.split_at(4);
        let twice = fold(&[fold(left, 99).unwrap(), fold(right, 99).unwrap()], 99);
        assert_eq!(twice, fold(&frames, 99));
        assert_eq!(fold(&[], 99), None);
    }
}
