use super::*;
use crate::push::tests::{Signs, client, settings, version};
use keyway_proto::{
    fleet::v1::{Begin, Drain, Quota, Quotas, ToReplica},
    snapshot::v1::Resource,
};
use keyway_snapshot::{Change, ResourceName, Resources, Snapshot};
use proptest::prelude::*;
use prost::Message as _;

/// A state of one chunk whose content is `name`.
fn push(counter: u64, name: &'static str) -> Arc<Push> {
    let all = [settings(), client(name, 1)];
    Arc::new(Push::first(Snapshot::build(version(counter), &all).unwrap(), &Signs).unwrap())
}

/// The state after `push`, with one client more.
fn next(push: &Push, name: &str) -> Arc<Push> {
    let counter = push.version.counter + 1;
    let change = Change { given: vec![client(name, 1)], taken: Vec::new() };
    let snapshot = push.snapshot().changed(version(counter), &change).unwrap();
    Arc::new(push.next(snapshot, &Signs).unwrap())
}

/// A replica of this build that serves this state.
fn serving(push: Option<&Push>) -> Peer {
    let features = feature::ALL.iter().map(|&name| name.to_owned()).collect();
    let hash = push.map(|push| push.hash.0.to_vec()).unwrap_or_default();
    let serving = push.map(|push| push.version.into());
    Peer::from(&Hello { serving, state_hash: hash, schema: SCHEMA, features, ..Hello::default() })
}

/// A replica of the first builds, at that version.
fn old(counter: Option<u64>) -> Peer {
    let serving = counter.map(|counter| version(counter).into());
    Peer::from(&Hello { serving, schema: SCHEMA, ..Hello::default() })
}

/// Takes every frame that there is and names it: `begin3 chunk commit3 drain beat3`.
fn sent(session: &mut Session, now: Instant) -> String {
    let mut words = Vec::new();
    while session.has_frame() {
        let frame = session.next_frame(now).unwrap();
        let counter = |version: Option<keyway_proto::snapshot::v1::Version>| version.unwrap().counter;
        words.push(match ToReplica::decode(frame).unwrap().message.unwrap() {
            Message::Begin(Begin { base: Some(base), version, .. }) => {
                format!("from{}to{}", base.counter, counter(version))
            }
            Message::Begin(begin) => format!("begin{}", counter(begin.version)),
            Message::Chunk(_) => "chunk".to_owned(),
            Message::Commit(commit) => format!("commit{}", counter(commit.version)),
            Message::Beat(beat) => format!("beat{}", counter(beat.version)),
            Message::Drain(_) => "drain".to_owned(),
            Message::Probe(_) => "probe".to_owned(),
            Message::Quotas(quotas) => format!("quotas{}", quotas.quotas.len()),
            Message::Host(_) | Message::ControlPlanes(_) => "host".to_owned(),
        });
    }
    assert_eq!(session.next_frame(now), None);
    words.join(" ")
}

fn nack(counter: u64) -> Nack {
    let version = Some(version(counter).into());
    Nack { version, field: "x".to_owned(), reason: "y".to_owned(), resend: false }
}

#[test]
fn of_what_is_known_of_limits_only_the_newest_waits() {
    let mut session = Session::new(push(1, "one"), old(Some(1)), None);
    let word = |count| frame(Message::Quotas(Quotas { quotas: vec![Quota::default(); count] }));
    session.word(word(1));
    session.word(word(2));
    assert!(session.order(Message::Drain(Drain::default())));
    assert_eq!(sent(&mut session, Instant::now()), "drain quotas2");
}

#[test]
fn sends_the_newest_and_settles_on_ack() {
    let (now, first) = (Instant::now(), push(1, "one"));
    let mut session = Session::new(Arc::clone(&first), old(None), None);
    assert_eq!(sent(&mut session, now), "begin1 chunk commit1");
    let took = Duration::from_millis(5);
    let applied = Heard::Applied { version: version(1), hash: first.hash, took };
    assert_eq!(session.ack(version(1), &first.hash.0, now + took), applied);
    assert_eq!(sent(&mut session, now), "");
}

#[test]
fn only_the_newest_is_begun_after_an_answer() {
    let (now, first) = (Instant::now(), push(1, "one"));
    let mut session = Session::new(Arc::clone(&first), old(None), None);
    assert_eq!(sent(&mut session, now), "begin1 chunk commit1");
    session.newest(push(2, "two"));
    session.newest(push(3, "three"));
    assert_eq!(sent(&mut session, now), "");
    session.ack(version(1), &first.hash.0, now);
    assert_eq!(sent(&mut session, now), "begin3 chunk commit3");
}

