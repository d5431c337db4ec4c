//! A state on its way in, as a span of the change that made it, and the keys that it brings: the first attempt with
//! one of them is linked to that span, once.

use super::Tracer;
use keyway_proto::fleet::v1::{Begin, Nack};
use keyway_snapshot::{CredentialState, Snapshot, Version};
use keyway_telemetry::{Span, TraceParent};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// New key versions that wait for their first attempt; what is beyond it gets no link.
const NEWS: usize = 1024;

/// From the first chunk to the swap. Without a collector, or of a change that nobody traces, it is nothing.
#[derive(Debug, Default)]
pub(crate) struct Applying(Span);

/// Key versions that no attempt has used yet, with the span that brought them.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Whether there are any: all that an attempt looks at otherwise.
    any: AtomicBool,
    keys: Mutex<HashMap<Box<str>, TraceParent>>,
}

// === impl Applying ===

impl Applying {
    /// A state begins to come.
    pub(crate) fn begin(tracer: Option<&Tracer>, begin: &Begin, replica: &str) -> Self {
        let Some(tracer) = tracer else { return Self::default() };
        let span = tracer.changes().child(&begin.traceparent, "apply");
        span.set("keyway.replica", replica.to_owned());
        span.set("keyway.snapshot", begin.version.map(Version::from).unwrap_or_default().to_string());
        Self(span)
    }

    /// It holds, and is about to be served instead of `before`.
    pub(crate) fn holds(&self, tracer: Option<&Tracer>, before: Option<&Snapshot>, after: &Snapshot) {
        let (Some(tracer), Some(before), true) = (tracer, before, self.0.is_recording()) else { return };
        if let Some(context) = self.0.context() {
            tracer.news().tell(before, after, context);
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

// === impl News ===

impl News {
    /// The span that brought this key, the first time that it is asked for.
    pub(super) fn take(&self, key: &str) -> Option<TraceParent> {
        if !self.any.load(Relaxed) {
            return None;
        }
        let mut keys = self.keys.lock();
        let context = keys.remove(key);
        self.any.store(!keys.is_empty(), Relaxed);
        context
    }

    fn tell(&self, before: &Snapshot, after: &Snapshot, context: TraceParent) {
        let mut keys = self.keys.lock();
        keys.retain(|id, _| is_active(after, id));
        for credential in after.credentials.values().flatten() {
            let id = credential.id();
            let new = credential.state == CredentialState::Active && !is_active(before, &id);
            if new && keys.len() < NEWS {
                keys.insert(id.into(), context);
            }
        }
        self.any.store(!keys.is_empty(), Relaxed);
    }
}

fn is_active(snapshot: &Snapshot, id: &str) -> bool {
    let provider = id.split('/').next().unwrap_or_default();
    let mut of_provider = snapshot.credentials.get(provider).into_iter().flatten();
    of_provider.any(|credential| credential.state == CredentialState::Active && credential.id() == id)
}
