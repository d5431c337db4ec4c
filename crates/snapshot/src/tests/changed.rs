//! Whatever changes in whatever order: a state that followed from others by changes is the one that is built at once.

use super::{client, provider, resource, settings};
use crate::{Change, ResourceName, Resources, Snapshot, TokenDigest, Version, state_hash};
use keyway_proto::snapshot::v1::{self as wire, Kind, Resource};
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;

type All = BTreeMap<(i32, String), Resource>;

fn caller(name: u8, tokens: &[u8], enabled: bool) -> Resource {
    let state = if enabled { wire::ClientState::Enabled } else { wire::ClientState::Disabled };
    let name = format!("c{name}");
    let body = wire::Client {
        name: name.clone(),
        state: state as i32,
        token_digests: tokens.iter().map(|token| vec![*token; 32]).collect(),
        sigv4: tokens.iter().take(1).map(|token| pair(*token)).collect(),
        ..wire::Client::default()
    };
    resource(Kind::Client, &name, &body)
}

fn pair(number: u8) -> wire::KeyPair {
    wire::KeyPair { access_key_id: format!("A{number}"), secret_access_key: format!("s{number}") }
}

fn credential(version: u32, secret: &str) -> Resource {
    let body = wire::Credential {
        provider: "p".to_owned(),
        key: "main".to_owned(),
        version,
        state: wire::CredentialState::Active as i32,
        weight: 1,
        secret: secret.as_bytes().to_vec(),
        ..wire::Credential::default()
    };
    resource(Kind::Credential, &format!("p/main/{version}"), &body)
}

/// One thing that an operator may do.
#[derive(Debug, Clone)]
enum Step {
    Client(u8, bool),
    NoClient(u8),
    /// A token goes from one to another in one change.
    Hand(u8, u8),
    Credential(u32, u8),
    NoCredential(u32),
    DigestKey(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12u8, any::<bool>()).prop_map(|(name, enabled)| Step::Client(name, enabled)),
        2 => (0..12u8).prop_map(Step::NoClient),
        2 => (0..12u8, 0..12u8).prop_map(|(from, to)| Step::Hand(from, to)),
        2 => (1..4u32, any::<u8>()).prop_map(|(version, secret)| Step::Credential(version, secret)),
        1 => (1..4u32).prop_map(Step::NoCredential),
        1 => any::<u8>().prop_map(Step::DigestKey),
    ]
}

fn key(resource: &Resource) -> (i32, String) {
    (resource.kind, resource.name.clone())
}

/// The change, which is made in `all` too.
fn play(all: &mut All, step: &Step) -> Change {
    let mut change = Change::default();
    match step {
        Step::Client(name, enabled) => change.given.push(caller(*name, &[*name, *name + 100], *enabled)),
        Step::Hand(from, to) if from != to => {
            change.given.push(caller(*to, &[*to, *to + 100, *from + 100], true));
            change.given.push(caller(*from, &[*from], true));
        }
        Step::Hand(..) => {}
        Step::NoClient(name) => {
            change.taken.push(ResourceName { kind: Kind::Client as i32, name: format!("c{name}") });
        }
        Step::Credential(version, secret) => {
            change.given.push(credential(*version, &format!("sk-{secret}")));
        }
        Step::NoCredential(version) => {
            let name = format!("p/main/{version}");
            change.taken.push(ResourceName { kind: Kind::Credential as i32, name });
        }
        Step::DigestKey(byte) => {
            let mut body = wire::Settings::decode(settings().body).unwrap();
            body.digest_key = vec![*byte; 32];
            change.given.push(resource(Kind::Settings, "settings", &body));
        }
    }
    for gone in &change.taken {
        all.remove(&(gone.kind, gone.name.clone()));
    }
    all.extend(change.given.iter().map(|resource| (key(resource), resource.clone())));
    change
}

