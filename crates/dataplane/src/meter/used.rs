//! What a request used: as the provider says, or bytes / 4 where it says nothing that makes sense. Pure.

use keyway_dialect::{reply::UsageScan, stream::Relay, usage::Usage};
use keyway_proto::fleet::v1::UsageSource;
use keyway_proto::snapshot::v1::ServiceTier;
use keyway_snapshot::{Endpoint, METERS, Meter, NanoDollars, Rules};

/// Bytes of text that are taken for one token, where nobody counted.
const BYTES_PER_TOKEN: u64 = 4;

/// What was seen of an answer when it ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) usage: Option<Usage>,
    /// The usage is of the whole answer, not only of what had come when it began.
    pub(crate) is_final: bool,
    /// Bytes of answer text that went to the caller.
    pub(crate) text_bytes: u64,
    /// What it says that it was served with.
    pub(crate) service_tier: ServiceTier,
}

/// Counts and cost of one request.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    pub(crate) counts: [u64; METERS],
    pub(crate) source: UsageSource,
    /// `None` = the price of something that was used is not known.
    pub(crate) cost: Option<NanoDollars>,
    /// Which price it was; `None` = none was needed, or is known.
    pub(crate) rules: Option<Rules>,
    /// Where that is not what is billed: of a stream that was left or broke.
    pub(crate) delivered: Option<u64>,
}

// === impl Seen ===

impl Seen {
    /// Of a reply whose provider told it, so that nothing has to be estimated.
    pub(crate) fn told((usage, service_tier): (Usage, ServiceTier)) -> Self {
        Self { usage: Some(usage), is_final: true, text_bytes: 0, service_tier }
    }

    /// Of a reply that is no stream.
    pub(crate) fn whole(scan: UsageScan) -> Self {
        let (text_bytes, service_tier) = (scan.text_bytes(), scan.service_tier());
        Self { usage: scan.finish(), is_final: true, text_bytes, service_tier }
    }

    /// Of a stream, whose end may not have come.
    pub(crate) fn so_far(relay: &Relay) -> Self {
        Self {
            usage: relay.usage(),
            is_final: relay.usage_is_whole(),
            text_bytes: relay.text_bytes(),
            service_tier: relay.service_tier(),
        }
    }
}

// === impl Used ===

impl Used {
    /// Of a request that no provider answered.
    pub(crate) fn nothing() -> Self {
        Self {
            counts: [0; METERS],
            source: UsageSource::Unspecified,
            cost: Some(NanoDollars(0)),
            rules: None,
            delivered: None,
        }
    }

    /// The whole answer. Reasoning is in it.
    pub(crate) fn output(&self) -> u64 {
        let of = |meter: Meter| self.counts.get(meter as usize).copied().unwrap_or_default();
        of(Meter::Output) + of(Meter::AudioOutput) + of(Meter::ImageOutput)
    }
}

/// The counts of an answer and where they are from.
pub(crate) fn counts(seen: &Seen, endpoint: Endpoint, request_bytes: u64) -> ([u64; METERS], UsageSource) {
    match &seen.usage {
        Some(usage) if seen.is_final => (known(usage), UsageSource::Provider),
        Some(usage) => {
            let mut counts = known(usage);
            set(&mut counts, Meter::Output, tokens(seen.text_bytes));
            set(&mut counts, Meter::Reasoning, 0);
            (counts, UsageSource::Partial)
        }
        None if is_text(endpoint) => {
            let mut counts = [0; METERS];
            set(&mut counts, Meter::Input, tokens(request_bytes));
            if has_output(endpoint) {
                set(&mut counts, Meter::Output, tokens(seen.text_bytes));
            }
            (counts, UsageSource::Estimate)
        }
        // Sound and pictures have no bytes per token.
        None => ([0; METERS], UsageSource::Unspecified),
    }
}

/// What its price depends on.
pub(crate) fn priced(
    counts: &[u64; METERS],
    service_tier: ServiceTier,
    at: u64,
) -> keyway_snapshot::Used<'_> {
    let reasoning = counts.get(Meter::Reasoning as usize).copied().unwrap_or_default();
    keyway_snapshot::Used { counts, reasoning, service_tier, at_unix_seconds: at }
}

/// Tokens of so much text, rounded up.
pub(crate) fn tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

fn known(usage: &Usage) -> [u64; METERS] {
    let mut counts = *usage.counts();
    set(&mut counts, Meter::Reasoning, usage.reasoning());
    counts
}

fn set(counts: &mut [u64; METERS], meter: Meter, count: u64) {
    if let Some(place) = counts.get_mut(meter as usize) {
        *place = count;
    }
}

fn is_text(endpoint: Endpoint) -> bool {
    has_output(endpoint)
        || matches!(endpoint, Endpoint::Embeddings | Endpoint::EmbeddingsBatch | Endpoint::Moderations)
}

fn has_output(endpoint: Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::ChatCompletions | Endpoint::Completions | Endpoint::Responses | Endpoint::Messages
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_snapshot::Dialect;

    #[test]
    fn believed_completed_or_estimated() {
        let mut scan = UsageScan::new(Dialect::AnthropicMessages, Endpoint::Messages);
        scan.push(br#"{"usage":{"input_tokens":10,"cache_read_input_tokens":3,"output_tokens":1}}"#);
        let usage = scan.finish();
        let service_tier = ServiceTier::Unspecified;
        let seen = |usage, is_final, text_bytes| Seen { usage, is_final, text_bytes, service_tier };
        let (provider, partial, estimate) =
            (UsageSource::Provider, UsageSource::Partial, UsageSource::Estimate);
        let none = UsageSource::Unspecified;
        for (seen, endpoint, expected) in [
            (seen(usage, true, 99), Endpoint::Messages, (10, 3, 1, provider)),
            (seen(usage, false, 99), Endpoint::Messages, (10, 3, 25, partial)),
            (seen(usage, false, 0), Endpoint::Messages, (10, 3, 0, partial)),
            (seen(None, false, 8), Endpoint::Messages, (51, 0, 2, estimate)),
            (seen(None, true, 9), Endpoint::ChatCompletions, (51, 0, 3, estimate)),
            (seen(None, true, 9), Endpoint::Embeddings, (51, 0, 0, estimate)),
            (seen(None, true, 9), Endpoint::AudioSpeech, (0, 0, 0, none)),
        ] {
            let (counts, source) = counts(&seen, endpoint, 201);
            let of = |meter: Meter| counts[meter as usize];
            assert_eq!(
                (of(Meter::Input), of(Meter::CacheRead), of(Meter::Output), source),
                expected,
                "{seen:?} {endpoint:?}"
            );
        }
    }
}
