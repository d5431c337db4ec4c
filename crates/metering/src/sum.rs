//! One request as a sum, and the addition of two.

use crate::MINUTE_MILLIS;
use keyway_proto::{
    fleet::v1::{Count, Outcome, Record, Sum, UsageSource},
    snapshot::v1::Meter,
};

/// What a request adds to the sums of its spender and minute.
#[must_use]
pub fn of_record(record: &Record) -> Sum {
    let is = |outcomes: &[Outcome]| u64::from(outcomes.contains(&record.outcome()));
    let estimated = matches!(record.usage_source(), UsageSource::Estimate | UsageSource::Partial);
    Sum {
        spender: record.spender.clone(),
        minute: record.started_unix_millis / MINUTE_MILLIS,
        requests: 1,
        errors: is(&[Outcome::Refused, Outcome::Broken]),
        cancelled: is(&[Outcome::Cancelled]),
        unpriced: u64::from(record.nano_dollars.is_none()),
        estimated: u64::from(estimated),
        nano_dollars: record.nano_dollars.unwrap_or_default(),
        counts: record.counts.clone(),
        delivered_output_tokens: record.delivered_output_tokens.unwrap_or_else(|| output(&record.counts)),
        total_micros: record.total_micros,
        max_total_micros: record.total_micros,
        first_tokens: u64::from(record.first_token_micros > 0),
        first_token_micros: record.first_token_micros,
        upstream_micros: record.upstream_micros,
    }
}

/// Adds `more` to `sum`; whose it is and when stays as it is. Beyond 2^64 it stays there.
pub fn add(sum: &mut Sum, more: &Sum) {
    let pairs = [
        (&mut sum.requests, more.requests),
        (&mut sum.errors, more.errors),
        (&mut sum.cancelled, more.cancelled),
        (&mut sum.unpriced, more.unpriced),
        (&mut sum.estimated, more.estimated),
        (&mut sum.nano_dollars, more.nano_dollars),
        (&mut sum.delivered_output_tokens, more.delivered_output_tokens),
        (&mut sum.total_micros, more.total_micros),
        (&mut sum.first_tokens, more.first_tokens),
        (&mut sum.first_token_micros, more.first_token_micros),
        (&mut sum.upstream_micros, more.upstream_micros),
    ];
    for (place, count) in pairs {
        *place = place.saturating_add(count);
    }
    sum.max_total_micros = sum.max_total_micros.max(more.max_total_micros);
    for count in &more.counts {
        match sum.counts.iter_mut().find(|known| known.meter == count.meter) {
            Some(known) => known.count = known.count.saturating_add(count.count),
            None => sum.counts.push(*count),
        }
    }
}

/// The whole answer: text, sound and images. Reasoning is in it.
fn output(counts: &[Count]) -> u64 {
    let is_output =
        |count: &&Count| matches!(count.meter(), Meter::Output | Meter::AudioOutput | Meter::ImageOutput);
    counts.iter().filter(is_output).map(|count| count.count).sum()
}
