//! Keys that rest: what each replica learnt of them by the answers of their provider.

use super::Tried;
use crate::fleet::{Evidence, Fleet, keyless_id};
use keyway_snapshot::{CredentialState, Snapshot};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// One key version that is not taken for a model now, or only last.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Rests {
    /// `provider/key/version`; of a provider that wants no key its name alone.
    key: String,
    model: String,
    why: Why,
    /// Where it rests.
    replicas: Vec<String>,
    /// Replicas that answer.
    of: usize,
    /// Milliseconds until it is taken again on the last of them, as of what they said last.
    for_millis: u64,
}

/// What the provider answered.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Why {
    /// 401 or 403: the key is not taken at all.
    Refused,
    /// 429, 5xx, or nothing: the key is taken last.
    Failed,
}

/// What rests of the keys of these targets.
pub(super) fn rest(snapshot: &Snapshot, fleet: &Fleet, targets: &mut [Tried]) {
    let replicas: Vec<Evidence> = fleet.evidence().into_iter().filter(|replica| replica.answers).collect();
    for target in targets {
        let keys = snapshot.credentials.get(&*target.provider).into_iter().flatten();
        let active = keys.filter(|key| key.state == CredentialState::Active).map(|key| key.id());
        target.rests = active.filter_map(|key| of_key(key, &target.model, &replicas)).collect();
        // Nobody has its id where the provider has keys.
        let keyless = of_key(keyless_id(&target.provider), &target.model, &replicas);
        target.rests.extend(keyless.map(|rests| Rests { key: target.provider.clone(), ..rests }));
    }
}

fn of_key(id: String, model: &str, replicas: &[Evidence]) -> Option<Rests> {
    let (mut named, mut refused, mut for_millis) = (Vec::new(), false, 0);
    for replica in replicas {
        let rests = replica.uses.get(&id).into_iter().flat_map(|one| &one.rests);
        let mut here = rests.filter(|rest| rest.model.is_empty() || rest.model == model).peekable();
        if here.peek().is_some() {
            named.push(replica.id.clone());
        }
        for rest in here {
            refused |= rest.refused;
            for_millis = for_millis.max(rest.for_millis);
        }
    }
    let why = if refused { Why::Refused } else { Why::Failed };
    let of = replicas.len();
    let rests = Rests { key: id, model: model.to_owned(), why, replicas: named, of, for_millis };
    (!rests.replicas.is_empty()).then_some(rests)
}

impl fmt::Display for Rests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, model, replicas, of, .. } = self;
        let (count, seconds) = (replicas.len(), self.for_millis.div_ceil(1000));
        write!(f, "{key} rests for {model} on {count} of {of} replicas, {seconds} s more at most: ")?;
        f.write_str(match self.why {
            Why::Refused => "its provider refused it (401 or 403)",
            Why::Failed => "its provider failed or asked for patience, so it is taken last",
        })
    }
}
