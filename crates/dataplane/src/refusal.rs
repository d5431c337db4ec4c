//! The only fault that callers see. Text is fixed per case, with safe parameters: never upstream text, host names, key
//! parts or source errors.

use http::StatusCode;
pub(crate) use keyway_dialect::fault::Attempted;
use keyway_dialect::{
    Malformed,
    fault::{Code, Fault},
    losses,
};
use keyway_snapshot::{Dialect, Endpoint};
use std::time::Duration;

/// Why a request was not served.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Box<Fault>);

/// Seconds after which a caller that we could not serve now may come again.
const COME_AGAIN: u32 = 1;

// === impl Refusal ===

impl Refusal {
    fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        let fault = Fault { status: status.as_u16(), should_retry: Some(false), ..Fault::new(code, message) };
        Self(Box::new(fault))
    }

    fn because(mut self, reason: &'static str) -> Self {
        self.0.reason = Some(reason);
        self
    }

    fn of(mut self, param: Option<String>) -> Self {
        self.0.param = param;
        self
    }

    fn later(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self.0.should_retry = None;
        self
    }

    /// With the id of the request that it ends.
    pub(crate) fn into_fault(mut self, id: &ulid::Ulid) -> Fault {
        self.0.request_id = id.to_string();
        *self.0
    }

    #[cold]
    pub(crate) fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Code::Unsupported,
            "no such endpoint; see GET /v1/models for what is served",
        )
    }

    #[cold]
    pub(crate) fn wrong_method(allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, format!("this endpoint takes {allowed}"))
    }

    #[cold]
    pub(crate) fn unsupported(message: impl Into<String>, param: Option<&str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::Unsupported, message).of(param.map(str::to_owned))
    }

    /// A target has no such endpoint, and what is asked for there cannot be translated.
    #[cold]
    pub(crate) fn not_served(label: &str, dialect: Dialect, endpoint: Endpoint) -> Self {
        let endpoint = endpoint.as_str_name().trim_start_matches("ENDPOINT_").to_lowercase();
        let message = format!(
            "`{label}` does not serve this endpoint ({}: {endpoint}), and it cannot be translated to one that it serves",
            word(dialect)
        );
        Self::unsupported(message, Some("model"))
    }

    /// A target cannot be told what the caller asks for, and an answer without it would be another answer.
    #[cold]
    pub(crate) fn not_expressible(unsupported: &losses::Unsupported, label: &str) -> Self {
        let losses::Unsupported { path, target, .. } = unsupported;
        let message = format!(
            "`{path}` cannot be expressed in {}, which `{label}` speaks; leave it out or choose another model",
            word(*target)
        );
        Self::unsupported(message, Some(path))
    }

    /// The caller's body is not what its dialect allows.
    #[cold]
    pub(crate) fn malformed(malformed: &Malformed) -> Self {
        let param = Some(malformed.path.clone()).filter(|path| !path.is_empty());
        Self::invalid(malformed.to_string(), "invalid_field", param)
    }

    /// One text for no, malformed, unknown and differing tokens.
    #[cold]
    pub(crate) fn unknown_client() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            Code::InvalidApiKey,
            "no valid client token; send one as `Authorization: Bearer`, `x-api-key`, `x-goog-api-key` or `api-key`",
        )
    }

    #[cold]
    pub(crate) fn client_disabled() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::ClientDisabled, "this client is disabled or has expired")
    }

    #[cold]
    pub(crate) fn invalid(message: impl Into<String>, reason: &'static str, param: Option<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidRequest, message).because(reason).of(param)
    }

    #[cold]
    pub(crate) fn unsupported_encoding() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::InvalidRequest,
            "the body's content-encoding is not supported; send it plain or with gzip",
        )
        .because("unsupported_encoding")
    }

    #[cold]
    pub(crate) fn too_large(limit: usize, reason: Option<&'static str>) -> Self {
        let message = format!("the body is larger than the limit of {limit} bytes");
        let mut refusal = Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::RequestTooLarge, message);
        refusal.0.reason = reason;
        refusal
    }

    #[cold]
    pub(crate) fn slow_body() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            Code::RequestTimeout,
            "the request's body did not arrive in time",
        )
    }

    #[cold]
    pub(crate) fn model(refused: &keyway_snapshot::Refused) -> Self {
        let (status, code) = match refused {
            keyway_snapshot::Refused::Unknown { .. } => (StatusCode::NOT_FOUND, Code::ModelNotFound),
            keyway_snapshot::Refused::Ambiguous { .. } => (StatusCode::NOT_FOUND, Code::ModelNotFound),
            keyway_snapshot::Refused::NotAllowed { .. } => (StatusCode::FORBIDDEN, Code::ModelNotAllowed),
        };
        Self::new(status, code, refused.to_string()).of(Some("model".to_owned()))
    }

    #[cold]
    pub(crate) fn overloaded(reason: &'static str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Overloaded,
            "the gateway cannot take this request now",
        )
        .because(reason)
        .later(COME_AGAIN)
    }

    /// What is left of the provider's limit is for clients that had less of it; in so many milliseconds there is more.
    #[cold]
    pub(crate) fn over_share(wait: u64) -> Self {
        let message =
            "the provider's rate limit is nearly used up, and this client has had more than its share of it";
        let seconds = u32::try_from(wait.div_ceil(1000)).unwrap_or(u32::MAX).max(COME_AGAIN);
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimitExceeded, message)
            .because("quota_share")
            .later(seconds)
    }

    /// A fault of ours, of which the log knows more.
    #[cold]
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::InternalError,
            "the gateway failed; its log says more",
        )
    }

    #[cold]
    pub(crate) fn not_configured() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Overloaded,
            "the gateway has no configuration yet; it is waiting for its control plane",
        )
        .because("not_configured")
        .later(COME_AGAIN)
    }

    /// The control plane was silent for longer than secrets may be used without it.
    #[cold]
    pub(crate) fn secrets_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::UpstreamError,
            "this gateway may not use its provider keys until it hears from its control plane",
        )
        .because("secrets_unavailable")
        .later(COME_AGAIN)
    }

    #[cold]
    pub(crate) fn loop_detected() -> Self {
        let message =
            "this request came through Keyway several times already: a provider's base_url leads back to it";
        Self::new(StatusCode::LOOP_DETECTED, Code::UpstreamError, message).because("loop_detected")
    }

    /// Every target failed; `status` is the last one if the caller can use it, `wait` what its provider asked for.
    #[cold]
    pub(crate) fn upstream(
        (status, wait): (StatusCode, Option<Duration>),
        reason: &'static str,
        attempts: Vec<Attempted>,
    ) -> Self {
        let (code, message) = if status == StatusCode::GATEWAY_TIMEOUT {
            (Code::UpstreamTimeout, "the provider did not answer in time")
        } else {
            (Code::UpstreamError, "no provider could serve this request")
        };
        let mut refusal = Self::new(status, code, message).because(reason);
        refusal.0.attempts = attempts;
        refusal.0.retry_after = wait.map(seconds).or_else(|| wants_a_wait(status).then_some(COME_AGAIN));
        refusal.0.should_retry = None;
        refusal
    }

    /// For the event that ends a stream which broke.
    #[cold]
    pub(crate) fn in_band(reason: &'static str) -> Self {
        let (code, message) = match reason {
            "upstream_idle_timeout" => {
                (Code::UpstreamTimeout, "the provider stopped sending; this answer is incomplete")
            }
            "server_draining" => {
                (Code::Overloaded, "the gateway is shutting down; this answer is incomplete")
            }
            "credential_revoked" => {
                (Code::UpstreamError, "the key of this answer was revoked; it is incomplete")
            }
            "client_revoked" => {
                (Code::ClientDisabled, "the client or its token was revoked; this answer is incomplete")
            }
            _ => (Code::UpstreamError, "the provider's stream broke; this answer is incomplete"),
        };
        Self::new(StatusCode::BAD_GATEWAY, code, message).because(reason)
    }
}

