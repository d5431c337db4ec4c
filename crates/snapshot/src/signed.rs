//! What a signature of the control plane under a state stands for.

use crate::{StateHash, Version};

/// Nothing else that a cluster signs begins like this.
const DOMAIN: &[u8] = b"keyway state\0";

/// The bytes that are signed: whose state it is, which, what it holds, and how it is to be read.
#[must_use]
pub fn signed(cluster: &str, version: Version, hash: StateHash, schema: u32) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    bytes.extend_from_slice(&(cluster.len() as u64).to_be_bytes());
    bytes.extend_from_slice(cluster.as_bytes());
    bytes.extend_from_slice(&version.epoch.to_be_bytes());
    bytes.extend_from_slice(&version.counter.to_be_bytes());
    bytes.extend_from_slice(&hash.0);
    bytes.extend_from_slice(&schema.to_be_bytes());
    bytes
}
