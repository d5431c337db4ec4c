//! The targets of a name, in the order of one request: groups one after the other (an alias, then its fallbacks), within
//! an alias by its strategy.

use crate::random::Random;
use keyway_snapshot::{Alias, Resolved, Snapshot, Strategy, Target, Timeouts};
use std::sync::Arc;

/// One target that may be tried.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) target: Arc<Target>,
    /// The alias's own.
    pub(crate) timeouts: Timeouts,
    /// It cannot be told what the caller asks for.
    pub(crate) barred: bool,
}

// === impl Step ===

impl Step {
    pub(crate) fn new(target: Arc<Target>, timeouts: Timeouts) -> Self {
        Self { target, timeouts, barred: false }
    }
}

/// Every target that a request may try, best first, and how many attempts beyond the first are allowed.
pub(crate) fn steps(snapshot: &Snapshot, resolved: &Resolved, random: &Random) -> (Vec<Step>, Option<u32>) {
    match resolved {
        Resolved::Target(target) => (vec![Step::new(Arc::clone(target), Timeouts::default())], None),
        Resolved::Alias(alias) => {
            let mut steps = Vec::new();
            for group in snapshot.groups(resolved) {
                match group {
                    Resolved::Target(target) => steps.push(Step::new(target, alias.timeouts)),
                    Resolved::Alias(alias) => in_order(&alias, random, &mut steps),
                }
            }
            (steps, alias.retries)
        }
    }
}

fn in_order(alias: &Alias, random: &Random, steps: &mut Vec<Step>) {
    let mut left: Vec<&(Arc<Target>, u32, u32)> = alias.targets.iter().collect();
    if alias.strategy == Strategy::Priority {
        left.sort_by_key(|(_, _, priority)| *priority);
    }
    while let Some(first) = left.first() {
        // Weights decide among targets of one priority; without priorities all are of one.
        let class = match alias.strategy {
            Strategy::Priority => left.iter().take_while(|other| other.2 == first.2).count(),
            Strategy::Weighted | Strategy::Unspecified => left.len(),
        };
        let weights = left.iter().take(class).map(|(_, weight, _)| u64::from(*weight));
        let (target, ..) = left.remove(pick(weights, random.next()).unwrap_or(0));
        steps.push(Step::new(Arc::clone(target), alias.timeouts));
    }
}

/// The place of the weight on which a number falls; none where all are zero.
pub(super) fn pick(weights: impl Iterator<Item = u64> + Clone, number: u64) -> Option<usize> {
    let mut point = number.checked_rem(weights.clone().sum())?;
    for (at, weight) in weights.enumerate() {
        match point.checked_sub(weight) {
            Some(rest) => point = rest,
            None => return Some(at),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fall_by_weight() {
        let hits = |weights: &[u64]| {
            let mut hits = vec![0; weights.len()];
            for number in 0..100 {
                if let Some(at) = pick(weights.iter().copied(), number) {
                    hits[at] += 1;
                }
            }
            hits
        };
        assert_eq!(hits(&[80, 20]), [80, 20]);
        assert_eq!(hits(&[1, 0, 3]), [25, 0, 75]);
        assert_eq!(hits(&[0, 0]), [0, 0]);
    }
}
