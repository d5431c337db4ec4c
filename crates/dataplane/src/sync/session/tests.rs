use super::*;
use crate::sync::trust::tests::sign;
use keyway_proto::{fleet::v1::Removal, snapshot::v1 as wire};
use proptest::prelude::*;

fn settings(limit: u64) -> Resource {
    of_cluster(limit, "")
}

fn of_cluster(limit: u64, cluster: &str) -> Resource {
    let body = wire::Settings {
        cluster: cluster.to_owned(),
        digest_key: vec![1; 32],
        body_limit: limit,
        bodies_in_flight_limit: 1,
        ..wire::Settings::default()
    };
    resource(Kind::Settings, "settings", &body)
}

fn resource(kind: Kind, name: &str, body: &impl Message) -> Resource {
    let body = Bytes::from(body.encode_to_vec());
    Resource { kind: kind.into(), name: name.to_owned(), body, ..Resource::default() }
}

fn client(number: u8, team: u8) -> Resource {
    let (name, state) = (format!("c{number}"), wire::ClientState::Enabled.into());
    let body =
        wire::Client { name: name.clone(), state, team: format!("t{team}"), ..wire::Client::default() };
    resource(Kind::Client, &name, &body)
}

/// A state or a change, as a control plane sends it.
#[derive(Clone)]
struct Sent {
    begin: Begin,
    chunk: Chunk,
    commit: Commit,
}

fn whole(counter: u64, resources: Vec<Resource>) -> Sent {
    let roots = Resources::whole(&resources).map(|all| all.roots().all);
    let hash = roots.map(|hash| hash.0.to_vec()).unwrap_or_default();
    sent(counter, None, Chunk { resources, ..Chunk::default() }, hash)
}

/// What leads from `old` to `newer`.
fn change(old: &Snapshot, newer: &Snapshot) -> Sent {
    let change = old.resources().change_to(newer.resources());
    let removals = change.taken.iter().map(|one| Removal { kind: one.kind, name: one.name.clone() });
    let chunk = Chunk { removals: removals.collect(), resources: change.given };
    sent(newer.version.counter, Some(old), chunk, newer.hash.0.to_vec())
}

fn sent(counter: u64, base: Option<&Snapshot>, chunk: Chunk, state_hash: Vec<u8>) -> Sent {
    let version = Some(wire::Version { epoch: 1, counter });
    let bytes = chunk.resources.iter().map(Message::encoded_len).sum::<usize>()
        + chunk.removals.iter().map(Message::encoded_len).sum::<usize>();
    let begin = Begin {
        version,
        schema: SCHEMA,
        resources: chunk.resources.len() as u64,
        removals: chunk.removals.len() as u64,
        bytes: bytes as u64,
        base: base.map(|base| base.version.into()),
        base_hash: base.map(|base| base.hash.0.to_vec()).unwrap_or_default(),
        ..Begin::default()
    };
    Sent { begin, chunk, commit: Commit { version, state_hash, ..Commit::default() } }
}

fn good(counter: u64) -> Sent {
    whole(counter, vec![settings(1)])
}

/// As the link does it.
fn take(session: &mut Session, sent: Sent, trust: &Trust) -> Result<Arc<Snapshot>, Nack> {
    session.begin(sent.begin);
    session.chunk(sent.chunk);
    let built = session.commit(sent.commit, trust)?.run()?;
    session.serves(&built.snapshot);
    Ok(built.snapshot)
}

fn send(session: &mut Session, sent: Sent) -> Result<u64, String> {
    let taken = take(session, sent, &Trust::default());
    taken.map(|snapshot| snapshot.version.counter).map_err(|nack| nack.field)
}

#[test]
fn whole_states_are_taken_and_versions_never_fall() {
    let mut session = Session::new(None);
    assert_eq!(send(&mut session, good(5)), Ok(5));
    assert_eq!(send(&mut session, good(4)), Err("version".to_owned()));
    assert_eq!(send(&mut session, good(5)), Ok(5), "the same one again, whole");
    assert_eq!(send(&mut session, good(6)), Ok(6));
}