#[test]
fn a_refused_hash_is_never_sent_again() {
    let (now, bad) = (Instant::now(), push(2, "bad"));
    let mut session = Session::new(Arc::clone(&bad), old(Some(1)), None);
    sent(&mut session, now);
    assert_eq!(session.nack(&nack(2)), Heard::Refused { version: version(2), hash: bad.hash });
    assert_eq!(sent(&mut session, now), "");
    // The same content under a new version is the same poison; other content goes out.
    session.newest(push(3, "bad"));
    assert_eq!(sent(&mut session, now), "");
    session.newest(push(4, "good"));
    assert_eq!(sent(&mut session, now), "begin4 chunk commit4");
    // What was refused stays refused on a new stream of the same process.
    let mut again = Session::new(push(3, "bad"), old(Some(1)), Some(bad.hash));
    assert_eq!(sent(&mut again, now), "");
}

#[test]
fn a_refusal_in_the_middle_stops_the_rest() {
    let now = Instant::now();
    let mut session = Session::new(push(1, "one"), old(None), None);
    session.next_frame(now).unwrap();
    assert!(matches!(session.nack(&nack(1)), Heard::Refused { .. }));
    assert_eq!(sent(&mut session, now), "");
}

#[test]
fn resumes_without_a_push_when_the_newest_is_served() {
    let mut session = Session::new(push(4, "four"), old(Some(4)), None);
    assert_eq!(sent(&mut session, Instant::now()), "");
}

#[test]
fn orders_go_first_and_beats_never_pile_up() {
    let now = Instant::now();
    let mut session = Session::new(push(1, "one"), old(None), None);
    session.next_frame(now).unwrap();
    assert!(session.order(Message::Drain(Drain::default())));
    session.beat(None);
    assert_eq!(sent(&mut session, now), "drain chunk commit1");
    session.ack(version(1), &push(1, "one").hash.0, now);
    session.beat(None);
    session.beat(None);
    assert_eq!(sent(&mut session, now), "beat1");
    let taken = (0..100).filter(|_| session.order(Message::Drain(Drain::default()))).count();
    assert_eq!(taken, ORDER_LIMIT);
}

#[test]
fn answers_that_fit_nothing_are_faults() {
    let now = Instant::now();
    let mut early = Session::new(push(1, "one"), old(None), None);
    early.next_frame(now).unwrap();
    assert!(matches!(early.ack(version(1), &push(1, "one").hash.0, now), Heard::Broken(_)));
    let mut session = Session::new(push(1, "one"), old(None), None);
    sent(&mut session, now);
    assert!(matches!(session.ack(version(7), &[0; 32], now), Heard::Broken(_)));
    assert!(matches!(session.nack(&nack(7)), Heard::Broken(_)));
    assert!(matches!(session.ack(version(1), &[0; 32], now), Heard::Broken(_)));
}

#[test]
fn silence_after_a_whole_state_is_overdue() {
    let now = Instant::now();
    let mut session = Session::new(push(1, "one"), old(None), None);
    assert!(!session.overdue(now + ANSWER_DEADLINE * 2));
    sent(&mut session, now);
    assert!(!session.overdue(now + ANSWER_DEADLINE));
    assert!(session.overdue(now + ANSWER_DEADLINE * 2));
}

#[test]
fn a_state_that_stops_in_the_middle_is_overdue() {
    let now = Instant::now();
    let mut session = Session::new(push(1, "one"), old(None), None);
    session.next_frame(now).unwrap();
    let (later, second) = (now + FRAME_DEADLINE, Duration::from_secs(1));
    assert!(!session.overdue(later) && session.overdue(later + second));
    session.next_frame(later).unwrap();
    assert!(!session.overdue(later + FRAME_DEADLINE), "it moves, however slowly");
    assert!(session.overdue(later + FRAME_DEADLINE + second));
}

