use super::*;
use crate::resource::ReplicaDocument;

const NEWEST: (Version, StateHash) = (Version { epoch: 1, counter: 9 }, StateHash([9; 32]));

fn hello(id: &str, pid: u32) -> Hello {
    Hello { id: id.to_owned(), host: "h".to_owned(), pid, ..Hello::default() }
}

fn link() -> mpsc::Sender<Order> {
    mpsc::channel(1).0
}

fn nack() -> Nack {
    Nack { field: "client/a".to_owned(), reason: "bad".to_owned(), ..Nack::default() }
}

#[test]
fn states_by_what_happened_last() {
    let start = Instant::now();
    let mut registry = Registry::default();
    let stream = registry.hello(hello("a", 1), link(), start).unwrap().stream;
    let state = |registry: &Registry, now| registry.list(NEWEST, now)[0].state;
    assert_eq!(state(&registry, start), ReplicaState::Syncing);
    registry.refused("a", NEWEST.0, NEWEST.1, nack());
    assert_eq!(state(&registry, start), ReplicaState::Rejected);
    registry.applied("a", NEWEST, Duration::from_micros(700), start);
    assert_eq!(state(&registry, start), ReplicaState::Ready);
    assert_eq!(registry.serving(NEWEST.0), 1);
    assert_eq!(state(&registry, start + SILENT_AFTER), ReplicaState::Silent);
    registry.heard("a", start + SILENT_AFTER);
    assert_eq!(state(&registry, start + SILENT_AFTER), ReplicaState::Ready);
    registry.ended("a", stream, false, start);
    assert_eq!(state(&registry, start), ReplicaState::Lost);
    assert_eq!(registry.serving(NEWEST.0), 0);
    let later = start + Duration::from_secs(100);
    registry.close_books(later);
    assert_eq!(
        state(&registry, later),
        ReplicaState::Lost,
        "it may hold secrets as long as they are not leased"
    );
    registry.set_lease(Some(Duration::from_secs(100)), NEWEST.0);
    registry.close_books(later);
    assert!(registry.list(NEWEST, later).is_empty());
}

#[test]
fn a_shorter_lease_holds_only_for_who_took_it_over() {
    let start = Instant::now();
    let (second, older) = (Duration::from_secs(1), (Version { epoch: 1, counter: 8 }, StateHash([8; 32])));
    let mut registry = Registry::default();
    registry.set_lease(Some(100 * second), Version::default());
    for (id, pid, state) in [("a", 1, older), ("b", 2, NEWEST)] {
        let stream = registry.hello(hello(id, pid), link(), start).unwrap().stream;
        registry.applied(id, state, Duration::from_micros(700), start);
        registry.ended(id, stream, false, start);
    }
    // The next state has it, and only one of them got that.
    registry.set_lease(Some(5 * second), older.0);
    let listed = |registry: &Registry| registry.members().map(|member| member.id).collect::<Vec<_>>();
    registry.close_books(start + 6 * second);
    assert_eq!(listed(&registry), ["a"], "it goes by the lease of the state that it holds");
    registry.set_lease(Some(2 * second), NEWEST.0);
    registry.close_books(start + 99 * second);
    assert_eq!(listed(&registry), ["a"]);
    registry.close_books(start + 100 * second);
    assert!(listed(&registry).is_empty());
}

#[test]
fn an_ended_replica_leaves_and_an_old_stream_says_nothing() {
    let start = Instant::now();
    let mut registry = Registry::default();
    let old = registry.hello(hello("a", 1), link(), start).unwrap().stream;
    let new = registry.hello(hello("a", 1), link(), start).unwrap().stream;
    registry.ended("a", old, false, start);
    assert_eq!(registry.list(NEWEST, start)[0].state, ReplicaState::Syncing);
    registry.beat("a", Beat { draining: true, ended: true, ..Beat::default() }, start, 0);
    assert_eq!(registry.list(NEWEST, start)[0].state, ReplicaState::Draining);
    registry.ended("a", new, false, start);
    assert!(registry.list(NEWEST, start).is_empty());
}

fn document(evicted: bool) -> ReplicaDocument {
    ReplicaDocument { host: "h".to_owned(), supervisor: String::new(), evicted }
}

