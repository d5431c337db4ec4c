//! One figure: what was measured, what it is to reach, and how to measure it again.

use std::time::Duration;

#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) reach: &'static str,
    pub(super) measured: String,
    /// `None`: it was not measured.
    pub(super) reached: Option<bool>,
    /// Behind `cargo xtask bench fleet`.
    pub(super) command: String,
}

// === impl Row ===

impl Row {
    pub(super) fn untested(what: &str, reach: &'static str, why: &str) -> Self {
        let measured = format!("NOT TESTED: {why}");
        Self { what: what.to_owned(), reach, measured, reached: None, command: String::new() }
    }
}

/// Times of many rounds, for quantiles.
#[derive(Debug)]
pub(super) struct Times(Vec<Duration>);

// === impl Times ===

impl Times {
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time below which `percent` of them are; zero of none.
    pub(super) fn at(&self, percent: usize) -> Duration {
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// `p50 1.2 ms, p99 3.4 ms, worst 5.6 ms of 100`.
    pub(super) fn told(&self) -> String {
        let [p50, p99, worst] = [50, 99, 100].map(|percent| ms(self.at(percent)));
        format!("p50 {p50}, p99 {p99}, worst {worst} of {}", self.0.len())
    }
}

/// Milliseconds, with a digit behind the point below a hundred.
pub(super) fn ms(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 100.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let times = Times::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!([1, 50, 99, 100].map(|percent| times.at(percent).as_millis()), [1, 50, 99, 100]);
        assert_eq!(Times::of(vec![]).at(99), Duration::ZERO);
        assert_eq!(
            Times::of(vec![Duration::from_micros(1250)]).told(),
            "p50 1.2 ms, p99 1.2 ms, worst 1.2 ms of 1"
        );
        assert_eq!(ms(Duration::from_millis(1234)), "1234 ms");
    }
}
