//! When clients' old tokens were used last: it outlives the row of the replica that counted it.

use keyway_proto::fleet::v1::TokenUse;
use std::{collections::BTreeMap, sync::Arc};

/// Clients that are remembered; whose use is the longest ago is forgotten first.
const CLIENTS: usize = 16_384;

/// By client, over all replicas that ever beat here. Shared, because every [`super::Evidence`] carries it.
#[derive(Debug, Clone, Default)]
pub(crate) struct OldUses(Arc<BTreeMap<String, u64>>);

// === impl OldUses ===

impl OldUses {
    /// When an old token of that client was used last, milliseconds since 1970; 0 = never.
    pub(crate) fn last(&self, client: &str) -> u64 {
        self.0.get(client).copied().unwrap_or(0)
    }

    /// What a replica counted until now; a replica whose clock is ahead used nothing later than now.
    pub(crate) fn take(&mut self, tokens: &[TokenUse], now: u64) {
        for one in tokens.iter().filter(|one| one.place > 0 && one.requests > 0) {
            let last = one.last_use_unix_millis.min(now);
            if last > self.last(&one.client) {
                Arc::make_mut(&mut self.0).insert(one.client.clone(), last);
            }
        }
        while self.0.len() > CLIENTS {
            let oldest = self.0.iter().min_by_key(|(_, last)| **last).map(|(client, _)| client.clone());
            oldest.map(|client| Arc::make_mut(&mut self.0).remove(&client));
        }
    }
}