#[test]
fn changes_go_to_who_takes_them_and_the_whole_to_who_does_not() {
    let (now, one) = (Instant::now(), push(1, "one"));
    let large = one.resources().changed(&Change { given: vec![client("large", 9000)], taken: Vec::new() });
    let large: Vec<_> = large.iter().cloned().collect();
    let one = Arc::new(Push::first(Snapshot::build(version(1), &large).unwrap(), &Signs).unwrap());
    let two = next(&one, "two");
    let three = next(&two, "three");
    let mut session = Session::new(Arc::clone(&three), serving(Some(&one)), None);
    assert_eq!(sent(&mut session, now), "from1to3 chunk commit3");
    assert!(!session.begun().unwrap().whole);
    assert!(matches!(session.ack(version(3), &three.hash.0, now), Heard::Applied { .. }));
    session.newest(next(&three, "four"));
    assert_eq!(sent(&mut session, now), "from3to4 chunk commit4", "on top of what it acknowledged");
    let mut before = Session::new(Arc::clone(&three), old(Some(1)), None);
    assert_eq!(sent(&mut before, now), "begin3 chunk commit3");
    let mut away = Session::new(Arc::clone(&three), serving(Some(&push(2, "else"))), None);
    assert_eq!(sent(&mut away, now), "begin3 chunk commit3", "of that past nothing is known");
    let restarted = Arc::new(Push::first(Snapshot::build(version(9), &large).unwrap(), &Signs).unwrap());
    let mut session = Session::new(restarted, serving(Some(&one)), None);
    assert_eq!(sent(&mut session, now), "from1to9 commit9", "the same content costs nothing");
}

#[test]
fn what_does_not_fit_is_sent_whole_and_once() {
    let (now, one) = (Instant::now(), push(1, "one"));
    let twin = Arc::new(Push::first(Snapshot::clone(one.snapshot()), &Signs).unwrap());
    let peer = Peer { serves: Some(version(0)), ..serving(Some(&one)) };
    let mut session = Session::new(twin, peer, None);
    assert_eq!(sent(&mut session, now), "from0to1 commit1");
    let again = Nack { resend: true, ..nack(1) };
    assert_eq!(session.nack(&again), Heard::Again { version: version(1) });
    assert_eq!(sent(&mut session, now), "begin1 chunk commit1");
    assert!(session.begun().unwrap().whole);
    assert!(matches!(session.nack(&again), Heard::Refused { .. }), "of the whole there is no more");
    assert_eq!(sent(&mut session, now), "");
}

#[test]
fn a_replica_that_serves_something_else_is_sent_the_whole_once() {
    let (now, one) = (Instant::now(), push(1, "one"));
    let other = Peer { hash: Some(StateHash([7; 32])), ..serving(Some(&one)) };
    let mut session = Session::new(Arc::clone(&one), other, None);
    assert_eq!(sent(&mut session, now), "begin1 chunk commit1");
    session.ack(version(1), &one.hash.0, now);
    assert_eq!(session.serves(Some(version(1)), &one.hash.0), Ok(()));
    assert_eq!(session.serves(Some(version(0)), &[7; 32]), Ok(()), "counted before the swap");
    assert_eq!(session.serves(Some(version(1)), &[7; 32]), Ok(()));
    assert_eq!(sent(&mut session, now), "begin1 chunk commit1");
    session.ack(version(1), &one.hash.0, now);
    assert!(session.serves(Some(version(1)), &[7; 32]).is_err(), "never a loop");
}

#[test]
fn who_cannot_read_a_state_is_left_where_it_is() {
    let now = Instant::now();
    let one = push(1, "one");
    let needing = Resource { needs: vec!["quota".to_owned()], ..client("needs", 1) };
    let change = Change { given: vec![needing], taken: Vec::new() };
    let two = Arc::new(one.next(one.snapshot().changed(version(2), &change).unwrap(), &Signs).unwrap());
    let mut session = Session::new(Arc::clone(&two), serving(Some(&one)), None);
    assert_eq!((session.lacks().as_deref(), sent(&mut session, now)), (Some("quota"), String::new()));
    let mut able = serving(Some(&one));
    able.features.insert("quota".to_owned());
    let mut session = Session::new(two, able, None);
    assert_eq!(sent(&mut session, now), "from1to2 chunk commit2");
    let mut older = Session::new(one, Peer::default(), None);
    assert_eq!((older.lacks().as_deref(), sent(&mut older, now)), (Some("schema 1"), String::new()));
}

/// What may happen to a stream.
#[derive(Debug, Clone)]
enum Event {
    /// A newer state, with one of a few contents.
    Newer(usize),
    /// The stream has room for so many frames.
    Room(usize),
    /// The replica answers what it has whole.
    Answer(Answer),
    Order,
    Beat,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Good,
    Bad,
    /// What changed does not fit: the whole would.
    Whole,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..4usize).prop_map(Event::Newer),
        (1..5usize).prop_map(Event::Room),
        Just(Event::Answer(Answer::Good)),
        Just(Event::Answer(Answer::Bad)),
        Just(Event::Answer(Answer::Whole)),
        Just(Event::Order),
        Just(Event::Beat),
    ]
}

