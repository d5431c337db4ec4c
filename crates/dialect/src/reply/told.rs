//! The short way for a whole reply whose provider tells what was used: a walk over its outermost members.

use super::usage_key;
use crate::scan::{self, Members, skip_blank};
use crate::usage::{Tokens, Usage};
use keyway_proto::snapshot::v1::{Dialect, Endpoint, ServiceTier};

/// What a whole reply says that it used, and its service tier. `None` where that is not all there is to know:
/// [`super::UsageScan`] looks closer.
#[must_use]
pub fn told(dialect: Dialect, endpoint: Endpoint, body: &[u8]) -> Option<(Usage, ServiceTier)> {
    let writes = matches!(
        endpoint,
        Endpoint::ChatCompletions | Endpoint::Completions | Endpoint::Responses | Endpoint::Messages
    );
    let usage = std::str::from_utf8(usage_key(dialect, endpoint)).unwrap_or_default();
    let mut members = Members::open(body, skip_blank(body, 0)).ok().filter(|_| writes)?;
    let mut tokens = Tokens::default();
    while let Some(member) = members.next().ok()? {
        let value = body.get(member.value)?;
        match member.key.value(body).as_ref() {
            key if key == usage => {
                tokens.read_in(dialect, value);
            }
            "service_tier" if value.starts_with(b"\"") => {
                let name = value.get(1..value.len().checked_sub(1)?)?;
                tokens.name_tier(Some(name));
            }
            "serviceTier" if value.starts_with(b"{") => tokens.read_tier(scan::member(value, "type")),
            // Counted by looking at more than the usage.
            "tool_usage" | "duration" => return None,
            _ => {}
        }
    }
    let usage = tokens.usage(dialect, endpoint)?;
    // Then it explains any text.
    let explains = usage.input_total() > 0 && usage.output_total() > 0;
    explains.then(|| (usage, tokens.service_tier()))
}
