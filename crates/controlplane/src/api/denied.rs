//! Calls that were turned away from what would have changed something, in the audit log: the first of its kind at once,
//! further ones of the same minute as a count. Bounded, so that nobody fills the log by knocking.

use super::admission::Denial;
use crate::{
    Plane,
    plane::unix_millis,
    store::{Batch, Entry},
};
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::sleep;

/// What the audit log calls it.
pub(super) const DENIED: &str = "denied";
/// Kinds that are told apart in one window; whatever comes beyond is counted as one more.
const KIND_LIMIT: usize = 64;
/// How long further ones are only counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Who was turned away from what, and with which code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct What {
    actor: String,
    action: &'static str,
    code: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Denied {
    /// Not yet written, by kind; empty = no window is open.
    counts: Mutex<BTreeMap<What, u64>>,
}

// === impl Denied ===

impl Denied {
    /// Writes it, or counts it. A log that takes no entry does not let anyone in.
    pub(super) async fn note(self: &Arc<Self>, plane: &Arc<Plane>, action: &'static str, denial: &Denial) {
        let denied = matches!(denial.fault.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if action.is_empty() || !denied {
            return;
        }
        let what = What { actor: denial.actor.clone(), action, code: denial.fault.error.code };
        let Some((what, opens)) = self.count(what) else { return };
        if opens {
            tokio::spawn(Arc::clone(self).close(Arc::clone(plane)));
        }
        write(plane, what, 1).await;
    }

    /// What has to be written now, if anything, and whether this opened a window.
    fn count(&self, mut what: What) -> Option<(What, bool)> {
        let mut counts = self.counts.lock();
        let opens = counts.is_empty();
        if counts.len() >= KIND_LIMIT && !counts.contains_key(&what) {
            what = What { actor: "others".to_owned(), action: "", code: "" };
        }
        match counts.get_mut(&what) {
            Some(count) => {
                *count += 1;
                None
            }
            None => {
                counts.insert(what.clone(), 0);
                Some((what, opens))
            }
        }
    }

    async fn close(self: Arc<Self>, plane: Arc<Plane>) {
        sleep(WINDOW).await;
        let counts = std::mem::take(&mut *self.counts.lock());
        for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            write(&plane, what, count).await;
        }
    }
}

async fn write(plane: &Plane, what: What, count: u64) {
    let entry = Entry {
        at: unix_millis(),
        actor: what.actor,
        action: DENIED.to_owned(),
        subject: String::new(),
        detail: json!({ "action": what.action, "code": what.code, "count": count }),
        trace: String::new(),
        state: String::new(),
    };
    if let Err(error) = plane.store().commit(Batch { writes: Vec::new(), entry }).await {
        tracing::warn!(%error, "a denied call could not be written into the audit log");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(actor: usize) -> What {
        What { actor: actor.to_string(), action: "client.create", code: "forbidden" }
    }

    #[test]
    fn the_first_of_a_kind_is_written_and_the_rest_counted_within_bounds() {
        let denied = Denied::default();
        assert_eq!(denied.count(what(0)), Some((what(0), true)));
        assert_eq!(denied.count(what(0)), None);
        assert_eq!(denied.count(what(1)), Some((what(1), false)));
        let written = (0..10 * KIND_LIMIT).filter_map(|actor| denied.count(what(actor))).count();
        assert_eq!(written, KIND_LIMIT - 2 + 1);
        assert_eq!(denied.counts.lock().len(), KIND_LIMIT + 1);
        assert_eq!(denied.counts.lock()[&what(0)], 2);
    }
}
