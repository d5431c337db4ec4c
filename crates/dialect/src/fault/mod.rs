//! A refusal or failure as callers see it: one value, written in the caller's dialect so that its SDK raises its usual
//! exception. Texts are ours; nothing that a provider wrote comes in here.

mod encode;

#[cfg(test)]
mod tests;

pub use encode::{encode, encode_event, header};

/// Attempts that a fault lists.
pub const ATTEMPTS_LIMIT: usize = 16;

/// What went wrong, by the contract's table of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// No token, or a wrong one.
    InvalidApiKey,
    /// The client is disabled or has expired.
    ClientDisabled,
    /// The client may not use this model.
    ModelNotAllowed,
    /// No such model.
    ModelNotFound,
    /// A malformed body or a wrong field.
    InvalidRequest,
    /// The conversation is longer than the target's window.
    ContextLengthExceeded,
    /// A target's filter refused the content.
    ContentFilter,
    /// A body over the limit.
    RequestTooLarge,
    /// A body that did not come in time.
    RequestTimeout,
    /// A limit of the client.
    RateLimitExceeded,
    /// A budget is spent.
    BudgetExceeded,
    /// A policy refused the content.
    PolicyViolation,
    /// Something that this gateway or the target does not do.
    Unsupported,
    /// Every target failed.
    UpstreamError,
    /// A target was too slow.
    UpstreamTimeout,
    /// Shedding load, or draining.
    Overloaded,
    /// A fault of the gateway itself.
    InternalError,
}

/// A refusal or failure.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Status of the reply; `Code::status` is the usual one.
    pub status: u16,
    /// The contract's code.
    pub code: Code,
    /// The finer cause, such as `first_token_timeout`.
    pub reason: Option<&'static str>,
    /// One line of what, why and what to do.
    pub message: String,
    /// The field concerned, as a JSON path.
    pub param: Option<String>,
    /// Our id of the request.
    pub request_id: String,
    /// Value of `x-should-retry`, where SDKs must be told.
    pub should_retry: Option<bool>,
    /// Seconds for `retry-after`.
    pub retry_after: Option<u32>,
    /// What was tried, in order; the first `ATTEMPTS_LIMIT` are shown.
    pub attempts: Vec<Attempted>,
}

/// One attempt on a target.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attempted {
    /// `provider/model`.
    pub target: String,
    /// The target's status; none if there was no reply.
    pub status: Option<u16>,
    /// Why it did not do.
    pub reason: &'static str,
}

// === impl Fault ===

impl Fault {
    /// A fault with the usual status of its code and nothing else said.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code,
            reason: None,
            message: message.into(),
            param: None,
            request_id: String::new(),
            should_retry: None,
            retry_after: None,
            attempts: Vec::new(),
        }
    }
}

// === impl Code ===

impl Code {
    /// Every code.
    pub const ALL: [Self; 17] = [
        Self::InvalidApiKey,
        Self::ClientDisabled,
        Self::ModelNotAllowed,
        Self::ModelNotFound,
        Self::InvalidRequest,
        Self::ContextLengthExceeded,
        Self::ContentFilter,
        Self::RequestTooLarge,
        Self::RequestTimeout,
        Self::RateLimitExceeded,
        Self::BudgetExceeded,
        Self::PolicyViolation,
        Self::Unsupported,
        Self::UpstreamError,
        Self::UpstreamTimeout,
        Self::Overloaded,
        Self::InternalError,
    ];

    /// The code as written in `error.code`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidApiKey => "invalid_api_key",
            Self::ClientDisabled => "client_disabled",
            Self::ModelNotAllowed => "model_not_allowed",
            Self::ModelNotFound => "model_not_found",
            Self::InvalidRequest => "invalid_request",
            Self::ContextLengthExceeded => "context_length_exceeded",
            Self::ContentFilter => "content_filter",
            Self::RequestTooLarge => "request_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::BudgetExceeded => "budget_exceeded",
            Self::PolicyViolation => "policy_violation",
            Self::Unsupported => "unsupported",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Overloaded => "overloaded",
            Self::InternalError => "internal_error",
        }
    }

    /// The usual status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::ContextLengthExceeded | Self::ContentFilter | Self::Unsupported => {
                400
            }
            Self::InvalidApiKey | Self::ClientDisabled => 401,
            Self::ModelNotAllowed | Self::PolicyViolation => 403,
            Self::ModelNotFound => 404,
            Self::RequestTimeout => 408,
            Self::RequestTooLarge => 413,
            Self::RateLimitExceeded | Self::BudgetExceeded => 429,
            Self::InternalError => 500,
            Self::UpstreamError => 502,
            Self::Overloaded => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// The code for a provider's status that says no more. Its keys and funds are no business of the caller's.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            404 => Self::ModelNotFound,
            408 | 504 => Self::UpstreamTimeout,
            413 => Self::RequestTooLarge,
            429 => Self::RateLimitExceeded,
            503 | 529 => Self::Overloaded,
            401 | 402 | 403 | 500.. => Self::UpstreamError,
            _ => Self::InvalidRequest,
        }
    }
}
