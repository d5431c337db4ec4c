//! What goes back: JSON, or one error in one shape. No answer is kept by anyone on the way.

use crate::{
    fleet::ProbeFailed,
    resource::{Barred, Kept, Kind, Refusal},
    store::StoreError,
    vault::VaultError,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use keyway_config::Problem;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

const JSON: &str = "application/json";
/// What is wrong with one file, as far as it is told.
const PROBLEMS: usize = 50;

/// A good answer.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// Version of the one resource that it shows.
    pub(super) version: Option<u64>,
    /// In place of the body, of that type; taken by whoever sends it.
    stream: Option<(&'static str, Arc<Mutex<Body>>)>,
}

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(super) status: StatusCode,
    pub(super) error: Box<ErrorBody>,
}

/// What every refusal looks like.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Failed {
    error: ErrorBody,
}

/// What is wrong, in words for programs and for people.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct ErrorBody {
    /// One word, stable: `invalid_config`, `version_conflict`…
    pub(super) code: &'static str,
    /// One line for people.
    pub(super) message: String,
    /// The first field at fault: `providers.openai.base_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
    /// Everything that is wrong, where it is more than one thing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) problems: Vec<Note>,
    /// What was perhaps meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nearest: Vec<String>,
    /// The version that is there, after a conflict; 0 = none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
}

/// One field and what there is to say of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Note {
    /// Path of the field; empty = the whole.
    field: String,
    /// One line.
    message: String,
}

// === impl Answer ===

impl fmt::Debug for Answer {
    /// Without the body, which may show a made token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

impl Answer {
    /// 200 with that value.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Fault> {
        let bytes = serde_json::to_vec(value).map_err(|_| Fault::internal("an answer that is no JSON"))?;
        // It may show a made token: wiped once it is sent and forgotten.
        Ok(Self {
            status: StatusCode::OK,
            body: Bytes::from_owner(Zeroizing::new(bytes)),
            version: None,
            stream: None,
        })
    }

    /// 200 with what comes bit by bit.
    pub(super) fn stream(kind: &'static str, body: Body) -> Self {
        let stream = Some((kind, Arc::new(Mutex::new(body))));
        Self { status: StatusCode::OK, body: Bytes::new(), version: None, stream }
    }

    /// One that was given before; `None` = no answer was ever so.
    pub(super) fn again(status: u16, version: Option<u64>, body: String) -> Option<Self> {
        let (status, body) = (StatusCode::from_u16(status).ok()?, Zeroizing::new(body.into_bytes()));
        Some(Self { status, body: Bytes::from_owner(body), version, stream: None })
    }

    /// For whoever asks again; `None` = it comes bit by bit, or is no text.
    pub(super) fn kept(&self) -> Option<Kept> {
        let body = std::str::from_utf8(&self.body).ok().filter(|_| self.stream.is_none())?;
        Some(Kept::Answered { status: self.status.as_u16(), version: self.version, body: body.to_owned() })
    }

    /// As 201.
    pub(super) fn created(self) -> Self {
        Self { status: StatusCode::CREATED, ..self }
    }

