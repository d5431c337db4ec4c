//! Hosts come, report, are ordered and go.

use super::*;
use keyway_proto::fleet::v1::HostReplica as Said;

fn hello(name: &str) -> Hello {
    Hello { id: name.to_owned(), supervisor: name.to_owned(), host: "machine".to_owned(), ..Hello::default() }
}

fn report(wanted: u32) -> HostReport {
    let replica = |number| Said { id: format!("h~{number}"), pid: number, state: 2, restarts: 0 };
    HostReport { wanted, replicas: (1..=wanted).map(replica).collect(), ..HostReport::default() }
}

#[test]
fn a_host_is_told_what_is_wanted_when_it_comes_and_when_that_changes() {
    let now = Instant::now();
    let mut hosts = Hosts::default();
    let (link, mut orders) = mpsc::channel(4);
    let stream = hosts.hello(hello("h"), link, now).unwrap();
    assert!(orders.try_recv().is_err(), "nothing is wanted: it keeps what it was started with");
    hosts.report("h", stream, report(2), now).unwrap();
    hosts.want(BTreeMap::from([("h".to_owned(), 4), ("other".to_owned(), 1)]));
    assert_eq!(orders.try_recv().unwrap().replicas, 4);
    hosts.want(BTreeMap::from([("h".to_owned(), 4)]));
    assert!(orders.try_recv().is_err(), "nothing new");
    let (link, mut orders) = mpsc::channel(4);
    let again = hosts.hello(hello("h"), link, now).unwrap();
    assert!(orders.try_recv().is_err(), "what it keeps is not known yet");
    assert!(hosts.report("h", stream, report(4), now).is_none(), "an old stream's word");
    hosts.report("h", again, report(2), now).unwrap();
    assert_eq!(orders.try_recv().unwrap().replicas, 4, "a new stream is told too");
    hosts.report("h", again, report(2), now).unwrap();
    assert!(orders.try_recv().is_err(), "once");
    let seen = hosts.list(now).remove(0);
    assert_eq!((seen.wanted, seen.keeps, seen.ready, seen.state), (Some(4), 2, 2, HostState::Connected));
}

#[test]
fn a_host_that_comes_back_with_the_right_number_is_told_nothing() {
    let now = Instant::now();
    let mut hosts = Hosts::default();
    hosts.want(BTreeMap::from([("h".to_owned(), 2)]));
    let (link, mut orders) = mpsc::channel(4);
    let stream = hosts.hello(hello("h"), link, now).unwrap();
    // One of the two may have been drained, and stays away until somebody scales the host.
    hosts.report("h", stream, report(2), now).unwrap();
    assert!(orders.try_recv().is_err());
    assert!(hosts.order("h", HostOrder { replicas: 2, upgrade: false }));
    assert_eq!(orders.try_recv().unwrap().replicas, 2, "an operator's word fills its place again");
}

#[test]
fn one_that_went_without_a_word_is_lost_and_one_that_ended_is_gone() {
    let now = Instant::now();
    let mut hosts = Hosts::default();
    let (link, _orders) = mpsc::channel(4);
    let stream = hosts.hello(hello("h"), link.clone(), now).unwrap();
    hosts.report("h", stream, report(1), now).unwrap();
    hosts.ended("h", stream, now);
    assert_eq!(hosts.list(now)[0].state, HostState::Lost);
    assert!(!hosts.is_connected("h") && !hosts.order("h", HostOrder::default()));
    let stream = hosts.hello(hello("h"), link, now).unwrap();
    hosts.report("h", stream, HostReport::default(), now).unwrap();
    assert_eq!(hosts.list(now + crate::fleet::registry::SILENT_AFTER)[0].state, HostState::Silent);
    hosts.ended("h", stream, now);
    assert!(hosts.list(now).is_empty());
    hosts.want(BTreeMap::from([("h".to_owned(), 3)]));
    let seen = hosts.list(now).remove(0);
    assert_eq!((seen.state, seen.wanted, seen.last_heard_ms), (HostState::Lost, Some(3), None));
}
