//! Which sums answer a question about a stretch of time: the coarsest that are exact, the finer ones at its ends. Pure.

use super::level::Level;

/// No plan goes further, in milliseconds: the last whole day that a number can tell.
const END: u64 = Level::Day.millis() * (u64::MAX / Level::Day.millis());

/// From when on the sums of each level are whole, in milliseconds; older ones were deleted or partly so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Horizon {
    pub(crate) minutes: u64,
    pub(crate) hours: u64,
    pub(crate) days: u64,
}

/// Buckets `from..to` of one level, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) level: Level,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// What is read, oldest first, and the stretch that it makes up: whole minutes, or more where no finer sums are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) since: u64,
    pub(crate) until: u64,
    pub(crate) segments: Vec<Segment>,
}

/// So fine is not kept so far back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotKept {
    pub(crate) level: Level,
    /// From then on it is, in milliseconds.
    pub(crate) from: u64,
}

// === impl Horizon ===

impl Horizon {
    pub(super) fn of(&self, level: Level) -> u64 {
        match level {
            Level::Minute => self.minutes,
            Level::Hour => self.hours,
            Level::Day => self.days,
        }
    }
}

/// Plans `since..until`; `coarsest`: no bucket is longer than that.
pub(crate) fn plan(since: u64, until: u64, coarsest: Level, horizon: Horizon) -> Result<Plan, NotKept> {
    let levels = || Level::ALL.into_iter().filter(|level| *level <= coarsest);
    let (since, until) = (since.min(END), until.max(since).min(END));
    let not_kept = NotKept { level: coarsest, from: coarsest.ceil(horizon.of(coarsest)) };
    // Days are the last resort: before the first of them there is nothing.
    let known = |level: Level, from: u64| level == Level::Day || horizon.of(level) <= from;
    let first = levels().find(|level| known(*level, level.floor(since))).ok_or(not_kept)?;
    let start = first.floor(since);
    let tail = |level: Level| levels().find(|other| *other > level).map_or(0, |up| up.floor(until));
    let last = levels().find(|level| known(*level, tail(*level).max(start))).ok_or(not_kept)?;
    let end = last.ceil(until);
    let fits = |level: Level, at: u64| {
        at < end && at.is_multiple_of(level.millis()) && at + level.millis() <= end && known(level, at)
    };
    let mut segments: Vec<Segment> = Vec::new();
    let mut at = start;
    // A turn for each segment, never for each bucket: whoever asks says how many buckets there are.
    while at < end {
        let level = levels().rfind(|level| fits(*level, at)).ok_or(not_kept)?;
        let whole = at + (end - at) / level.millis() * level.millis();
        let longer = levels().filter(|other| *other > level);
        let begins = |other: Level| {
            let known = if other == Level::Day { 0 } else { horizon.of(other) };
            other.ceil(known.max(at + 1))
        };
        let next = longer.map(|other| (other, begins(other))).filter(|(other, from)| fits(*other, *from));
        let to = next.map(|(_, from)| from).min().unwrap_or(whole);
        segments.push(Segment { level, from: at, to });
        at = to;
    }
    Ok(Plan { since: start, until: end, segments })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = Level::Hour.millis();
    const DAY: u64 = Level::Day.millis();

    fn lengths(plan: &Plan) -> Vec<(Level, u64)> {
        plan.segments.iter().map(|part| (part.level, (part.to - part.from) / part.level.millis())).collect()
    }

    #[test]
    fn coarse_in_the_middle_and_fine_at_the_ends() {
        let all = Horizon::default();
        let whole = plan(DAY - 61_000, 3 * DAY + 2 * HOUR + 1, Level::Day, all).unwrap();
        let expected = [(Level::Minute, 2), (Level::Day, 2), (Level::Hour, 2), (Level::Minute, 1)];
        assert_eq!(lengths(&whole), expected);
        assert_eq!((whole.since, whole.until), (DAY - 120_000, 3 * DAY + 2 * HOUR + 60_000));
        let hours = plan(DAY, 3 * DAY, Level::Hour, all).unwrap();
        assert_eq!(lengths(&hours), [(Level::Hour, 48)]);
        assert_eq!(lengths(&plan(DAY, DAY, Level::Day, all).unwrap()), []);
        assert_eq!(lengths(&plan(DAY + 5, DAY + 9, Level::Day, all).unwrap()), [(Level::Minute, 1)]);
    }

    #[test]
    fn what_is_no_longer_kept_so_finely_is_rounded_outwards_or_refused() {
        let horizon = Horizon { minutes: 9 * DAY, hours: 5 * DAY, days: 0 };
        let old = plan(6 * DAY + 61_000, 6 * DAY + HOUR + 1, Level::Day, horizon).unwrap();
        assert_eq!((old.since, old.until), (6 * DAY, 6 * DAY + 2 * HOUR));
        let older = plan(2 * DAY + 61_000, 10 * DAY + 60_000, Level::Day, horizon).unwrap();
        assert_eq!((older.since, older.until), (2 * DAY, 10 * DAY + 60_000));
        assert_eq!(lengths(&older), [(Level::Day, 8), (Level::Minute, 1)]);
        let refused = plan(4 * DAY, 10 * DAY, Level::Hour, horizon);
        assert_eq!(refused, Err(NotKept { level: Level::Hour, from: 5 * DAY }));
        plan(9 * DAY, 10 * DAY, Level::Minute, horizon).unwrap();
    }

    /// Bucket by bucket up to there it would have no end.
    #[test]
    fn the_end_of_time_is_planned_at_once() {
        let horizon = Horizon { minutes: 9 * DAY + 1, hours: 5 * DAY, days: 0 };
        for coarsest in Level::ALL {
            let whole = plan(10 * DAY, u64::MAX, coarsest, horizon).unwrap();
            assert_eq!((whole.since, whole.until, whole.segments.len()), (10 * DAY, END, 1));
            let nothing = plan(u64::MAX, u64::MAX, coarsest, horizon).unwrap();
            assert_eq!((nothing.since, nothing.segments), (END, Vec::new()));
        }
        let all =
            plan(0, u64::MAX, Level::Day, Horizon { hours: u64::MAX, minutes: u64::MAX, days: 0 }).unwrap();
        assert_eq!(all.segments, [Segment { level: Level::Day, from: 0, to: END }]);
    }

    proptest! {
        #[test]
        fn a_plan_covers_what_was_asked_once_and_reads_only_what_is_whole(
            since in 0..40 * DAY, length in 0..20 * DAY, coarsest in 0..3_usize, hours in 0..40 * DAY, minutes in 0..20 * DAY,
        ) {
            let (coarsest, until) = (Level::ALL[coarsest], since + length);
            let horizon = Horizon { minutes: hours + minutes, hours, days: 0 };
            let Ok(plan) = plan(since, until, coarsest, horizon) else { return Ok(()) };
            prop_assert!(plan.since <= since && until <= plan.until);
            prop_assert!(since - plan.since < DAY && plan.until - until < DAY);
            prop_assert!(plan.segments.windows(2).all(|two| two[0].level != two[1].level));
            let mut at = plan.since;
            for part in &plan.segments {
                prop_assert!(part.from == at && part.to > at && part.level <= coarsest);
                prop_assert!(part.level == Level::Day || horizon.of(part.level) <= part.from);
                prop_assert!(part.from % part.level.millis() == 0 && part.to % part.level.millis() == 0);
                at = part.to;
            }
            prop_assert_eq!(at, plan.until.max(plan.since));
            // A day is at most 2 x 59 minutes, 2 x 23 hours and days.
            prop_assert!(coarsest != Level::Day || plan.segments.len() <= 5);
        }
    }
}