#[test]
fn two_clusters_are_never_mixed() {
    let of = |counter, cluster| whole(counter, vec![of_cluster(1, cluster)]);
    let mut session = Session::new(None);
    assert!(send(&mut session, of(5, "one")).is_ok());
    assert_eq!(send(&mut session, of(6, "two")), Err("settings: cluster".to_owned()));
    assert!(send(&mut session, of(7, "one")).is_ok());
}

#[test]
fn what_is_wrong_is_refused_whole_and_named() {
    type Spoil = fn(&mut Sent);
    let cases: [(Spoil, &str); 12] = [
        (|sent| sent.begin.schema += 1, "schema"),
        (|sent| sent.begin.needs.push("telepathy".to_owned()), "needs"),
        (|sent| sent.chunk.resources[0].needs.push("telepathy".to_owned()), "chunk"),
        (|sent| sent.begin.bytes = STATE_LIMIT + 1, "bytes"),
        (|sent| sent.begin.resources = 2, "commit"),
        (|sent| sent.begin.resources = 0, "chunk"),
        (|sent| sent.begin.removals = 1, "commit"),
        (|sent| sent.begin.bytes -= 1, "chunk"),
        (|sent| sent.commit.state_hash = vec![0; 32], "state_hash"),
        (|sent| sent.commit.state_hash = vec![], "state_hash"),
        (|sent| *sent = whole(1, vec![settings(0)]), "settings: body_limit"),
        (|sent| sent.commit.secrets = Some(Part::default()), ""),
    ];
    for (spoil, field) in cases {
        let mut session = Session::new(None);
        let mut sent = good(1);
        spoil(&mut sent);
        match field {
            "" => assert!(send(&mut session, sent).is_ok(), "one part alone is not looked at"),
            field => assert_eq!(send(&mut session, sent), Err(field.to_owned())),
        }
        assert!(send(&mut session, good(2)).is_ok(), "the next good one is taken");
    }
    let twice = whole(1, vec![settings(1), settings(1)]);
    assert_eq!(send(&mut Session::new(None), twice), Err("settings: name".to_owned()));
    let unknown =
        whole(1, vec![settings(1), Resource { kind: 77, name: "x".to_owned(), ..Resource::default() }]);
    assert_eq!(send(&mut Session::new(None), unknown), Err("x: kind".to_owned()), "never half applied");
    let mut needing = good(1);
    needing.chunk.resources[0].needs.push("telepathy".to_owned());
    needing.begin.bytes += 11;
    assert_eq!(send(&mut Session::new(None), needing), Err("settings: needs".to_owned()));
    assert!(Session::new(None).commit(Commit::default(), &Trust::default()).is_err());
}

#[test]
fn a_change_that_does_not_fit_asks_for_the_whole() {
    let mut session = Session::new(None);
    let trust = Trust::default();
    let one = take(&mut session, whole(1, vec![settings(1), client(1, 1)]), &trust).unwrap();
    let two =
        one.changed(Version { epoch: 1, counter: 2 }, &Change { given: vec![client(2, 1)], taken: vec![] });
    let two = two.unwrap();
    let other = change(&two, &two.changed(Version { epoch: 1, counter: 3 }, &Change::default()).unwrap());
    let mut twisted = change(&one, &two);
    twisted.begin.base_hash = vec![3; 32];
    let mut wrong = change(&one, &two);
    wrong.commit.state_hash = vec![3; 32];
    for (sent, field) in [(other, "base"), (twisted, "base"), (wrong, "state_hash")] {
        let refused = take(&mut session, sent, &trust).unwrap_err();
        assert_eq!((&*refused.field, refused.resend), (field, true));
    }
    assert_eq!(take(&mut session, change(&one, &two), &trust).unwrap().hash, two.hash);
    let bad = whole(3, vec![settings(1)]);
    let bad = Sent { commit: Commit { state_hash: vec![1; 32], ..bad.commit }, ..bad };
    assert!(!take(&mut session, bad, &trust).unwrap_err().resend, "of the whole there is no more");
}

