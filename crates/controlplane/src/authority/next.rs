//! What is to be done about the roots next. Pure: documents and the clock come in. It is all in the document, so that after
//! any interruption it goes on from there.

use super::issue::ROOT_LIFE;
use crate::resource::{AuthorityDocument, NodeDocument, RootDocument};

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is none yet, or the one that issues has reached half of its life: another takes over.
    Make,
    /// Nobody shows a certificate under this one any more: it is trusted no longer, and its key is erased.
    Drop(u32),
}

/// What is due at `now`, seconds since 1970.
pub(crate) fn next<'a>(
    authority: Option<&AuthorityDocument>,
    nodes: impl Iterator<Item = &'a NodeDocument> + Clone,
    now: u64,
) -> Option<Step> {
    let roots = authority.map(|authority| authority.roots.as_slice()).unwrap_or_default();
    let Some(newest) = roots.last() else { return Some(Step::Make) };
    let over = |root: &&RootDocument| {
        let waits = |node: &NodeDocument| !node.evicted && node.root == root.generation && node.expires > now;
        root.drop_at.is_some_and(|at| at <= now) && !nodes.clone().any(waits)
    };
    if let Some(old) = roots.iter().find(over) {
        return Some(Step::Drop(old.generation));
    }
    // One rotation at a time.
    let due = now >= newest.made_at.saturating_add(ROOT_LIFE / 2) && roots.len() == 1;
    due.then_some(Step::Make)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(generation: u32, made_at: u64, drop_at: Option<u64>) -> RootDocument {
        let (certificate, cross) = (String::new(), None);
        RootDocument { generation, certificate, cross, made_at, expires: made_at + ROOT_LIFE, drop_at }
    }

    fn node(root: u32, expires: u64, evicted: bool) -> NodeDocument {
        let text = String::new;
        NodeDocument { key: text(), host: text(), token: text(), root, expires, evicted }
    }

    #[test]
    fn each_step_at_its_time() {
        let of = |roots: Vec<RootDocument>, nodes: &[NodeDocument], now| {
            next(Some(&AuthorityDocument { roots }), nodes.iter(), now)
        };
        assert_eq!(next(None, [].iter(), 0), Some(Step::Make));
        assert_eq!(of(vec![], &[], 0), Some(Step::Make));
        assert_eq!(of(vec![root(1, 100, None)], &[], 100 + ROOT_LIFE / 2 - 1), None);
        assert_eq!(of(vec![root(1, 100, None)], &[], 100 + ROOT_LIFE / 2), Some(Step::Make));
        let both = || vec![root(1, 0, Some(500)), root(2, 100, None)];
        assert_eq!(of(both(), &[], 499), None);
        assert_eq!(of(both(), &[], 500), Some(Step::Drop(1)));
        assert_eq!(of(both(), &[node(1, 501, false)], 500), None, "it still shows a certificate under it");
        assert_eq!(of(both(), &[node(1, 501, true), node(2, 900, false)], 500), Some(Step::Drop(1)));
        assert_eq!(of(both(), &[node(1, 501, false)], 501), Some(Step::Drop(1)), "that has expired");
        let due = 100 + ROOT_LIFE;
        assert_eq!(of(vec![root(1, 0, Some(due + 1)), root(2, 100, None)], &[], due), None);
    }
}
