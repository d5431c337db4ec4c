//! Who changes something, and what the audit log calls it.

use super::{Asked, Made, Way};
use crate::store::Entry;
use keyway_telemetry::TraceParent;

/// Who makes a change, in which way, and what the audit log calls it.
#[derive(Debug, Clone)]
pub struct Author {
    /// In which way.
    pub by: Way,
    /// The file's name, or what does it: `api`, `keyway up`.
    pub origin: String,
    /// `operator/NAME`, `bootstrap`, `system`.
    pub actor: String,
    /// `apply`, `key.rotate`, `client.disable`…
    pub action: String,
    /// What it is done to; empty = the whole.
    pub subject: String,
    /// Its span, as W3C `traceparent` names it; empty = not traced.
    pub trace: String,
    /// The request that it is made for, if that has an idempotency key: its change is made once.
    pub asked: Option<Asked>,
}

// === impl Author ===

impl Author {
    /// The control plane itself.
    #[must_use]
    pub fn system(action: &str, subject: &str) -> Self {
        let system = "system".to_owned();
        Self {
            by: Way::Hand,
            origin: system.clone(),
            actor: system,
            action: action.to_owned(),
            subject: subject.to_owned(),
            trace: String::new(),
            asked: None,
        }
    }

    /// Where a document came from that is made at that moment, milliseconds since 1970.
    #[must_use]
    pub fn made(&self, at: u64) -> Made {
        Made { by: self.by, origin: self.origin.clone(), at: at / 1000 }
    }

    /// Its line in the audit log at that moment, milliseconds since 1970.
    #[must_use]
    pub fn entry(&self, at: u64) -> Entry {
        Entry {
            at,
            actor: self.actor.clone(),
            action: self.action.clone(),
            subject: self.subject.clone(),
            detail: serde_json::Value::Null,
            state: String::new(),
            trace: TraceParent::parse(&self.trace).map(|span| span.trace_id()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Author;

    #[test]
    fn the_audit_log_names_the_trace_and_no_span() {
        let of =
            |trace: &str| Author { trace: trace.to_owned(), ..Author::system("apply", "") }.entry(0).trace;
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(of(&format!("00-{trace}-b7ad6b7169203331-01")), trace);
        assert_eq!((of(""), of("nonsense")), (String::new(), String::new()));
    }
}