fn supervised(pid: u32) -> Hello {
    Hello { supervisor: "host".to_owned(), ..hello("a", pid) }
}

#[test]
fn where_a_supervisor_reaps_a_drained_replica_stays_until_its_own_was() {
    let start = Instant::now();
    let mut registry = Registry::default();
    let stream = registry.hello(supervised(1), link(), start).unwrap().stream;
    registry.draining("a");
    registry.beat("a", Beat { ended: true, ..Beat::default() }, start, 0);
    registry.ended("a", stream, true, start);
    assert_eq!(registry.list(NEWEST, start)[0].state, ReplicaState::Draining);
    assert!(!registry.reaped("another", "a", 1), "only who started it is believed");
    assert!(registry.reaped("host", "a", 1));
    assert!(registry.list(NEWEST, start).is_empty());
    let stream = registry.hello(supervised(2), link(), start).unwrap().stream;
    registry.beat("a", Beat { ended: true, ..Beat::default() }, start, 0);
    registry.ended("a", stream, true, start);
    registry.close_ended(|supervisor| supervisor == "host");
    assert_eq!(registry.list(NEWEST, start).len(), 1);
    registry.close_ended(|_| false);
    assert!(registry.list(NEWEST, start).is_empty(), "nobody is left to reap it");
}

#[test]
fn word_of_a_process_that_is_gone_says_nothing_of_the_one_that_has_its_name_now() {
    let start = Instant::now();
    let mut registry = Registry::default();
    let stream = registry.hello(supervised(2), link(), start).unwrap().stream;
    assert!(!registry.reaped("host", "a", 1));
    registry.ended("a", stream, true, start);
    assert!(registry.reaped("host", "a", 0), "lost, and of an earlier supervisor");
}

#[test]
fn the_same_process_is_remembered_and_a_new_one_is_not() {
    let start = Instant::now();
    let mut registry = Registry::default();
    registry.hello(hello("a", 1), link(), start).unwrap();
    registry.applied("a", NEWEST, Duration::ZERO, start);
    registry.refused("a", NEWEST.0, StateHash([3; 32]), nack());
    let serving = Some(NEWEST.0.into());
    let again = registry.hello(Hello { serving, ..hello("a", 1) }, link(), start).unwrap();
    assert_eq!(again.refused, Some(StateHash([3; 32])));
    let other = registry.hello(Hello { serving, ..hello("a", 2) }, link(), start).unwrap();
    assert_eq!(other.refused, None);
}

#[test]
fn rate_from_totals() {
    let start = Instant::now();
    let mut registry = Registry::default();
    registry.hello(hello("a", 1), link(), start).unwrap();
    let beat = Beat { requests_total: 300, requests_in_flight: 4, ..Beat::default() };
    registry.beat("a", beat, start + Duration::from_secs(2), 0);
    let seen = registry.list(NEWEST, start).remove(0);
    assert_eq!((seen.rps, seen.in_flight, seen.requests), (150.0, 4, 300));
}

#[test]
fn the_list_is_bounded() {
    let start = Instant::now();
    let mut registry = Registry::default();
    for n in 0..REPLICA_LIMIT {
        assert!(registry.hello(hello(&n.to_string(), 1), link(), start).is_ok());
    }
    assert_eq!(registry.hello(hello("one more", 1), link(), start).err(), Some(Turned::Full));
    assert!(registry.hello(hello("7", 1), link(), start).is_ok());
}

#[test]
fn whoever_was_evicted_stays_out() {
    let start = Instant::now();
    let mut registry = Registry::default();
    registry.hello(hello("a", 1), link(), start).unwrap();
    assert!(registry.evict("a") && !registry.evict("b"));
    assert!(registry.list(NEWEST, start).is_empty());
    assert_eq!(registry.hello(hello("a", 2), link(), start).err(), Some(Turned::Evicted));
    registry.remember("c", &document(true), start);
    assert_eq!(registry.hello(hello("c", 2), link(), start).err(), Some(Turned::Evicted));
}