/// All that can be asked of a state.
fn shown(snapshot: &Snapshot) -> String {
    let clients = (0..=255u8).filter_map(|byte| {
        let client = snapshot.clients.by_digest(&TokenDigest([byte; 32]))?;
        Some(format!("{byte} {} {:?}", client.name, client.state))
    });
    let pairs = (0..=255u8).filter_map(|byte| {
        let pair = snapshot.clients.by_access_key(&format!("A{byte}"))?;
        Some(format!("{byte} {}", snapshot.clients.by_digest(&pair.digest)?.name))
    });
    let names = (0..12).filter_map(|name| snapshot.clients.by_name(&format!("c{name}")));
    let names: Vec<_> = names.map(|client| client.name.clone()).collect();
    let keys = snapshot.credentials.get("p").into_iter().flatten();
    let keys: Vec<_> = keys.map(|key| (key.id(), key.secret.expose().to_vec())).collect();
    let (clients, pairs) = (clients.collect::<Vec<_>>(), pairs.collect::<Vec<_>>());
    format!("{clients:?} {pairs:?} {names:?} {} {keys:?}", snapshot.clients.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn by_changes_or_at_once_it_is_the_same_state(steps in prop::collection::vec(step(), 1..40)) {
        let first = vec![settings(), provider("p", "http://localhost:1/v1", &["m"])];
        let mut all: All = first.iter().map(|resource| (key(resource), resource.clone())).collect();
        let version = |counter| Version { epoch: 1, counter };
        let mut state = Snapshot::build(version(1), &first).unwrap();
        let begun = state.clone();
        for (counter, step) in (2..).zip(&steps) {
            let before = all.clone();
            let change = play(&mut all, step);
            let next = state.changed(version(counter), &change);
            let list: Vec<_> = all.values().cloned().collect();
            let whole = Snapshot::build(version(counter), &list);
            let (Ok(next), Ok(whole)) = (&next, &whole) else {
                // Two clients may not hold one token: both ways say so, and nothing has happened.
                prop_assert_eq!(next.err().map(|why| why.field), whole.err().map(|why| why.field));
                all = before;
                continue;
            };
            prop_assert_eq!(next.resources().roots(), whole.resources().roots());
            prop_assert_eq!(next.hash, state_hash(&list));
            prop_assert_eq!((next.resources().len(), next.resources().bytes()), (list.len(), whole.resources().bytes()));
            prop_assert_eq!(shown(next), shown(whole));
            let found = state.resources().change_to(next.resources());
            prop_assert_eq!(state.resources().changed(&found).roots(), next.resources().roots());
            let revoked: Vec<_> = state.clients.revoked_in(&next.clients).collect();
            let anew: Vec<_> = state.clients.revoked_in(&whole.clients).collect();
            prop_assert_eq!(revoked.len(), anew.len());
            let secrets = next.resources().roots().secrets != state.resources().roots().secrets;
            prop_assert_eq!(next.parts.secrets == next.version, secrets);
            state = next.clone();
        }
        // Over all of them at once, from names alone, as a replica that was away is told.
        let names = begun.resources().differing(state.resources());
        let jumped = begun.changed(state.version, &state.resources().change_of(&names)).unwrap();
        prop_assert_eq!(jumped.resources().roots(), state.resources().roots());
        prop_assert_eq!(shown(&jumped), shown(&state));
    }
}

#[test]
fn a_change_shares_what_it_leaves_alone_and_secrets_come_first() {
    let mut first = vec![settings(), provider("p", "http://localhost:1/v1", &[])];
    first.extend((0..200).map(|name| caller(name, &[], true)));
    let state = Snapshot::build(Version::default(), &first).unwrap();
    let change = Change { given: vec![caller(7, &[1], false)], taken: Vec::new() };
    let next = state.changed(Version { epoch: 1, counter: 1 }, &change).unwrap();
    assert!(std::sync::Arc::ptr_eq(&state.providers, &next.providers));
    let names = state.resources().differing(next.resources());
    assert_eq!(names.into_iter().map(|one| one.name).collect::<Vec<_>>(), ["c7"]);
    let change = Change { given: vec![client("x", &[]), credential(1, "sk")], taken: Vec::new() };
    let newer = state.changed(Version { epoch: 1, counter: 1 }, &change).unwrap();
    let sent = state.resources().change_to(newer.resources());
    let kinds: Vec<_> = sent.given.iter().map(|resource| resource.kind()).collect();
    assert_eq!(kinds, [Kind::Credential, Kind::Client]);
    assert_eq!(newer.resources().iter().next().unwrap().kind(), Kind::Credential);
}

#[test]
fn nothing_appears_twice_in_a_whole_state() {
    let twice = [settings(), client("a", &[]), client("a", &["*"])];
    assert_eq!(Resources::whole(&twice).unwrap_err().to_string(), "client/a: name: appears twice");
}

#[test]
fn what_a_state_needs_is_the_sum_of_its_resources() {
    let needing =
        |name: &str, feature: &str| Resource { needs: vec![feature.to_owned()], ..client(name, &[]) };
    let state = Resources::whole(&[settings(), needing("a", "one"), needing("b", "two")]).unwrap();
    assert_eq!(state.needs().into_iter().collect::<Vec<_>>(), ["one", "two"]);
    let gone = ResourceName::of(&client("b", &[]));
    let fewer = state.changed(&Change { given: Vec::new(), taken: vec![gone] });
    assert_eq!(fewer.needs().into_iter().collect::<Vec<_>>(), ["one"]);
}
