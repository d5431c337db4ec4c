//! What a node signs to show that it has its key still. Nothing is kept of a challenge: it says itself for whom and when it was
//! made, under a key that all control planes of a cluster make of what they share.

use crate::resource::Refusal;

/// Seconds for which one is good.
const GOOD_FOR: u64 = 60;
/// What a node signs begins so.
const RENEWAL: &[u8] = b"keyway renew 1\0";
const TIME: usize = 8;
const RANDOM: usize = 16;

/// Makes and knows challenges.
pub(super) struct Challenges {
    key: [u8; 32],
}

// === impl Challenges ===

impl Challenges {
    /// Of who shares this secret.
    pub(super) fn of(secret: &str) -> Self {
        Self { key: blake3::derive_key("keyway 2026-11 challenges of nodes", secret.as_bytes()) }
    }

    /// One for that node. `now`: seconds since 1970.
    ///
    /// # Errors
    /// Without randomness.
    pub(super) fn make(&self, node: &str, now: u64) -> Result<Vec<u8>, Refusal> {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random).map_err(|_| Refusal::Internal("the system gives no randomness"))?;
        let head = [&now.to_be_bytes()[..], &random].concat();
        Ok([&head[..], self.seal(&head, node).as_bytes()].concat())
    }

    /// Whether it was made here for that node, and lately.
    pub(super) fn knows(&self, challenge: &[u8], node: &str, now: u64) -> bool {
        let Some((head, seal)) = challenge.split_at_checked(TIME + RANDOM) else { return false };
        let made = head.first_chunk().map_or(0, |time| u64::from_be_bytes(*time));
        let Ok(seal) = <[u8; 32]>::try_from(seal) else { return false };
        // Equality of BLAKE3 hashes takes constant time.
        now.abs_diff(made) <= GOOD_FOR && self.seal(head, node) == seal
    }

    fn seal(&self, head: &[u8], node: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.key, &[head, node.as_bytes()].concat())
    }
}

/// What a node signs of it.
pub(super) fn signed(challenge: &[u8]) -> Vec<u8> {
    [RENEWAL, challenge].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_for_one_node_for_a_minute_and_not_when_altered() {
        let challenges = Challenges::of("one");
        let one = challenges.make("a", 1_000).unwrap();
        assert!(challenges.knows(&one, "a", 1_000) && challenges.knows(&one, "a", 1_060));
        assert!(!challenges.knows(&one, "a", 1_061) && !challenges.knows(&one, "b", 1_000));
        assert!(Challenges::of("one").knows(&one, "a", 1_000), "another control plane");
        assert!(!Challenges::of("other").knows(&one, "a", 1_000));
        for at in 0..one.len() {
            let mut altered = one.clone();
            altered[at] ^= 1;
            assert!(!challenges.knows(&altered, "a", 1_000), "{at}");
            assert!(!challenges.knows(&one[..at], "a", 1_000), "{at}");
        }
        assert_ne!(one, challenges.make("a", 1_000).unwrap());
    }
}
