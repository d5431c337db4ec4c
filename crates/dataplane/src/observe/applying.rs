//! A state on its way in, as a span of the change that made it, and the keys that it brings: the first attempt with
//! one of them is linked to that span, once.

use super::Tracer;
use keyway_proto::fleet::v1::{Begin, Nack};
use keyway_snapshot::{CredentialState, Snapshot, Version};
use keyway_telemetry::{Span, TraceParent};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// New key versions that wait for their first attempt; what is beyond it gets no link.
const WAITING: usize = 1024;

/// From the first chunk to the swap. Without a collector, or of a change that nobody traces, it is nothing.
#[derive(Debug, Default)]
pub(crate) struct Applying(Span);

/// Makes those spans, and keeps which key versions no attempt has used yet.
#[derive(Debug)]
pub(super) struct Changes {
    spans: keyway_telemetry::Tracer,
    /// Whether there are such keys: all that an attempt looks at otherwise.
    any: AtomicBool,
    keys: Mutex<HashMap<Box<str>, TraceParent>>,
}

// === impl Applying ===

impl Applying {
    /// A state begins to come.
    pub(crate) fn begin(tracer: Option<&Tracer>, begin: &Begin, replica: &str) -> Self {
        let Some(tracer) = tracer else { return Self::default() };
        let span = tracer.changes().spans.child(&begin.traceparent, "apply");
        span.set("keyway.replica", replica.to_owned());
        span.set("keyway.snapshot", begin.version.map(Version::from).unwrap_or_default().to_string());
        Self(span)
    }

    /// It holds, and is about to be served instead of `before`.
    pub(crate) fn holds(&self, tracer: Option<&Tracer>, before: Option<&Snapshot>, after: &Snapshot) {
        let (Some(tracer), Some(before), true) = (tracer, before, self.0.is_recording()) else { return };
        if let Some(change) = self.0.context() {
            tracer.changes().tell(&active(before), active(after), change);
        }
    }

    /// It is served.
    pub(crate) fn applied(self) {
        self.0.set("keyway.result", "ack");
        self.0.end();
    }

    /// It was refused.
    pub(crate) fn refused(self, nack: &Nack) {
        self.0.set("keyway.result", "nack");
        self.0.set("keyway.field", nack.field.clone());
        self.0.fail("nack");
        self.0.end();
    }
}

// === impl Changes ===

impl Changes {
    pub(super) fn new(spans: keyway_telemetry::Tracer) -> Self {
        Self { spans, any: AtomicBool::new(false), keys: Mutex::default() }
    }

    /// The span that brought this key, the first time that it is asked for.
    pub(super) fn brought(&self, key: &str) -> Option<TraceParent> {
        if !self.any.load(Relaxed) {
            return None;
        }
        let mut keys = self.keys.lock();
        let change = keys.remove(key);
        self.any.store(!keys.is_empty(), Relaxed);
        change
    }

    fn tell(&self, before: &HashSet<String>, after: HashSet<String>, change: TraceParent) {
        let mut keys = self.keys.lock();
        keys.retain(|id, _| after.contains(&**id));
        for id in after.into_iter().filter(|id| !before.contains(id)) {
            if keys.len() < WAITING {
                keys.insert(id.into(), change);
            }
        }
        self.any.store(!keys.is_empty(), Relaxed);
    }
}

/// Ids of the key versions that new requests may take.
fn active(snapshot: &Snapshot) -> HashSet<String> {
    let all = snapshot.credentials.values().flatten();
    all.filter(|one| one.state == CredentialState::Active).map(|one| one.id()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> HashSet<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    #[test]
    fn a_new_key_is_told_once_and_forgotten_when_it_goes() {
        let changes = Changes::new(keyway_telemetry::Tracer::default());
        let (first, second) = (TraceParent::random(), TraceParent::random());
        assert_eq!(changes.brought("p/a/1"), None);
        changes.tell(&ids(&["p/a/1"]), ids(&["p/a/1", "p/a/2", "p/b/1"]), first);
        assert_eq!(changes.brought("p/a/1"), None);
        assert_eq!(changes.brought("p/a/2"), Some(first));
        assert_eq!(changes.brought("p/a/2"), None);
        changes.tell(&ids(&["p/a/2", "p/b/1"]), ids(&["p/a/2", "p/b/2"]), second);
        assert_eq!((changes.brought("p/b/1"), changes.brought("p/b/2")), (None, Some(second)));
        assert!(!changes.any.load(Relaxed), "attempts look no further");
    }

    #[test]
    fn what_waits_is_bounded() {
        let changes = Changes::new(keyway_telemetry::Tracer::default());
        let many: HashSet<String> = (0..2 * WAITING).map(|n| format!("p/k{n}/1")).collect();
        changes.tell(&HashSet::new(), many, TraceParent::random());
        assert_eq!(changes.keys.lock().len(), WAITING);
    }
}
