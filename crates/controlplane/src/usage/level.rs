//! The three grains of time that sums are kept in.

/// Minutes, hours or days since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Level {
    Minute,
    Hour,
    Day,
}

// === impl Level ===

impl Level {
    /// Finest first.
    pub(crate) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// How long one bucket is.
    pub(crate) const fn millis(self) -> u64 {
        match self {
            Self::Minute => keyway_metering::MINUTE_MILLIS,
            Self::Hour => 60 * keyway_metering::MINUTE_MILLIS,
            Self::Day => 24 * 60 * keyway_metering::MINUTE_MILLIS,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Where its sums are.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Minute => "minutes",
            Self::Hour => "hours",
            Self::Day => "days",
        }
    }

    /// The start of the bucket that holds this moment, in milliseconds.
    pub(crate) fn floor(self, millis: u64) -> u64 {
        millis - millis % self.millis()
    }

    /// The first start of a bucket that is not before this moment.
    pub(super) fn ceil(self, millis: u64) -> u64 {
        millis.div_ceil(self.millis()).saturating_mul(self.millis())
    }
}
