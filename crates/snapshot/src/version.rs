//! `epoch.counter`: versions only grow; the epoch rises when a backup is restored.

use keyway_proto::snapshot::v1 as wire;
use std::fmt;

/// Which state this is. Ordered: epoch first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Rises only when a backup is restored.
    pub epoch: u64,
    /// Rises with every change.
    pub counter: u64,
}

// === impl Version ===

impl From<wire::Version> for Version {
    fn from(from: wire::Version) -> Self {
        Self { epoch: from.epoch, counter: from.counter }
    }
}

impl From<Version> for wire::Version {
    fn from(from: Version) -> Self {
        Self { epoch: from.epoch, counter: from.counter }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.counter)
    }
}
