//! Certificates: those of nodes that were not renewed in time, roots that end, and who still needs the root before.

use super::{Finding, or_ok};
use crate::resource::{AuthorityDocument, NodeDocument};

const CERTIFICATES: &str = "certificates";
/// A quarter of its life is left: by then it should have been renewed long since.
const LATE: u64 = 4;

/// `life`: of a node's certificate; it and `now` are seconds.
pub(crate) fn certificates<'a>(
    authority: Option<&AuthorityDocument>,
    nodes: impl Iterator<Item = (&'a str, &'a NodeDocument)> + Clone,
    (life, now): (u64, u64),
) -> Vec<Finding> {
    let roots = authority.map(|all| all.roots.as_slice()).unwrap_or_default();
    let of_nodes = nodes.clone().filter(|(_, node)| !node.evicted).filter_map(|(name, node)| {
        let what_to_do =
            format!("look at its log, or shut it out if it is gone for good: keyway fleet evict {name}");
        let left = node.expires.saturating_sub(now);
        match left {
            0 => {
                let what = format!("that of the node {name} has expired; it renews it when it comes back");
                Some(Finding::warn(CERTIFICATES, what, what_to_do))
            }
            _ if left <= life / LATE => {
                let what = format!("that of the node {name} ends in {left} s and was not renewed");
                Some(Finding::warn(CERTIFICATES, what, what_to_do))
            }
            _ => None,
        }
    });
    let of_roots = roots.iter().filter_map(|root| {
        let (left, whole) = (root.expires.saturating_sub(now), root.expires.saturating_sub(root.made_at));
        let ends = root.drop_at.is_none() && left <= whole / LATE;
        let what = format!("root {} ends in {} days", root.generation, left / 86_400);
        ends.then(|| Finding::fail(CERTIFICATES, what, "bring another into use: keyway ca rotate"))
    });
    let before = roots.iter().filter(|root| root.drop_at.is_some()).filter_map(|root| {
        let on: Vec<&str> = nodes
            .clone()
            .filter(|(_, node)| node.root == root.generation && !node.evicted && node.expires > now)
            .map(|(name, _)| name)
            .collect();
        let what = format!("root {} is still needed by {}", root.generation, on.join(", "));
        let what_to_do = "nothing, they come to the new one as they renew; keyway ca show says until when";
        (!on.is_empty()).then(|| Finding::warn(CERTIFICATES, what, what_to_do))
    });
    let count = nodes.clone().filter(|(_, node)| !node.evicted).count();
    let found: Vec<Finding> = of_nodes.chain(of_roots).chain(before).collect();
    or_ok(found, CERTIFICATES, || format!("those of {count} node(s) and the root are good"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::Level, resource::RootDocument};

    const YEAR: u64 = 365 * 86_400;

    fn node(root: u32, expires: u64, evicted: bool) -> NodeDocument {
        let text = String::new;
        NodeDocument { key: text(), host: text(), token: text(), root, expires, evicted }
    }

    fn root(generation: u32, expires: u64, drop_at: Option<u64>) -> RootDocument {
        RootDocument { generation, certificate: String::new(), cross: None, made_at: 0, expires, drop_at }
    }

    #[test]
    fn late_expired_and_old_are_told_apart() {
        let of = |roots: Vec<RootDocument>, nodes: &[(&'static str, NodeDocument)]| {
            let nodes = nodes.iter().map(|(name, node)| (*name, node));
            let found = certificates(Some(&AuthorityDocument { roots }), nodes, (100, 1_000));
            found.into_iter().map(|one| (one.level, one.what)).collect::<Vec<_>>()
        };
        let good = || vec![root(1, 5 * YEAR, None)];
        assert_eq!(of(good(), &[("a", node(1, 1_026, false)), ("b", node(1, 1, true))])[0].0, Level::Ok);
        let late = of(good(), &[("a", node(1, 1_025, false)), ("b", node(1, 1_000, false))]);
        assert_eq!((late.len(), late[0].0, late[1].0), (2, Level::Warn, Level::Warn));
        assert!(late[0].1.contains("ends in 25 s") && late[1].1.contains("has expired"), "{late:?}");
        let ends = of(vec![root(1, 1_300, None)], &[]);
        assert_eq!((ends.len(), ends[0].0), (1, Level::Fail));
        let both = vec![root(1, 5 * YEAR, Some(1_500)), root(2, 5 * YEAR, None)];
        let old = of(both, &[("a", node(1, 1_090, false)), ("b", node(2, 1_090, false))]);
        assert_eq!(old, [(Level::Warn, "root 1 is still needed by a".to_owned())]);
    }
}
