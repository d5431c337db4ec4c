//! Error replies: `{"error": {"code", "message", "status", "details"}}`; streams and some paths wrap it in a list of one.

use super::wire;
use crate::fault::{Code, Fault};
use crate::json::{Fields, Malformed, Value};

/// What a provider's error reply means.
pub(super) fn decode(status: u16, body: &[u8]) -> Fault {
    let error = Value::parse(body).and_then(inner);
    error.map_or_else(|_| unknown(status), |error| read(status, error))
}

/// What an error that came in a stream means; its status stands in it.
pub(super) fn decode_event(error: Value<'_>) -> Fault {
    match wire::fields(error) {
        Ok(fields) => read(0, fields),
        Err(_) => unknown(502),
    }
}

/// The one item of a list, or the value itself.
pub(super) fn only(value: Value<'_>) -> Result<Value<'_>, Malformed> {
    if !value.is_list() {
        return Ok(value);
    }
    let items = value.each(|_, item| Ok(item))?;
    items.into_iter().next().ok_or(Malformed::new("is an empty list"))
}

fn inner(body: Value<'_>) -> Result<Fields<'_>, Malformed> {
    wire::fields(only(body)?)?.need("error", wire::fields)
}

fn unknown(status: u16) -> Fault {
    Fault { status, ..Fault::new(Code::of_status(status), "the provider gave no reason") }
}

/// `status` is the reply's; 0 takes the one that the error tells.
fn read(status: u16, mut error: Fields<'_>) -> Fault {
    let told = error.with("code", wire::count).ok().flatten();
    let told = told.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    let status = if status == 0 { told.unwrap_or(502) } else { status };
    let message = error.text("message").ok().flatten().unwrap_or_default();
    let mut details = Details::default();
    // Details that cannot be read say nothing.
    let _ = error.with("details", |list| list.each(|_, detail| details.read(detail)));
    let code = match status {
        // A wrong key is a bad request here.
        400 if details.reason.as_deref() == Some("API_KEY_INVALID") => Code::UpstreamError,
        400 if message.contains("exceeds the maximum number of tokens") => Code::ContextLengthExceeded,
        status => Code::of_status(status),
    };
    Fault { status, param: details.field, retry_after: details.wait, ..Fault::new(code, message) }
}

#[derive(Default)]
struct Details {
    /// Of an `ErrorInfo`.
    reason: Option<String>,
    /// The first of a `BadRequest`.
    field: Option<String>,
    /// Of a `RetryInfo`, in whole seconds, rounded up.
    wait: Option<u32>,
}

// === impl Details ===

impl Details {
    fn read(&mut self, detail: Value<'_>) -> Result<(), Malformed> {
        let mut fields = wire::fields(detail)?;
        self.reason = self.reason.take().or(fields.text("reason")?);
        let violations =
            fields.with("fieldViolations", |list| list.each(|_, one| wire::fields(one)?.text("field")))?;
        self.field = self.field.take().or(violations.into_iter().flatten().flatten().next());
        let delay = fields.text("retryDelay")?;
        self.wait = self.wait.or(delay.as_deref().and_then(seconds));
        Ok(())
    }
}

/// Whole seconds of a duration such as `17s` or `0.5s`, rounded up.
fn seconds(delay: &str) -> Option<u32> {
    let (whole, fraction) = match delay.strip_suffix('s')?.split_once('.') {
        Some((whole, fraction)) => (whole, fraction.bytes().any(|digit| digit != b'0')),
        None => (delay.strip_suffix('s')?, false),
    };
    whole.parse::<u32>().ok()?.checked_add(fraction.into())
}
