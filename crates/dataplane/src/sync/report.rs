//! What this replica says of itself: who it is, what it serves, how its keys are used.

use super::{Held, dial::LinkSettings};
use crate::{clock, observe::Gauges};
use keyway_proto::{
    SCHEMA, feature,
    fleet::v1::{AuditHead, Beat, FromReplica, Hello, from_replica},
};
use keyway_snapshot::Version;

/// The first message of a stream.
pub(super) fn hello(
    settings: &LinkSettings,
    held: &Held,
    kept: Option<Version>,
    audit: Option<AuditHead>,
) -> FromReplica {
    let state = held.pin();
    let hello = Hello {
        id: settings.id.clone(),
        host: settings.host.clone(),
        pid: std::process::id(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        schema: SCHEMA,
        serving: state.as_ref().map(|state| state.snapshot.version.into()),
        listen: settings.listen.clone(),
        ops_listen: settings.ops_listen.clone(),
        incarnation: settings.incarnation.clone(),
        features: feature::ALL.iter().map(|&name| name.to_owned()).collect(),
        state_hash: state.as_ref().map(|state| state.snapshot.hash.0.to_vec()).unwrap_or_default(),
        cluster: state.map(|state| state.snapshot.settings.cluster.to_string()).unwrap_or_default(),
        kept: kept.map(Version::into),
        supervisor: settings.supervisor.clone(),
        is_supervisor: false,
        moves: true,
        audit,
    };
    FromReplica { message: Some(from_replica::Message::Hello(hello)) }
}

/// A life sign. The state is pinned before keys are counted: what its swap took away cannot be taken any more, so that
/// a count of 0 holds for this version.
pub(super) fn beat(held: &Held, gauges: &Gauges, kept: Option<Version>, draining: bool) -> Beat {
    let state = held.pin();
    let mut keys = state.as_ref().map(|state| state.keyring.report()).unwrap_or_default();
    let now = u64::try_from(gauges.uptime().as_millis()).unwrap_or(u64::MAX);
    for one in &mut keys {
        let key = state.as_ref().and_then(|state| state.keyring.named(&one.id));
        one.rests = key.map(|key| key.health.rests(now)).unwrap_or_default();
    }
    Beat {
        version: state.as_ref().map(|state| state.snapshot.version.into()),
        state_hash: state.as_ref().map(|state| state.snapshot.hash.0.to_vec()).unwrap_or_default(),
        requests_in_flight: gauges.in_flight(),
        requests_total: gauges.requests(),
        draining,
        kept: kept.map(Version::into),
        unix_millis: u64::try_from(clock::since_epoch().as_millis()).unwrap_or_default(),
        secrets: state.as_ref().map(|state| state.snapshot.parts.secrets.into()),
        keys,
        tokens: state.map(|state| state.handovers.report()).unwrap_or_default(),
        ended: false,
        audit: None,
    }
}

/// The last one, which ends the books on this process; `None` while anything is in flight.
pub(super) fn ended(beat: Beat) -> Option<Beat> {
    let idle = beat.requests_in_flight == 0 && beat.keys.iter().all(|key| key.in_flight == 0);
    idle.then_some(Beat { ended: true, draining: true, ..beat })
}
