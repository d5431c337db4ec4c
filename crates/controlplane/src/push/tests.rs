use super::{frames::chunk_frame, *};
use bytes::Bytes;
use keyway_proto::{
    CHUNK_LIMIT, STATE_LIMIT,
    fleet::v1::{Chunk, ToReplica, to_replica::Message},
    snapshot::v1::{self as wire, Kind, Resource},
};
use keyway_snapshot::{Change, ResourceName, state_hash};
use prost::Message as _;

/// Signs with a fixed word.
pub(crate) struct Signs;

impl Sign for Signs {
    fn sign(&self, bytes: &[u8]) -> Signature {
        Signature { signer: b"signer".to_vec(), bytes: blake3::hash(bytes).as_bytes().to_vec() }
    }
}

pub(crate) fn version(counter: u64) -> Version {
    Version { epoch: 1, counter }
}

pub(crate) fn settings() -> Resource {
    let body = wire::Settings {
        digest_key: vec![1; 32],
        body_limit: 1,
        bodies_in_flight_limit: 1,
        cluster: "here".to_owned(),
        ..wire::Settings::default()
    };
    resource(Kind::Settings, "settings", body.encode_to_vec())
}

fn resource(kind: Kind, name: &str, body: Vec<u8>) -> Resource {
    Resource { kind: kind.into(), name: name.to_owned(), body: body.into(), ..Resource::default() }
}

/// A client whose team is so many bytes long.
pub(crate) fn client(name: &str, bytes: usize) -> Resource {
    let state = wire::ClientState::Enabled.into();
    let body =
        wire::Client { name: name.to_owned(), team: "t".repeat(bytes), state, ..wire::Client::default() };
    resource(Kind::Client, name, body.encode_to_vec())
}

fn first(counter: u64, resources: &[Resource]) -> Result<Push, TooLarge> {
    Push::first(Snapshot::build(version(counter), resources).unwrap(), &Signs)
}

fn decoded(frames: &Frames) -> Vec<Message> {
    let all = (0..).map_while(|place| frames.get(place));
    all.map(|frame: &Bytes| ToReplica::decode(frame.clone()).unwrap().message.unwrap()).collect()
}

fn given(name: &str, bytes: usize) -> Change {
    Change { given: vec![client(name, bytes)], taken: Vec::new() }
}

#[test]
fn every_resource_once_in_chunks_within_the_limit() {
    let large = |n| if n == 4 { 1_000_000 } else { 30_000 };
    let clients = (0..10).map(|n| client(&format!("r{n}"), large(n)));
    let resources: Vec<_> = [settings()].into_iter().chain(clients).collect();
    let push = first(3, &resources).unwrap();
    let messages = decoded(&push.frames(None));
    let mut seen = Vec::new();
    for message in &messages {
        if let Message::Chunk(chunk) = message {
            assert!(chunk.encoded_len() <= CHUNK_LIMIT);
            seen.extend(chunk.resources.clone());
        }
    }
    assert_eq!(state_hash(&seen), state_hash(&resources));
    assert_eq!(seen.len(), resources.len());
    let [Message::Begin(begin), .., Message::Commit(commit)] = messages.as_slice() else { panic!("framed") };
    assert_eq!((begin.resources, begin.base.is_none()), (11, true));
    assert_eq!(begin.bytes, seen.iter().map(|r| r.encoded_len() as u64).sum::<u64>());
    assert_eq!(commit.state_hash, push.hash.0);
    let bytes = signed("here", push.version, push.hash, SCHEMA);
    assert_eq!(commit.signature, blake3::hash(&bytes).as_bytes());
}

