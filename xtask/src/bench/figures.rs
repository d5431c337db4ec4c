//! From single turns to the figures that are shown: medians over rounds, ratios and differences round by round.

use super::{footprint::Footprint, subject::Kind};
use keyway_bench::Report;

/// One turn of one subject in one case.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) report: Report,
    /// Nanoseconds of CPU that the subject used; none for `direct`.
    pub(super) cpu: Option<u64>,
}

/// All turns of one subject in one case.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) kind: Kind,
    pub(super) turns: Vec<Turn>,
    /// Why it was given up, if it was.
    pub(super) fault: Option<String>,
}

/// Everything that one run found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) cases: Vec<(&'static str, Vec<Measured>)>,
    pub(super) footprints: Vec<Footprint>,
}

/// One figure of a turn.
pub(super) type Figure = fn(&Turn) -> Option<f64>;

// === impl Turn ===

impl Turn {
    /// Microseconds of CPU per reply.
    pub(super) fn cpu_per_reply(&self) -> Option<f64> {
        Some(self.cpu? as f64 / 1_000.0 / self.report.good as f64)
    }

    /// Share of its core that the subject used, 0 to 1.
    pub(super) fn busy(&self) -> Option<f64> {
        Some(self.cpu? as f64 / 1e9 / self.report.seconds)
    }

    pub(super) fn per_second(&self) -> Option<f64> {
        Some(self.report.per_second())
    }

    pub(super) fn p50(&self) -> Option<f64> {
        Some(self.report.total.p50)
    }

    pub(super) fn p99(&self) -> Option<f64> {
        Some(self.report.total.p99)
    }

    pub(super) fn p999(&self) -> Option<f64> {
        Some(self.report.total.p999)
    }

    pub(super) fn first_p50(&self) -> Option<f64> {
        Some(self.report.first.p50)
    }

    pub(super) fn first_p99(&self) -> Option<f64> {
        Some(self.report.first.p99)
    }
}

// === impl Measured ===

impl Measured {
    /// The figure's median over the rounds.
    pub(super) fn median(&self, figure: Figure) -> Option<f64> {
        median(self.turns.iter().filter_map(figure).collect())
    }

    /// The median of the rounds' ratios to `other`.
    pub(super) fn ratio(&self, other: &Self, figure: Figure) -> Option<f64> {
        median(self.ratios(other, figure))
    }

    /// Each round's ratio to `other`.
    pub(super) fn ratios(&self, other: &Self, figure: Figure) -> Vec<f64> {
        self.paired(other, figure, |mine, theirs| mine / theirs)
    }

    /// The median of the rounds' differences from `other`.
    pub(super) fn difference(&self, other: &Self, figure: Figure) -> Option<f64> {
        median(self.paired(other, figure, |mine, theirs| mine - theirs))
    }

    fn paired(&self, other: &Self, figure: Figure, join: fn(f64, f64) -> f64) -> Vec<f64> {
        let pairs = self.turns.iter().zip(&other.turns);
        pairs.filter_map(|(mine, theirs)| Some(join(figure(mine)?, figure(theirs)?))).collect()
    }
}

// === impl Found ===

impl Found {
    /// What `kind` and the bare proxy did in the case.
    pub(super) fn pair(&self, case: &str, kind: Kind) -> Option<(&Measured, &Measured)> {
        let (_, measured) = self.cases.iter().find(|(name, _)| *name == case)?;
        Some((of(measured, kind)?, of(measured, Kind::Bare)?))
    }

    pub(super) fn footprint(&self, kind: Kind) -> Option<&Footprint> {
        self.footprints.iter().find(|footprint| footprint.kind == kind)
    }
}

/// What one subject did.
pub(super) fn of(measured: &[Measured], kind: Kind) -> Option<&Measured> {
    measured.iter().find(|one| one.kind == kind)
}

/// The middle value; of an even number, the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get(values.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

/// The middle half of the values: where its lowest and its highest lie.
pub(super) fn middle_half(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some((*values.get(last / 4)?, *values.get(last - last / 4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_half_leaves_a_quarter_out_at_each_end() {
        assert_eq!(middle_half(vec![]), None);
        assert_eq!(middle_half(vec![3.0]), Some((3.0, 3.0)));
        assert_eq!(middle_half(vec![5.0, 1.0, 2.0, 4.0, 3.0]), Some((2.0, 4.0)));
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }
}
