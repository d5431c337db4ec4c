//! States on their way to replicas, as both planes count them in their metrics.

use std::fmt::Write as _;
use std::time::Duration;

use keyway_testkit::process::Replica;
use keyway_testkit::provider::Provider;

use crate::admin::Admin;
use crate::fleet::yaml;
use crate::gateway::Outcome;

/// What a control plane has sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Whole states.
    pub whole: u64,
    /// Bytes of their resources.
    pub whole_bytes: u64,
    /// States that went out as what changed.
    pub changes: u64,
    /// Bytes of their resources.
    pub change_bytes: u64,
    /// Changes that did not fit.
    pub resent: u64,
    /// States that were refused.
    pub refused: u64,
    /// What making the last one took.
    pub build: Duration,
}

/// What a replica has taken in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// States that were applied.
    pub applied: u64,
    /// Of these, those that came as what changed.
    pub changes: u64,
    /// Bytes in which they came.
    pub bytes: u64,
    /// From the first chunk of the last one to the swap.
    pub apply: Duration,
    /// Bytes that were written to keep them.
    pub kept_bytes: u64,
}

/// As `fleet::yaml`, with so many clients `many-0` and so on beside the tester.
pub fn many(provider: &Provider, clients: usize) -> String {
    let mut more = String::new();
    for number in 0..clients {
        // A String takes whatever is written to it.
        let _ = writeln!(more, "  many-{number}: {{ token: {}, models: [\"sim/*\"] }}", token(number));
    }
    yaml(provider, &more)
}

/// Of the client `many-NUMBER`.
#[must_use]
pub fn token(number: usize) -> String {
    format!("kw-e2e-many-{number:06}-0123456789abcdef")
}

/// What the control plane has sent since its start.
pub async fn sent(admin: &Admin) -> Outcome<Sent> {
    let text = admin.text("/metrics").await?;
    let of = |name: &str| count(&text, name);
    Ok(Sent {
        whole: of("keyway_pushes_total{kind=\"whole\"}")?,
        whole_bytes: of("keyway_push_bytes_total{kind=\"whole\"}")?,
        changes: of("keyway_pushes_total{kind=\"change\"}")?,
        change_bytes: of("keyway_push_bytes_total{kind=\"change\"}")?,
        resent: of("keyway_pushes_resent_total")?,
        refused: of("keyway_pushes_refused_total")?,
        build: seconds(&text, "keyway_state_build_seconds")?,
    })
}

/// What the replica has taken in since its start.
pub fn taken(replica: &Replica) -> Outcome<Taken> {
    let (_, text) = replica.ops("/metrics")?;
    let of = |name: &str| count(&text, name);
    Ok(Taken {
        applied: of("keyway_snapshots_applied_total")?,
        changes: of("keyway_snapshot_changes_applied_total")?,
        bytes: of("keyway_snapshot_bytes_total")?,
        apply: seconds(&text, "keyway_snapshot_apply_seconds")?,
        kept_bytes: of("keyway_last_good_bytes_total")?,
    })
}

fn sample<'a>(text: &'a str, name: &str) -> Outcome<&'a str> {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(found.ok_or_else(|| format!("no sample of {name}"))?)
}

fn count(text: &str, name: &str) -> Outcome<u64> {
    Ok(sample(text, name)?.parse()?)
}

fn seconds(text: &str, name: &str) -> Outcome<Duration> {
    Ok(Duration::try_from_secs_f64(sample(text, name)?.parse()?)?)
}
