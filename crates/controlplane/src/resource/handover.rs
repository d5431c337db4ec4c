//! A client's way from one token to the next: for a while both let it in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens of one client that are valid at one time.
pub(super) const TOKENS: usize = 4;

/// The newest change of a client's token that left the old one valid for a while. All tokens but the first go with its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Handover {
    /// When the new token was made, milliseconds since 1970.
    pub begun: u64,
    /// When the old ones end at the latest, milliseconds since 1970.
    pub until: u64,
    /// They end before, once the new one is used and they were not for so long, milliseconds.
    pub quiet_ms: u64,
    /// How it ended; absent = it has not.
    #[serde(default)]
    pub ended: Option<HandoverEnd>,
}

/// The end of a client's change of its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandoverEnd {
    /// Milliseconds since 1970.
    pub at: u64,
    /// The time was over, and callers had not been seen on the new token alone.
    pub over: bool,
    /// When an old token was last used, milliseconds since 1970; 0 = not since the change began, as far as is known.
    pub last_use_old: u64,
    /// Where the last uses of the old ones came from.
    pub sources: Vec<String>,
}

impl Handover {
    /// Whether old tokens are still valid.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.ended.is_none()
    }
}
