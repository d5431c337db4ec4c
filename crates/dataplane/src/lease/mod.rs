//! Provider keys as this replica uses them: one `Key` a version, leased per attempt, with what is known of its health.
//!
//! A lease counts up first and reads the key's state again: a key that is being withdrawn in that moment is given back,
//! so that "state changed, then count read as 0" means that nobody uses it any more.

mod health;
mod held;
mod key;
mod keyring;
mod presented;
mod redact;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use health::{Due, Health};
pub(crate) use held::Lease;
pub(crate) use key::{Key, Take, Trouble, word};
pub(crate) use keyring::Keyring;
pub(crate) use presented::{Presented, Ways};