#[test]
fn a_state_that_nobody_known_signed_is_not_used() {
    let state = || whole(1, vec![of_cluster(1, "here")]);
    let bytes = |sent: &Sent| {
        let hash = StateHash(sent.commit.state_hash.clone().try_into().unwrap());
        signed("here", Version { epoch: 1, counter: 1 }, hash, SCHEMA)
    };
    let by = |seed, mut sent: Sent| {
        let Signature { signer, bytes } = sign(seed, &bytes(&sent));
        (sent.commit.signer, sent.commit.signature) = (signer, bytes);
        sent
    };
    let trust = Trust::in_keys(vec![sign(1, b"").signer]);
    let refused = |sent| take(&mut Session::new(None), sent, &trust).map_err(|nack| nack.field).err();
    assert_eq!(refused(by(1, state())), None);
    assert_eq!(refused(by(2, state())).as_deref(), Some("signature"));
    assert_eq!(refused(state()).as_deref(), Some("signature"));
    let mut moved = by(1, state());
    moved.begin.version = Some(wire::Version { epoch: 1, counter: 2 });
    moved.commit.version = moved.begin.version;
    assert_eq!(refused(moved).as_deref(), Some("signature"), "an older state under a newer version");
    let mut other = by(1, whole(1, vec![of_cluster(1, "there")]));
    other.commit.signature = by(1, state()).commit.signature;
    assert_eq!(refused(other).as_deref(), Some("signature"));
}

/// What a stream may do to a message.
#[derive(Debug, Clone)]
enum Way {
    Arrives,
    Lost,
    Twice,
}

proptest! {
    /// Whatever is lost or doubled on the way: a replica serves states that the control plane made, or says what is wrong.
    #[test]
    fn whatever_comes_only_true_states_are_served(
        steps in prop::collection::vec((0..6u8, 0..4u8, any::<bool>()), 1..12),
        ways in prop::collection::vec(prop_oneof![6 => Just(Way::Arrives), 1 => Just(Way::Lost), 1 => Just(Way::Twice)], 48),
    ) {
        let mut session = Session::new(None);
        let trust = Trust::default();
        let first = whole(1, vec![settings(1)]);
        let mut held = take(&mut session, first, &trust).unwrap();
        let mut truth = held.clone();
        let mut ways = ways.into_iter().cycle();
        for (counter, (number, team, gone)) in (2..).zip(steps) {
            let one = client(number, team);
            let next = match gone {
                true => Change { given: vec![], taken: vec![ResourceName::of(&one)] },
                false => Change { given: vec![one], taken: vec![] },
            };
            let newer = Arc::new(truth.changed(Version { epoch: 1, counter }, &next).unwrap());
            let letter = change(&held, &newer);
            truth = newer;
            let mut answer = None;
            for message in 0..3 {
                let times = match ways.next().unwrap() { Way::Arrives => 1, Way::Lost => 0, Way::Twice => 2 };
                for _ in 0..times {
                    match message {
                        0 => session.begin(letter.begin.clone()),
                        1 => session.chunk(letter.chunk.clone()),
                        _ => answer = answer.or(Some(session.commit(letter.commit.clone(), &trust).and_then(Build::run))),
                    }
                }
            }
            match answer {
                Some(Ok(built)) => {
                    prop_assert_eq!(built.snapshot.hash, truth.hash);
                    prop_assert_eq!(built.snapshot.version, truth.version);
                    session.serves(&built.snapshot);
                    held = built.snapshot;
                }
                // The control plane sends the whole, or ends a stream that says nothing.
                Some(Err(_)) | None => {
                    let all: Vec<_> = truth.resources().iter().cloned().collect();
                    held = take(&mut session, whole(counter, all), &trust).unwrap();
                }
            }
            prop_assert_eq!(held.hash, truth.hash);
        }
    }
}
