//! Tables: what a secret that is sent again does, by what became of it.

use super::*;
use crate::{
    Plane,
    resource::{KeyState, SupplyOutcome},
    store::Memory,
};
use KeyState::{Active, Destroyed, Rejected, Staged, Verified};
use std::sync::Arc;

const KEY: (&str, &str) = ("openai", "main");

/// A plane whose one key has one version in use, and that moves nothing on by itself.
struct Keyed(Plane);

impl Keyed {
    async fn new() -> Self {
        let plane = Plane::open(Arc::new(Memory::default()), Vault::ephemeral().unwrap()).await.unwrap();
        let keyed = Self(plane);
        keyed
            .change(|proposal| proposal.add_key(KEY.0, KEY.1, "sk-one-0123456789", &how(false)))
            .await
            .unwrap();
        keyed.step(|doc, next, now| doc.activate(next, now)).await;
        keyed.step(|doc, _, _| doc.end(crate::resource::Step::Done, None)).await;
        keyed
    }

    async fn change(
        &self,
        make: impl FnOnce(&mut Proposal<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.0.change(&Author::system("test", ""), make).await.map(drop)
    }

    async fn step(&self, step: impl FnOnce(&mut KeyDocument, Version, u64)) {
        self.change(|proposal| proposal.step_key(KEY, step)).await.unwrap();
    }

    async fn rotate(&self, hold: bool) -> Result<(), Refusal> {
        self.change(|proposal| proposal.rotate_key(KEY.0, KEY.1, SECRET, &how(hold))).await
    }

    async fn supply(&self) {
        let secret = keyway_config::Secret::new(SECRET.to_owned());
        self.change(|proposal| proposal.supply_key(KEY, &secret, (true, 0))).await.unwrap();
    }

    fn key(&self) -> KeyDocument {
        self.0.state().provider(KEY.0).unwrap().1[0].clone()
    }

    fn states(&self) -> Vec<KeyState> {
        self.key().versions.iter().map(|one| one.state).collect()
    }
}

const SECRET: &str = "sk-two-0123456789";

fn how(hold: bool) -> How {
    How { unverified: true, hold, ..How::default() }
}

#[tokio::test]
async fn a_secret_that_was_held_and_erased_is_taken_in_anew() {
    let keyed = Keyed::new().await;
    keyed.rotate(true).await.unwrap();
    keyed.step(|doc, next, now| doc.activate(next, now)).await;
    keyed.rotate(true).await.unwrap();
    assert_eq!(keyed.states(), [Active, Staged], "the same change");
    keyed.change(|proposal| proposal.destroy_key(KEY.0, KEY.1, 2)).await.unwrap();
    keyed.rotate(false).await.unwrap();
    assert_eq!(keyed.states(), [Active, Destroyed, Staged]);
}

#[tokio::test]
async fn a_version_that_was_refused_is_not_done() {
    let keyed = Keyed::new().await;
    keyed.rotate(false).await.unwrap();
    keyed.step(|doc, next, now| doc.activate(next, now)).await;
    keyed.rotate(false).await.unwrap();
    assert_eq!(keyed.states(), [KeyState::Retiring, Active], "under way");
    keyed.step(|doc, next, now| doc.withdraw(next, now)).await;
    keyed.step(|doc, _, _| doc.end(crate::resource::Step::Done, None)).await;
    keyed.rotate(false).await.unwrap();
    keyed.step(|doc, next, now| doc.refuse(2, next, now)).await;
    keyed.step(|doc, _, now| doc.confirmed(2, now)).await;
    assert_eq!(keyed.states()[1], Rejected);
    assert!(keyed.rotate(false).await.is_err(), "it says that it was refused");
}

#[tokio::test]
async fn what_is_held_comes_into_use_by_the_same_rotation_without_hold() {
    let keyed = Keyed::new().await;
    keyed.rotate(true).await.unwrap();
    assert!(keyed.rotate(false).await.is_err(), "one that will be held is under way");
    keyed.step(|doc, next, now| doc.activate(next, now)).await;
    keyed.step(|doc, _, now| doc.version_mut(2).unwrap().set(Verified, now)).await;
    keyed.rotate(false).await.unwrap();
    assert!(keyed.key().under_way().is_some_and(|rollout| !rollout.hold && rollout.to == Some(2)));
    keyed.step(|doc, next, now| doc.activate(next, now)).await;
    assert_eq!(keyed.states(), [KeyState::Retiring, Active]);
}

#[tokio::test]
async fn a_source_that_gives_what_is_held_begins_one_rotation() {
    let keyed = Keyed::new().await;
    let rotation = serde_json::json!({ "source": { "file": "/run/secrets/openai" } });
    keyed.step(|doc, _, _| doc.rotation = Some(keyway_config::read_json(&rotation).unwrap())).await;
    keyed.rotate(true).await.unwrap();
    keyed.step(|doc, next, now| doc.activate(next, now)).await;
    keyed.supply().await;
    let begun = keyed.key();
    let rollout = begun.under_way().unwrap();
    let last = begun.supply.last.as_ref().unwrap();
    assert_eq!((last.outcome, &last.rollout), (SupplyOutcome::Rotated, &rollout.id));
    keyed.supply().await;
    let said = keyed.key();
    assert_eq!(said.under_way().map(|one| &one.id), Some(&rollout.id));
    assert_eq!(said.supply.last.as_ref().unwrap().outcome, SupplyOutcome::Unchanged);
    keyed.supply().await;
    assert_eq!(keyed.key(), said, "said once");
}
