//! Hosts with a supervisor: who runs fewer replicas than are wanted and why, upgrades that stopped, mixed versions.

use super::{Finding, or_ok};
use crate::fleet::{Host, HostReplica, HostReplicaState, HostState, Replica, ReplicaState};
use std::collections::BTreeMap;

const HOSTS: &str = "hosts";
/// A replica that failed so often and does not serve now fails again and again.
const OFTEN: u32 = 3;

/// Nothing where no supervisor runs.
pub(crate) fn hosts(all: &[Host], replicas: &[Replica]) -> Vec<Finding> {
    let mixed = versions(replicas);
    if all.is_empty() && mixed.is_none() {
        return Vec::new();
    }
    let found = all.iter().flat_map(of_one).chain(mixed).collect();
    or_ok(found, HOSTS, || format!("all {} run what is wanted there", all.len()))
}

fn of_one(host: &Host) -> Vec<Finding> {
    let name = &host.name;
    if host.state != HostState::Connected {
        let since = host.last_heard_ms.map_or_else(String::new, |since| format!(" since {} s", since / 1000));
        let what = format!("the supervisor of {name} is away{since}");
        return vec![Finding::warn(HOSTS, what, "look whether its process and its host are there")];
    }
    let mut found: Vec<Finding> = host.replicas.iter().filter_map(|one| failing(name, one)).collect();
    let too_few = u64::try_from(host.ready).is_ok_and(|ready| ready < u64::from(host.keeps));
    if too_few && found.is_empty() && !host.upgrading {
        let what = format!("{name} runs {} of {} replicas", host.ready, host.keeps);
        found.push(Finding::warn(HOSTS, what, what_to_do(host)));
    }
    if !host.fault.is_empty() {
        let what = format!("the upgrade of {name} stopped: {}", host.fault);
        let what_to_do = format!("correct the program on its disk, then keyway fleet upgrade --host {name}");
        found.push(Finding::fail(HOSTS, what, what_to_do));
    } else if host.newer_program && !host.upgrading {
        let what = format!("{name} runs another program than the one on its disk");
        found.push(Finding::warn(HOSTS, what, format!("keyway fleet upgrade --host {name}")));
    }
    found
}

fn failing(host: &str, replica: &HostReplica) -> Option<Finding> {
    let is_away = matches!(replica.state, HostReplicaState::Waiting | HostReplicaState::Starting);
    (is_away && replica.restarts >= OFTEN).then(|| {
        let what = format!("{} failed {} times and does not serve", replica.id, replica.restarts);
        Finding::fail(HOSTS, what, format!("look at the log of the supervisor of {host}"))
    })
}

fn what_to_do(host: &Host) -> String {
    if host.replicas.iter().any(|one| one.state == HostReplicaState::Away) {
        return format!(
            "bring back what was drained: keyway fleet scale --host {} --replicas {}",
            host.name, host.keeps
        );
    }
    format!("look again in a moment; if it stays so, look at the log of the supervisor of {}", host.name)
}

fn versions(replicas: &[Replica]) -> Option<Finding> {
    let mut by_version: BTreeMap<&str, usize> = BTreeMap::new();
    for replica in
        replicas.iter().filter(|one| !matches!(one.state, ReplicaState::Lost | ReplicaState::Draining))
    {
        *by_version.entry(&replica.version).or_default() += 1;
    }
    let named: Vec<String> =
        by_version.iter().map(|(version, count)| format!("{version} ({count})")).collect();
    (named.len() > 1).then(|| {
        let what = format!("replicas run several versions: {}", named.join(", "));
        Finding::warn(HOSTS, what, "end the upgrade: keyway fleet hosts shows what each runs")
    })
}
