//! The hash of a state: the root of a tree with 256 buckets over (kind, name, hash of the bytes as sent).
//! A bucket depends only on its own resources, so that a change to one client rehashes one bucket.

use keyway_proto::snapshot::v1::Resource;
use std::fmt;

pub(crate) const BUCKETS: usize = 256;

/// Hash of a resource or of a bucket.
pub(crate) type Leaf = [u8; 32];

/// Root over every resource of a state.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateHash(pub [u8; 32]);

/// The root for these resources, in whatever order they come.
#[must_use]
pub fn state_hash(resources: &[Resource]) -> StateHash {
    let mut buckets: Vec<Vec<Leaf>> = vec![Vec::new(); BUCKETS];
    for resource in resources {
        let place = bucket_of(resource.kind, &resource.name);
        if let Some(bucket) = buckets.get_mut(usize::from(place)) {
            bucket.push(leaf(resource));
        }
    }
    root(buckets.iter_mut().map(|leaves| bucket_hash(leaves)))
}

/// The root over the hashes of all buckets, in their order.
pub(crate) fn root(buckets: impl Iterator<Item = Leaf>) -> StateHash {
    let mut root = blake3::Hasher::new();
    for bucket in buckets {
        root.update(&bucket);
    }
    StateHash(*root.finalize().as_bytes())
}

/// Of one bucket with these leaves, in whatever order.
pub(crate) fn bucket_hash(leaves: &mut [Leaf]) -> Leaf {
    leaves.sort_unstable();
    let mut bucket = blake3::Hasher::new();
    for leaf in leaves {
        bucket.update(leaf);
    }
    *bucket.finalize().as_bytes()
}

/// Of one resource.
pub(crate) fn leaf(resource: &Resource) -> Leaf {
    let mut leaf = blake3::Hasher::new();
    leaf.update(&resource.kind.to_be_bytes());
    leaf.update(&(resource.name.len() as u64).to_be_bytes());
    leaf.update(resource.name.as_bytes());
    leaf.update(blake3::hash(&resource.body).as_bytes());
    *leaf.finalize().as_bytes()
}

/// By name and kind alone: a changed resource stays in its bucket.
pub(crate) fn bucket_of(kind: i32, name: &str) -> u8 {
    let mut place = blake3::Hasher::new();
    place.update(&kind.to_be_bytes());
    place.update(name.as_bytes());
    place.finalize().as_bytes().first().copied().unwrap_or(0)
}

// === impl StateHash ===

impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, body: &'static [u8]) -> Resource {
        Resource {
            kind: 5,
            name: name.to_owned(),
            body: bytes::Bytes::from_static(body),
            ..Resource::default()
        }
    }

    #[test]
    fn order_does_not_matter_and_every_part_does() {
        let (a, b) = (resource("a", b"1"), resource("b", b"2"));
        let both = state_hash(&[a.clone(), b.clone()]);
        assert_eq!(both, state_hash(&[b.clone(), a.clone()]));
        assert_ne!(both, state_hash(std::slice::from_ref(&a)));
        assert_ne!(both, state_hash(&[resource("a", b"2"), b.clone()]));
        assert_ne!(both, state_hash(&[resource("c", b"1"), b.clone()]));
        assert_ne!(both, state_hash(&[Resource { kind: 4, ..a }, b]));
    }
}
