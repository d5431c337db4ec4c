//! One call, after its token was found good and its body read: what a route's function sees.

use super::{
    Api,
    admission::{Identity, owned},
    answer::{Answer, Fault},
    route::Route,
};
use crate::{
    Outcome, Plane,
    plane::unix_millis,
    resource::{Asked, Author, Kind, Proposal, Refusal, Way, unused},
    store::Batch,
};
use bytes::Bytes;
use keyway_config::Problem;
use keyway_telemetry::Span;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Who changes by single calls, as a document's origin says.
const BY_API: &str = "api";

/// One call.
pub(crate) struct Call {
    pub(super) api: Arc<Api>,
    pub(super) who: Identity,
    /// Names of the path, percent-decoded.
    pub(super) path: BTreeMap<String, String>,
    pub(super) query: BTreeMap<String, String>,
    /// The version that the caller last saw of what it changes.
    pub(super) if_match: Option<u64>,
    pub(super) body: Bytes,
    pub(super) route: &'static Route,
    /// Of a change that came with an idempotency key.
    pub(super) asked: Option<Asked>,
    /// Of a change: its span, that more may hang below or be said of.
    pub(super) span: Span,
}

// === impl Call ===

impl fmt::Debug for Call {
    /// Without the body, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({:?}, {} bytes)", self.path, self.body.len())
    }
}

impl Call {
    pub(super) fn plane(&self) -> &Plane {
        &self.api.plane
    }

    /// A name of the path; the route table has it, or the route's own test fails.
    pub(super) fn param(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    pub(super) fn name(&self) -> &str {
        self.param("name")
    }

    /// The body as JSON, without a secret in a place where it would be shown.
    pub(super) fn value(&self) -> Result<Value, Fault> {
        self.value_below("")
    }

    /// The body as a type of the file; faults name fields as the file does, below `prefix`.
    pub(super) fn spec<T: DeserializeOwned>(&self, prefix: &str) -> Result<T, Fault> {
        Ok(read(&self.value_below(prefix)?, prefix)?)
    }

    fn value_below(&self, prefix: &str) -> Result<Value, Fault> {
        let value = serde_json::from_slice(&self.body)
            .map_err(|error| Fault::malformed(format!("the body is no JSON: {error}")))?;
        match keyway_config::plain_secret(&value) {
            None => Ok(value),
            Some((field, pattern)) => {
                // A whole file's fields are named as in the file.
                let field = field.strip_prefix("file.").unwrap_or(&field);
                Err(Fault::secret(below(prefix, field), pattern))
            }
        }
    }

    /// Makes a change by hand. With `if-match` only if what is named is at that version.
    pub(super) async fn change(
        &self,
        kind: Kind,
        name: &str,
        propose: impl FnOnce(&mut Proposal<'_>) -> Result<(), Refusal>,
    ) -> Result<Outcome, Fault> {
        let (if_match, who, owner) = (self.if_match, &self.who, self.route.owner);
        let checked = |proposal: &mut Proposal<'_>| {
            // As the route was entered, but it may belong to another team by now.
            owned(who, owner, proposal.state, name)?;
            let found = proposal.state.get(kind, name).map_or(0, |held| held.version);
            if if_match.is_some_and(|expected| expected != found) {
                return Err(Refusal::Conflict { kind, name: name.to_owned(), found });
            }
            propose(proposal)
        };
        let author = self.author(&format!("{}/{name}", kind.word()));
        Ok(self.plane().change(&author, checked).await?)
    }

    /// Who calls, for the audit log.
    pub(super) fn author(&self, subject: &str) -> Author {
        Author {
            by: Way::Hand,
            origin: BY_API.to_owned(),
            actor: self.who.name.clone(),
            action: self.route.action.to_owned(),
            subject: subject.to_owned(),
            trace: self.span.traceparent(),
            asked: self.asked.clone(),
        }
    }

    /// Writes into the audit log what is about to be done and changes no document. Not written, it is not done.
    pub(super) async fn record(&self, subject: &str) -> Result<(), Fault> {
        let entry = self.author(subject).entry(unix_millis());
        let written = self.plane().store().commit(Batch { writes: Vec::new(), entry }).await;
        written.map(drop).map_err(|error| Refusal::from(error).into())
    }

    /// Deletes one document.
    pub(super) async fn delete(&self, kind: Kind) -> Result<Answer, Fault> {
        let name = self.name();
        let deletion = |proposal: &mut Proposal<'_>| {
            unused(proposal.state, kind, name)?;
            proposal.delete(kind, name)
        };
        let outcome = self.change(kind, name, deletion).await?;
        Answer::json(&super::view::Done::from(&outcome))
    }
}

/// A value as a type of the file.
pub(super) fn read<T: DeserializeOwned>(value: &Value, prefix: &str) -> Result<T, Refusal> {
    keyway_config::read_json(value).map_err(|problems| {
        let at = |problem: Problem| Problem { field: below(prefix, &problem.field), ..problem };
        Refusal::Invalid(problems.into_iter().map(at).collect())
    })
}

fn below(prefix: &str, field: &str) -> String {
    let dot = if prefix.is_empty() || field.is_empty() { "" } else { "." };
    format!("{prefix}{dot}{field}")
}
