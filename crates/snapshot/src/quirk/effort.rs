//! How hard a model tries, and which of these words it knows.

use std::fmt;

/// How hard the model tries, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// No reasoning.
    None,
    /// Next to none.
    Minimal,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Above high.
    Xhigh,
    /// All it can.
    Max,
}

/// Efforts that a model knows. Empty = not said, so that each is taken to be known.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Efforts(u8);

// === impl Effort ===

impl Effort {
    /// Every effort, in order.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max];

    /// As most dialects write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The effort of that word, in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| word.eq_ignore_ascii_case(effort.as_str()))
    }
}

// === impl Efforts ===

impl Efforts {
    /// True where nothing is said of them.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it is said that this one is known.
    #[must_use]
    pub const fn has(self, effort: Effort) -> bool {
        self.0 & (1 << effort as u8) != 0
    }

    /// The known effort that comes nearest, of two the lower. One that reasons never becomes one that does not, but
    /// where a model knows no other.
    #[must_use]
    pub fn nearest(self, wanted: Effort) -> Effort {
        if self.is_empty() || self.has(wanted) {
            return wanted;
        }
        let known = Effort::ALL.into_iter().filter(|effort| self.has(*effort));
        let far = |effort: &Effort| (*effort == Effort::None, (*effort as u8).abs_diff(wanted as u8));
        known.min_by_key(far).unwrap_or(wanted)
    }
}

impl FromIterator<Effort> for Efforts {
    fn from_iter<I: IntoIterator<Item = Effort>>(efforts: I) -> Self {
        Self(efforts.into_iter().fold(0, |all, effort| all | 1 << effort as u8))
    }
}

impl fmt::Display for Efforts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Effort::ALL.into_iter().filter(|effort| self.has(*effort));
        f.write_str(&known.map(Effort::as_str).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Debug for Efforts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Efforts({self})")
    }
}
