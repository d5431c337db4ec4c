//! The section `usage`: coarse sums are kept at least as long as fine ones, and there is room for some.

use super::At;
use crate::{Size, Span, Usage};

/// Less has no room for the sums of a day.
const LEAST: u64 = 16 << 20;
/// As when they are left out.
const MINUTES: u64 = 7 * DAY;
const HOURS: u64 = 90 * DAY;
const DAYS: u64 = 1_095 * DAY;
const DAY: u64 = 86_400_000;

pub(super) fn check(at: &mut At<'_>, usage: &Usage) {
    let millis = |span: Option<Span>, default| span.map_or(default, Span::millis);
    let (minutes, hours) = (millis(usage.minutes, MINUTES), millis(usage.hours, HOURS));
    if hours < minutes {
        at.field("hours").report("are kept at least as long as `minutes`");
    }
    if millis(usage.days, DAYS) < hours {
        at.field("days").report("are kept at least as long as `hours`");
    }
    if usage.max_size.is_some_and(|size| size.bytes() < LEAST) {
        at.field("max_size").report(format!("is at least {}", Size::from_bytes(LEAST)));
    }
}