/// The state after `push` that holds one of four clients and no other: the same content, the same hash.
fn turn(push: &Push, content: usize) -> Arc<Push> {
    let names = ["one", "two", "three", "four"];
    let name = |name: &str| ResourceName { kind: 5, name: name.to_owned() };
    let taken = names.iter().filter(|other| **other != names[content]).map(|other| name(other));
    let change = Change { given: vec![client(names[content], 1)], taken: taken.collect() };
    let counter = push.version.counter + 1;
    Arc::new(push.next(push.snapshot().changed(version(counter), &change).unwrap(), &Signs).unwrap())
}

/// A replica that takes in frames as they come; panics where the session breaks the protocol.
#[derive(Default)]
struct Replica {
    begun: Option<Begin>,
    change: Change,
    whole: Option<(Version, Resources)>,
    held: Resources,
    served: Version,
    refused: Option<StateHash>,
}

impl Replica {
    fn take(&mut self, frame: Bytes) {
        match ToReplica::decode(frame).unwrap().message.unwrap() {
            Message::Begin(begin) => {
                assert!(self.begun.is_none() && self.whole.is_none(), "two states under way");
                assert!(Version::from(begin.version.unwrap()) > self.served, "versions only grow");
                if let Some(base) = begin.base {
                    assert_eq!(Version::from(base), self.served);
                    assert_eq!(begin.base_hash, self.held.roots().all.0);
                }
                self.begun = Some(begin);
            }
            Message::Chunk(chunk) => {
                assert!(self.begun.is_some());
                self.change.given.extend(chunk.resources);
                let removals = chunk.removals.into_iter();
                self.change.taken.extend(removals.map(|one| ResourceName { kind: one.kind, name: one.name }));
            }
            Message::Commit(commit) => {
                let begin = self.begun.take().unwrap();
                assert_eq!(begin.version, commit.version);
                let change = std::mem::take(&mut self.change);
                let resources = match begin.base {
                    Some(_) => self.held.changed(&change),
                    None => Resources::whole(&change.given).unwrap(),
                };
                assert_eq!(resources.roots().all.0, *commit.state_hash);
                assert_ne!(self.refused, Some(resources.roots().all), "a refused state came again");
                self.whole = Some((commit.version.unwrap().into(), resources));
            }
            Message::Beat(_)
            | Message::Drain(_)
            | Message::Probe(_)
            | Message::Quotas(_)
            | Message::Host(_)
            | Message::ControlPlanes(_) => {}
        }
    }

    fn answer(&mut self, session: &mut Session, answer: Answer, now: Instant) {
        let Some((version, resources)) = self.whole.take() else { return };
        let hash = resources.roots().all;
        match answer {
            Answer::Good => {
                assert!(matches!(session.ack(version, &hash.0, now), Heard::Applied { .. }));
                (self.served, self.held) = (version, resources);
            }
            Answer::Bad => {
                // One refusal is remembered: the last. Older ones can only come back under another state between.
                self.refused = Some(hash);
                assert!(matches!(session.nack(&nack(version.counter)), Heard::Refused { .. }));
            }
            Answer::Whole => match session.nack(&Nack { resend: true, ..nack(version.counter) }) {
                Heard::Again { .. } => {}
                Heard::Refused { .. } => self.refused = Some(hash),
                other => panic!("{other:?}"),
            },
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_protocol_holds_and_the_newest_arrives(
        events in prop::collection::vec(event(), 0..60),
        takes_changes in any::<bool>(),
    ) {
        let now = Instant::now();
        let mut newest = push(1, "one");
        let peer = if takes_changes { serving(None) } else { old(None) };
        let mut session = Session::new(Arc::clone(&newest), peer, None);
        let mut replica = Replica::default();
        for event in events {
            match event {
                Event::Newer(content) => {
                    newest = turn(&newest, content);
                    session.newest(Arc::clone(&newest));
                }
                Event::Room(frames) => {
                    (0..frames).filter_map(|_| session.next_frame(now)).for_each(|frame| replica.take(frame));
                }
                Event::Answer(answer) => replica.answer(&mut session, answer, now),
                Event::Order => drop(session.order(Message::Drain(Drain::default()))),
                Event::Beat => session.beat(None),
            }
        }
        // From here on the replica takes everything: it ends at the newest, or keeps off what it refused last.
        for _ in 0..3 {
            while session.has_frame() {
                replica.take(session.next_frame(now).unwrap());
            }
            replica.answer(&mut session, Answer::Good, now);
        }
        let is_newest = replica.served == newest.version && replica.held.roots().all == newest.hash;
        prop_assert!(is_newest || replica.refused == Some(newest.hash));
    }
}