/// Statuses that tell a caller to come again must say when.
fn wants_a_wait(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// Whole seconds, and never fewer than asked for.
fn seconds(wait: Duration) -> u32 {
    let begun = u64::from(wait.subsec_nanos() > 0);
    u32::try_from(wait.as_secs().saturating_add(begun)).unwrap_or(u32::MAX)
}

fn word(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "openai-chat",
        Dialect::OpenaiResponses => "openai-responses",
        Dialect::AnthropicMessages => "anthropic-messages",
        Dialect::Gemini => "gemini",
        Dialect::BedrockConverse => "bedrock-converse",
        Dialect::CohereChat => "cohere-chat",
        Dialect::Unspecified => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_wait_is_told_and_one_of_ours_where_a_wait_must_be() {
        for (status, millis, told) in [
            (429, Some(7_000), Some(7)),
            (503, Some(1_500), Some(2)),
            (500, Some(9_000), Some(9)),
            (503, Some(0), Some(0)),
            (429, None, Some(COME_AGAIN)),
            (503, None, Some(COME_AGAIN)),
            (500, None, None),
            (400, None, None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let wait = millis.map(Duration::from_millis);
            let refusal = Refusal::upstream((status, wait), "upstream_status", Vec::new());
            assert_eq!(refusal.0.retry_after, told, "{status} {wait:?}");
        }
        assert_eq!(seconds(Duration::MAX), u32::MAX);
    }
}
