use super::*;
use keyway_proto::{
    fleet::v1::{Drain, Quota, Quotas, ToReplica},
    snapshot::v1::Resource,
};
use proptest::prelude::*;
use prost::Message as _;

fn version(counter: u64) -> Version {
    Version { epoch: 1, counter }
}

/// A state of one chunk whose content is `body`.
fn push(counter: u64, body: &'static str) -> Arc<Push> {
    let resource = Resource { kind: 5, name: "a".to_owned(), body: Bytes::from_static(body.as_bytes()) };
    let all = [resource];
    Arc::new(Push::encode(version(counter), keyway_snapshot::state_hash(&all), &all).unwrap())
}

/// Takes every frame that there is and names it: `begin3 chunk commit3 drain beat3`.
fn sent(session: &mut Session, now: Instant) -> String {
    let mut words = Vec::new();
    while session.has_frame() {
        let frame = session.next_frame(now).unwrap();
        let counter = |version: Option<keyway_proto::snapshot::v1::Version>| version.unwrap().counter;
        words.push(match ToReplica::decode(frame).unwrap().message.unwrap() {
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
    Nack { version: Some(version(counter).into()), field: "x".to_owned(), reason: "y".to_owned() }
}

#[test]
fn of_what_is_known_of_limits_only_the_newest_waits() {
    let mut session = Session::new(push(1, "one"), Some(version(1)), None);
    let word = |count| frame(Message::Quotas(Quotas { quotas: vec![Quota::default(); count] }));
    session.word(word(1));
    session.word(word(2));
    assert!(session.order(Message::Drain(Drain::default())));
    assert_eq!(sent(&mut session, Instant::now()), "drain quotas2");
}

#[test]
fn sends_the_newest_and_settles_on_ack() {
    let (now, first) = (Instant::now(), push(1, "one"));
    let mut session = Session::new(Arc::clone(&first), None, None);
    assert_eq!(sent(&mut session, now), "begin1 chunk commit1");
    let took = Duration::from_millis(5);
    let applied = Heard::Applied { version: version(1), hash: first.hash, took };
    assert_eq!(session.ack(version(1), &first.hash.0, now + took), applied);
    assert_eq!(sent(&mut session, now), "");
}

#[test]
fn only_the_newest_is_begun_after_an_answer() {
    let (now, first) = (Instant::now(), push(1, "one"));
    let mut session = Session::new(Arc::clone(&first), None, None);
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
    let mut session = Session::new(Arc::clone(&bad), Some(version(1)), None);
    sent(&mut session, now);
    assert_eq!(session.nack(&nack(2)), Heard::Refused { version: version(2), hash: bad.hash });
    assert_eq!(sent(&mut session, now), "");
    // The same content under a new version is the same poison; other content goes out.
    session.newest(push(3, "bad"));
    assert_eq!(sent(&mut session, now), "");
    session.newest(push(4, "good"));
    assert_eq!(sent(&mut session, now), "begin4 chunk commit4");
    // What was refused stays refused on a new stream of the same process.
    let mut again = Session::new(push(3, "bad"), Some(version(1)), Some(bad.hash));
    assert_eq!(sent(&mut again, now), "");
}

#[test]
fn a_refusal_in_the_middle_stops_the_rest() {
    let now = Instant::now();
    let mut session = Session::new(push(1, "one"), None, None);
    session.next_frame(now).unwrap();
    assert!(matches!(session.nack(&nack(1)), Heard::Refused { .. }));
    assert_eq!(sent(&mut session, now), "");
}

#[test]
fn resumes_without_a_push_when_the_newest_is_served() {
    let mut session = Session::new(push(4, "four"), Some(version(4)), None);
    assert_eq!(sent(&mut session, Instant::now()), "");
}

#[test]
fn orders_go_first_and_beats_never_pile_up() {
    let now = Instant::now();
    let mut session = Session::new(push(1, "one"), None, None);
    session.next_frame(now).unwrap();
    assert!(session.order(Message::Drain(Drain::default())));
    session.beat();
    assert_eq!(sent(&mut session, now), "drain chunk commit1");
    session.ack(version(1), &push(1, "one").hash.0, now);
    session.beat();
    session.beat();
    assert_eq!(sent(&mut session, now), "beat1");
    let taken = (0..100).filter(|_| session.order(Message::Drain(Drain::default()))).count();
    assert_eq!(taken, ORDER_LIMIT);
}

#[test]
fn answers_that_fit_nothing_are_faults() {
    let now = Instant::now();
    let mut early = Session::new(push(1, "one"), None, None);
    early.next_frame(now).unwrap();
    assert!(matches!(early.ack(version(1), &push(1, "one").hash.0, now), Heard::Broken(_)));
    let mut session = Session::new(push(1, "one"), None, None);
    sent(&mut session, now);
    assert!(matches!(session.ack(version(7), &[0; 32], now), Heard::Broken(_)));
    assert!(matches!(session.nack(&nack(7)), Heard::Broken(_)));
    assert!(matches!(session.ack(version(1), &[0; 32], now), Heard::Broken(_)));
}

#[test]
fn silence_after_a_whole_state_is_overdue() {
    let now = Instant::now();
    let mut session = Session::new(push(1, "one"), None, None);
    assert!(!session.overdue(now + ANSWER_DEADLINE * 2));
    sent(&mut session, now);
    assert!(!session.overdue(now + ANSWER_DEADLINE));
    assert!(session.overdue(now + ANSWER_DEADLINE * 2));
}

/// What may happen to a stream.
#[derive(Debug, Clone)]
enum Event {
    /// A newer state, with one of a few contents.
    Newer(usize),
    /// The stream has room for so many frames.
    Room(usize),
    /// The replica answers what it has whole: well or not.
    Answer(bool),
    Order,
    Beat,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..4usize).prop_map(Event::Newer),
        (1..5usize).prop_map(Event::Room),
        any::<bool>().prop_map(Event::Answer),
        Just(Event::Order),
        Just(Event::Beat),
    ]
}

/// A replica that takes in frames as they come; panics where the session breaks the protocol.
#[derive(Default)]
struct Peer {
    begun: Option<Version>,
    whole: Option<(Version, Vec<u8>)>,
    served: Version,
    refused: Vec<Vec<u8>>,
}

impl Peer {
    fn take(&mut self, frame: Bytes) {
        match ToReplica::decode(frame).unwrap().message.unwrap() {
            Message::Begin(begin) => {
                assert!(self.begun.is_none() && self.whole.is_none(), "two states under way");
                let version = Version::from(begin.version.unwrap());
                assert!(version > self.served, "versions only grow");
                self.begun = Some(version);
            }
            Message::Chunk(_) => assert!(self.begun.is_some()),
            Message::Commit(commit) => {
                assert_eq!(self.begun.take(), commit.version.map(Version::from));
                assert!(!self.refused.contains(&commit.state_hash), "a refused state came again");
                self.whole = Some((commit.version.unwrap().into(), commit.state_hash));
            }
            Message::Beat(_)
            | Message::Drain(_)
            | Message::Probe(_)
            | Message::Quotas(_)
            | Message::Host(_)
            | Message::ControlPlanes(_) => {}
        }
    }

    fn answer(&mut self, session: &mut Session, good: bool, now: Instant) {
        let Some((version, hash)) = self.whole.take() else { return };
        if good {
            assert!(matches!(session.ack(version, &hash, now), Heard::Applied { .. }));
            self.served = version;
        } else {
            // One refusal is remembered: the last. Older ones can only come back under another state between.
            self.refused = vec![hash];
            assert!(matches!(session.nack(&nack(version.counter)), Heard::Refused { .. }));
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_protocol_holds_and_the_newest_arrives(events in prop::collection::vec(event(), 0..60)) {
        let now = Instant::now();
        let mut newest = push(1, "one");
        let mut session = Session::new(Arc::clone(&newest), None, None);
        let mut peer = Peer::default();
        for event in events {
            match event {
                Event::Newer(content) => {
                    newest = push(newest.version.counter + 1, ["one", "two", "three", "four"][content]);
                    session.newest(Arc::clone(&newest));
                }
                Event::Room(frames) => (0..frames).filter_map(|_| session.next_frame(now)).for_each(|frame| peer.take(frame)),
                Event::Answer(good) => peer.answer(&mut session, good, now),
                Event::Order => drop(session.order(Message::Drain(Drain::default()))),
                Event::Beat => session.beat(),
            }
        }
        // From here on the replica takes everything: it ends at the newest, or keeps off what it refused last.
        for _ in 0..3 {
            while session.has_frame() {
                peer.take(session.next_frame(now).unwrap());
            }
            peer.answer(&mut session, true, now);
        }
        prop_assert!(peer.served == newest.version || peer.refused == [newest.hash.0.to_vec()]);
    }
}
