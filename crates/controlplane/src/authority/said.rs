//! Bounds what a herd of nodes that are turned away writes: some lines in a while, then how many more there were. Pure: time
//! comes in.

use std::time::{Duration, Instant};

/// Lines in one while.
const LINES: u32 = 20;
const WHILE: Duration = Duration::from_secs(10);

/// What was written lately.
#[derive(Debug, Default)]
pub(crate) struct Said {
    since: Option<Instant>,
    lines: u32,
    unsaid: u64,
}

// === impl Said ===

impl Said {
    /// Whether one more line is written, and how many before it were not.
    pub(crate) fn more(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WHILE) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines >= LINES {
            self.unsaid += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_herd_writes_some_lines_and_is_counted() {
        let (mut said, start) = (Said::default(), Instant::now());
        let lines = (0..1000).filter_map(|_| said.more(start)).count();
        assert_eq!(lines, 20);
        assert_eq!(said.more(start + WHILE / 2), None);
        assert_eq!(said.more(start + WHILE), Some(981));
        assert_eq!(said.more(start + WHILE), Some(0));
    }
}