#[test]
fn rid_of_a_version_means_served_counted_and_kept_without_it() {
    let start = Instant::now();
    let mut registry = Registry::default();
    registry.remember("a", &document(false), start);
    let ids = ["p/k/1".to_owned()];
    let rid = |registry: &Registry| registry.evidence(1, start)[0].is_rid_of(NEWEST.0, &ids);
    assert!(!rid(&registry), "nothing is known of it in this life");
    registry.hello(hello("a", 1), link(), start).unwrap();
    registry.applied("a", NEWEST, Duration::ZERO, start);
    assert!(!rid(&registry), "nothing was counted since");
    let beat = |counter, in_flight, kept: Option<u64>| {
        let at = |counter| Some(Version { epoch: 1, counter }.into());
        let one = KeyUse { id: ids[0].clone(), in_flight, ..KeyUse::default() };
        Beat { version: at(counter), kept: kept.and_then(at), keys: vec![one], ..Beat::default() }
    };
    for (counted_at, in_flight, kept, is_rid) in [
        (8, 0, None, false),
        (9, 1, None, false),
        (9, 0, Some(8), false),
        (9, 0, Some(9), true),
        (10, 0, None, true),
    ] {
        registry.beat("a", beat(counted_at, in_flight, kept), start, 0);
        assert_eq!(rid(&registry), is_rid, "{counted_at} {in_flight} {kept:?}");
    }
    let restored = &registry.evidence(2, start)[0];
    assert!(!restored.is_rid_of(NEWEST.0, &ids), "what it serves from before a restore proves nothing");
    registry.hello(hello("a", 2), link(), start).unwrap();
    assert!(!rid(&registry), "another process proves nothing until it serves");
}

#[test]
fn answers_are_those_of_connected_replicas_to_one_state() {
    let start = Instant::now();
    let mut registry = Registry::default();
    let later = (Version { epoch: 1, counter: 10 }, StateHash([10; 32]));
    for id in ["acked", "later", "refused", "silent", "gone"] {
        let stream = registry.hello(hello(id, 1), link(), start).unwrap().stream;
        match id {
            "acked" => registry.applied(id, NEWEST, Duration::ZERO, start),
            "later" => registry.applied(id, later, Duration::ZERO, start),
            "refused" => registry.refused(id, NEWEST.0, NEWEST.1, nack()),
            "gone" => registry.ended(id, stream, false, start),
            _ => {}
        }
    }
    let of = |(version, hash)| registry.answers(version, hash);
    assert_eq!(of(NEWEST), Answers { connected: 4, acked: 2, refused: 1 });
    assert_eq!(of(later), Answers { connected: 4, acked: 1, refused: 0 });
}

#[test]
fn the_use_of_old_tokens_outlives_the_replica_that_counted_it() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let mut registry = Registry::default();
    let one = |place, last| TokenUse {
        client: "c".to_owned(),
        place,
        requests: 1,
        last_use_unix_millis: last,
        ..TokenUse::default()
    };
    let beat = |tokens: &[TokenUse]| Beat { tokens: tokens.to_vec(), ..Beat::default() };
    let last = |registry: &Registry| registry.evidence(1, start)[0].old_uses.last("c");
    registry.hello(hello("a", 1), link(), start).unwrap();
    registry.beat("a", beat(&[one(0, 900)]), start, 1000);
    assert_eq!(last(&registry), 0, "the new one");
    registry.beat("a", beat(&[one(0, 900), one(1, 700)]), start, 1000);
    assert_eq!(last(&registry), 700);
    assert_eq!(registry.connected()[0].beat.tokens.len(), 2, "whoever leads is told of it");
    registry.hello(hello("a", 1), link(), start + second).unwrap();
    let known = |registry: &Registry| registry.evidence(1, start + 3 * second)[0].known_ms;
    assert_eq!(known(&registry), 3000, "the same process");
    registry.hello(hello("a", 2), link(), start + second).unwrap();
    assert_eq!((known(&registry), last(&registry)), (2000, 700), "another one");
    registry.beat("a", beat(&[one(1, 600)]), start, 1000);
    assert_eq!(last(&registry), 700, "never earlier");
    registry.beat("a", beat(&[one(1, 5000)]), start, 1000);
    assert_eq!(last(&registry), 1000, "its clock is ahead");
    registry.evict("a");
    registry.hello(hello("b", 1), link(), start).unwrap();
    assert_eq!(last(&registry), 1000);
}