#[test]
fn a_replica_that_is_known_gets_what_changed_since_and_any_other_everything() {
    let all = [settings(), client("a", 2000), client("b", 2000), client("c", 2000)];
    let one = first(1, &all).unwrap();
    let base = |push: &Push| Some(Base { version: push.version, hash: push.hash });
    let snapshot = one.snapshot().changed(version(2), &given("a", 3)).unwrap();
    let two = one.next(snapshot, &Signs).unwrap();
    let gone = ResourceName { kind: Kind::Client.into(), name: "b".to_owned() };
    let change = Change { taken: vec![gone], ..given("d", 1) };
    let three = two.next(two.snapshot().changed(version(3), &change).unwrap(), &Signs).unwrap();
    for (base, names, removed) in
        [(base(&two), vec!["d"], 1), (base(&one), vec!["a", "d"], 1), (base(&three), vec![], 0)]
    {
        let frames = three.frames(base);
        assert!(!frames.whole && Arc::ptr_eq(&frames, &three.frames(base)), "encoded once");
        let messages = decoded(&frames);
        let Message::Begin(begin) = &messages[0] else { panic!("begins with Begin") };
        assert_eq!(begin.base.map(Version::from), base.map(|base| base.version));
        let chunks: Vec<&Chunk> = messages
            .iter()
            .filter_map(|one| if let Message::Chunk(chunk) = one { Some(chunk) } else { None })
            .collect();
        let given = chunks.iter().flat_map(|chunk| &chunk.resources).map(|one| one.name.as_str());
        assert_eq!(given.collect::<Vec<_>>(), names);
        let taken: usize = chunks.iter().map(|chunk| chunk.removals.len()).sum();
        assert_eq!((taken, begin.removals, begin.resources), (removed, removed as u64, names.len() as u64));
        let Some(Message::Commit(commit)) = messages.last() else { panic!("ends with Commit") };
        assert_eq!(commit.state_hash, three.hash.0);
        assert_eq!(commit.secrets.clone().unwrap().version, Some(version(1).into()), "untouched since");
        assert_eq!(commit.configuration.clone().unwrap().version, Some(version(3).into()));
    }
    let other = Base { version: version(2), hash: three.hash };
    let unknown = Base { version: version(9), hash: one.hash };
    assert!(three.frames(Some(unknown)).whole);
    assert!(!three.frames(Some(other)).whole, "the same content under any version");
    let most = Change { given: vec![client("a", 9000), client("c", 9000)], taken: Vec::new() };
    let four = three.next(three.snapshot().changed(version(4), &most).unwrap(), &Signs).unwrap();
    assert!(four.frames(base(&three)).whole, "most of it is sent as all of it");
}

#[test]
fn chunks_are_encoded_as_the_generated_code_does() {
    let resources = [client("a", 10), client("", 0), client("b", 300)];
    let chunk = Chunk { resources: resources.to_vec(), ..Chunk::default() };
    assert_eq!(chunk_frame(&resources.iter().collect::<Vec<_>>()), frame(Message::Chunk(chunk)));
}

#[test]
fn only_its_beginning_names_the_change() {
    let push = first(1, &[settings()]).unwrap();
    let before = decoded(&push.frames(None));
    let traced = decoded(&push.traced("00-t-s-01".to_owned()).frames(None));
    let Message::Begin(begin) = &traced[0] else { panic!("begins with Begin") };
    assert_eq!(begin.traceparent, "00-t-s-01");
    assert_eq!(before[1..], traced[1..]);
}

#[test]
fn too_large_is_refused_here() {
    let one = first(1, &[settings(), client("big", CHUNK_LIMIT)]).unwrap_err();
    assert!(matches!(one, TooLarge::Resource { name, .. } if name == "big"));
    let small = first(1, &[settings()]).unwrap();
    let grown = small.snapshot().changed(version(2), &given("big", CHUNK_LIMIT)).unwrap();
    assert!(matches!(small.next(grown, &Signs), Err(TooLarge::Resource { .. })));
    let many: Vec<_> = (0..70).map(|n| client(&format!("r{n}"), 1_000_000)).collect();
    let many: Vec<_> = [settings()].into_iter().chain(many).collect();
    assert!(matches!(first(1, &many), Err(TooLarge::State { bytes }) if bytes > STATE_LIMIT));
}