    /// With the version of what it shows.
    pub(super) fn version(self, version: u64) -> Self {
        Self { version: Some(version), ..self }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (kind, body) = match self.stream {
            Some((kind, body)) => (kind, std::mem::take(&mut *body.lock())),
            None => (JSON, self.body.into()),
        };
        let mut response = respond(self.status, kind, body);
        let tag = self.version.and_then(|version| HeaderValue::try_from(format!("\"{version}\"")).ok());
        if let Some(tag) = tag {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

// === impl Fault ===

impl Fault {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let error = ErrorBody {
            code,
            message: message.into(),
            field: None,
            problems: Vec::new(),
            nearest: Vec::new(),
            version: None,
        };
        Self { status, error: Box::new(error) }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "show an operator's token as `authorization: Bearer …`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// Something that looks like a secret where it would be shown. What it is, is not repeated.
    pub(super) fn secret(field: String, pattern: &str) -> Self {
        let message =
            format!("looks like a secret ({pattern}); secrets belong into `api_key`, `secret` or `token`");
        let mut fault = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "secret_in_plain_field", message);
        fault.error.field = Some(field);
        fault
    }

    pub(super) fn not_found(what: &str, name: &str, nearest: Vec<String>) -> Self {
        let mut fault = Self::new(StatusCode::NOT_FOUND, "not_found", format!("no {what} is named `{name}`"));
        let remedy = match listed_by(what) {
            _ if !nearest.is_empty() => format!("; did you mean {}?", nearest.join(" or ")),
            Some(verb) => format!("; see `keyway {verb}`"),
            None => String::new(),
        };
        fault.error.message += &remedy;
        fault.error.nearest = nearest;
        fault
    }

    pub(super) fn internal(message: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    fn vault(error: &VaultError) -> Self {
        let (status, code) = match error {
            VaultError::Store { source, .. } => return Self::store(source),
            VaultError::Sealed(_) => (StatusCode::SERVICE_UNAVAILABLE, "sealed"),
            VaultError::Integrity { .. } | VaultError::Missing { .. } => {
                (StatusCode::CONFLICT, "secret_integrity")
            }
            VaultError::Full { .. } => (StatusCode::INSUFFICIENT_STORAGE, "storage_full"),
            VaultError::TooLarge { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_config"),
            VaultError::TooManyVersions
            | VaultError::StillWraps { .. }
            | VaultError::Permissions { .. }
            | VaultError::Exists { .. }
            | VaultError::Io { .. }
            | VaultError::System => (StatusCode::INTERNAL_SERVER_ERROR, "storage_failed"),
        };
        Self::new(status, code, error.to_string())
    }

    fn store(error: &StoreError) -> Self {
        let (status, code) = match error {
            StoreError::Full => (StatusCode::INSUFFICIENT_STORAGE, "storage_full"),
            StoreError::NotLeader { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not_leader"),
            StoreError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
            StoreError::ReadOnly(_) => (StatusCode::SERVICE_UNAVAILABLE, "storage_read_only"),
            StoreError::Failed(_)
            | StoreError::Damaged(_)
            | StoreError::Locked(_)
            | StoreError::Unusable(_)
            | StoreError::BadBackup(_)
            | StoreError::TooLarge { .. }
            | StoreError::BadBatch { .. }
            | StoreError::Conflict { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "storage_failed"),
        };
        Self::new(status, code, error.to_string())
    }

    fn invalid(problems: &[Problem]) -> Self {
        let first = problems.first();
        let message = first.map(|problem| problem.reason.clone()).unwrap_or_default();
        let mut fault = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_config", message);
        fault.error.field = first.map(|problem| problem.field.clone()).filter(|field| !field.is_empty());
        if problems.len() > 1 {
            fault.error.problems = problems.iter().take(PROBLEMS).map(Note::from).collect();
        }
        fault
    }
}

/// What lists things of that kind.
fn listed_by(what: &str) -> Option<&'static str> {
    let verb = match what {
        "provider" => "provider list",
        "provider of the catalogue" => "provider list --catalog",
        "model" | "alias or known model" => "model list",
        "model of the catalogue" => "model list --catalog",
        "client" => "client list",
        "team" => "team list",
        "key" => "key list",
        "operator" => "operator list",
        "replica" => "fleet list",
        "host" => "fleet hosts",
        "node" => "fleet nodes",
        "join token" => "join-token list",
        "request" => "logs",
        _ => return None,
    };
    Some(verb)
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Invalid(problems) => Self::invalid(&problems),
            Refusal::NotFound { kind, name, nearest } => {
                let what = if kind == Kind::Join { "join token" } else { kind.word() };
                Self::not_found(what, &name, nearest)
            }
            Refusal::Exists { .. } => Self::new(StatusCode::CONFLICT, "already_exists", message),
            Refusal::Conflict { found, .. } => {
                let mut fault = Self::new(StatusCode::CONFLICT, "version_conflict", message);
                fault.error.version = Some(found);
                fault
            }
            Refusal::Forbidden(_) => Self::forbidden(message),
            Refusal::NoKey { name, nearest } => Self::not_found("key", &name, nearest),
            Refusal::Barred { barred, .. } => {
                let (status, code) = match barred {
                    Barred::UnderWay { .. } => (StatusCode::CONFLICT, "rotation_in_progress"),
                    Barred::NoSecret(_) => (StatusCode::UNPROCESSABLE_ENTITY, "missing_secrets"),
                    Barred::NoVersion(_) => (StatusCode::NOT_FOUND, "not_found"),
                    Barred::State(..) | Barred::Nothing => (StatusCode::CONFLICT, "wrong_state"),
                };
                Self::new(status, code, message)
            }
            Refusal::Origin { .. } => Self::new(StatusCode::CONFLICT, "secret_integrity", message),
            Refusal::Vault(error) => Self::vault(&error),
            Refusal::Store(error) => Self::store(&error),
            Refusal::Internal(_) => Self::internal(&message),
        }
    }
}

impl From<ProbeFailed> for Fault {
    fn from(failed: ProbeFailed) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_replica", failed.to_string())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = self.status;
        let body = serde_json::to_vec(&Failed { error: *self.error }).unwrap_or_default();
        let mut response = respond(status, JSON, body.into());
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

// === impl Note ===

impl From<&Problem> for Note {
    fn from(problem: &Problem) -> Self {
        Self { field: problem.field.clone(), message: problem.reason.clone() }
    }
}

fn respond(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}
