//! Clients on their way from one token to the next: the old one ends once callers are seen on the new one alone, or when
//! its time is over. `due` decides and is pure; where it is cut off, the document says how to go on.

use crate::{
    Plane,
    fleet::Evidence,
    plane::unix_millis,
    resource::{Author, Body, Handover, HandoverEnd, Kind},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// Addresses that are named.
const SOURCES: usize = 16;

/// How one side of a change was used since the replicas started, over all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct TokenUses {
    pub(crate) requests: u64,
    /// Milliseconds since 1970; 0 = never.
    pub(crate) last_use: u64,
    /// Where it came from, the first few addresses.
    pub(crate) sources: Vec<String>,
    /// Replicas that it was used on.
    pub(crate) replicas: Vec<String>,
}

/// Ends what is due. `leading`: for how long this control plane hears every replica.
pub(super) async fn look(plane: &Plane, fleet: &[Evidence], leading: Duration) {
    let now = unix_millis();
    let listening = u64::try_from(leading.as_millis()).unwrap_or(u64::MAX);
    let listening_since = now.saturating_sub(listened(fleet, listening));
    let state = plane.state();
    let snapshot = plane.snapshot();
    // The first token of each: a walk through all clients would hold up everybody.
    let under_way = snapshot.clients.handing_over().filter(|(_, place, _)| *place == 0);
    for name in under_way.map(|(_, _, client)| &*client.name) {
        let Some(held) = state.get(Kind::Client, name) else { continue };
        let Body::Client { handover: Some(handover), .. } = &held.document.body else { continue };
        let Some(end) = due(handover, name, fleet, now, listening_since) else { continue };
        let action = if end.over { "client.rotate.over" } else { "client.rotate.done" };
        if end.over {
            tracing::warn!(
                client = name,
                last_use = end.last_use_old,
                "a client's old token has ended by its time"
            );
        }
        let author = Author::system(action, &format!("client/{name}"));
        if let Err(refusal) =
            plane.change(&author, |proposal| proposal.end_handover(name, handover.begun, end)).await
        {
            tracing::error!(client = name, %refusal, "a client's old token could not be ended; it is tried again");
        }
    }
}

/// How long every replica has been listened to, milliseconds. What one that is gone counted last may not have been said: its
/// successor is heard for so long before silence means anything.
fn listened(fleet: &[Evidence], listening: u64) -> u64 {
    fleet.iter().map(|one| one.known_ms).fold(listening, u64::min)
}

/// Whether a change is to end now. Callers are on the new token alone once it is used, every replica answers, and the old
/// ones were not used for so long as is wanted: counted from the last use, and from no earlier than anybody listened.
fn due(
    handover: &Handover,
    client: &str,
    fleet: &[Evidence],
    now: u64,
    listening_since: u64,
) -> Option<HandoverEnd> {
    if !handover.is_running() {
        return None;
    }
    let [new, old] = uses(client, fleet);
    // The same in all of them: uses on replicas that are gone count too.
    let gone = fleet.first().map_or(0, |one| one.old_uses.last(client));
    let last_use_old = Some(old.last_use.max(gone)).filter(|last| *last > handover.begun).unwrap_or(0);
    let quiet_since = last_use_old.max(handover.begun).max(listening_since);
    let alone = new.last_use > handover.begun
        && fleet.iter().all(|one| one.answers)
        && now >= quiet_since.saturating_add(handover.quiet_ms);
    let over = now >= handover.until;
    (alone || over).then_some(HandoverEnd { at: now, over: !alone, last_use_old, sources: old.sources })
}

/// Of the new token and of the old ones.
pub(crate) fn uses(client: &str, fleet: &[Evidence]) -> [TokenUses; 2] {
    let mut both = [TokenUses::default(), TokenUses::default()];
    for replica in fleet {
        for one in replica.tokens.iter().filter(|one| one.client == client && one.requests > 0) {
            let [new, old] = &mut both;
            let side = if one.place == 0 { new } else { old };
            side.requests += one.requests;
            side.last_use = side.last_use.max(one.last_use_unix_millis);
            let room = SOURCES.saturating_sub(side.sources.len());
            let fresh: Vec<String> = one
                .sources
                .iter()
                .filter(|source| !side.sources.contains(source))
                .take(room)
                .cloned()
                .collect();
            side.sources.extend(fresh);
            if !side.replicas.contains(&replica.id) {
                side.replicas.push(replica.id.clone());
            }
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_proto::fleet::v1::TokenUse;
    use keyway_snapshot::Version;

    fn replica(id: &str, uses: &[(u32, u64)]) -> Evidence {
        let mut replica = Evidence::serving(id, true, Version { epoch: 1, counter: 1 });
        let one = |(place, last): &(u32, u64)| TokenUse {
            client: "c".to_owned(),
            place: *place,
            requests: 1,
            last_use_unix_millis: *last,
            sources: vec!["10.0.0.1".to_owned()],
        };
        replica.tokens = uses.iter().map(one).collect();
        replica
    }

    #[test]
    fn ends_on_the_new_token_alone_or_by_its_time() {
        let handover = Handover { begun: 1000, until: 100_000, quiet_ms: 5000, ended: None };
        let at = |now, fleet: &[Evidence]| {
            due(&handover, "c", fleet, now, 0).map(|end| (end.over, end.last_use_old))
        };
        let both = [replica("a", &[(0, 2000)]), replica("b", &[(1, 3000)])];
        assert_eq!(at(7999, &both), None, "the old one was used a moment ago");
        assert_eq!(at(8000, &both), Some((false, 3000)));
        assert_eq!(at(99_999, &[replica("a", &[(1, 90_000)])]), None, "the new one is used by nobody");
        assert_eq!(at(100_000, &[replica("a", &[(1, 90_000)])]), Some((true, 90_000)));
        let mut silent = both.clone();
        silent[1].answers = false;
        assert_eq!(at(50_000, &silent), None, "who knows what it still lets in");
        assert_eq!(at(100_000, &silent), Some((true, 3000)));
        assert_eq!(
            at(6000, &[replica("a", &[(0, 2000), (1, 900)])]),
            Some((false, 0)),
            "used before the change only"
        );
        let before = due(&handover, "c", &both, 60_000, 58_000);
        assert_eq!(before, None, "nobody listened for long enough");
        assert_eq!(at(50_000, &[]), None);
        let [_, old] = uses("c", &both);
        assert_eq!(
            (old.requests, old.replicas, old.sources),
            (1, vec!["b".to_owned()], vec!["10.0.0.1".to_owned()])
        );
    }

    #[test]
    fn a_replica_that_is_gone_or_came_a_moment_ago_does_not_look_quiet() {
        let handover = Handover { begun: 1000, until: 100_000, quiet_ms: 5000, ended: None };
        let mut fleet = [replica("a", &[(0, 2000)]), replica("b", &[(0, 2000)])];
        let tokens = replica("gone", &[(1, 9000)]).tokens;
        fleet.iter_mut().for_each(|one| one.old_uses.take(&tokens, 50_000));
        let end = |now| due(&handover, "c", &fleet, now, 0).map(|end| (end.over, end.last_use_old));
        assert_eq!(end(13_999), None, "it was used on one that is gone");
        assert_eq!(end(14_000), Some((false, 9000)));
        for (known, listening, listened_for) in
            [([9000, 700], 8000, 700), ([9000, 9000], 8000, 8000), ([u64::MAX; 2], 1, 1)]
        {
            fleet.iter_mut().zip(known).for_each(|(one, known)| one.known_ms = known);
            assert_eq!(listened(&fleet, listening), listened_for);
        }
    }
}
