//! What changed in the recent past, by name: enough to tell a replica that was away for a while what is new, and no
//! secret in it. Bounded by changes and by names; beyond it a replica is sent everything.

use keyway_snapshot::{ResourceName, StateHash, Version};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

/// Changes that are remembered.
const CHANGES: usize = 256;
/// Names of resources in all of them.
const NAMES: usize = 65_536;

/// A state that a replica holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Which state.
    pub version: Version,
    /// Root over its resources.
    pub hash: StateHash,
}

/// The states before one, oldest first, each with what changed after it.
#[derive(Debug, Clone, Default)]
pub struct Recent(VecDeque<Arc<Passed>>);

#[derive(Debug)]
struct Passed {
    base: Base,
    names: BTreeSet<ResourceName>,
}

// === impl Recent ===

impl Recent {
    /// The same, and that these changed after `base`.
    pub(super) fn and(&self, base: Base, names: BTreeSet<ResourceName>) -> Self {
        let mut all = self.0.clone();
        all.push_back(Arc::new(Passed { base, names }));
        let mut sum: usize = all.iter().map(|passed| passed.names.len()).sum();
        while all.len() > CHANGES || sum > NAMES {
            sum -= all.pop_front().map_or(sum, |passed| passed.names.len());
        }
        Self(all)
    }

    /// Names of all that changed after `base` until the state with the hash `now`; `None` = not known.
    pub(super) fn since(&self, base: Base, now: StateHash) -> Option<BTreeSet<ResourceName>> {
        if base.hash == now {
            // After a restart of the control plane: another version, and nothing is new.
            return Some(BTreeSet::new());
        }
        let from = self.0.iter().position(|passed| passed.base == base)?;
        Some(self.0.iter().skip(from).flat_map(|passed| &passed.names).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(counter: u64) -> Base {
        let hash = StateHash([u8::try_from(counter % 251).unwrap(); 32]);
        Base { version: Version { epoch: 1, counter }, hash }
    }

    fn names(all: &[&str]) -> BTreeSet<ResourceName> {
        all.iter().map(|name| ResourceName { kind: 5, name: (*name).to_owned() }).collect()
    }

    #[test]
    fn what_is_remembered_is_told_and_bounded() {
        let mut recent = Recent::default();
        assert_eq!(recent.since(base(1), base(1).hash), Some(BTreeSet::new()));
        assert_eq!(recent.since(base(1), base(2).hash), None);
        recent = recent.and(base(1), names(&["a", "b"])).and(base(2), names(&["b", "c"]));
        assert_eq!(recent.since(base(1), base(3).hash), Some(names(&["a", "b", "c"])));
        assert_eq!(recent.since(base(2), base(3).hash), Some(names(&["b", "c"])));
        let other = Base { hash: base(3).hash, ..base(2) };
        assert_eq!(recent.since(other, base(4).hash), None, "the version alone proves nothing");
        for counter in 3..1000 {
            recent = recent.and(base(counter), names(&["d"]));
        }
        assert_eq!(recent.0.len(), CHANGES);
        assert_eq!(recent.since(base(2), base(1000).hash), None);
        let many: Vec<String> = (0..NAMES).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        recent = recent.and(base(1000), names(&many));
        assert_eq!(recent.0.len(), 1);
    }
}
