//! A new access key at AWS, made so that a crash at any moment leaves none behind: what was there is written down before
//! one is made, and one that was made and not taken in is found by that and deleted.

use super::supply::{Asked, Fault, write_down};
use crate::{
    plane::unix_millis,
    resource::{KeyState, Minting},
    source::{Iam, Listed, Pair, SourceError},
};
use keyway_config::{AwsIam, Secret};
use keyway_snapshot::Secret as Sealed;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// AWS lets a user have so many access keys.
const KEYS_PER_USER: usize = 2;
/// AWS's clock and this one may be so far apart, seconds.
const SKEW: u64 = 300;
/// A new access key is known everywhere at AWS after some seconds; by then at the latest.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it is.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A new access key, once AWS takes it.
pub(super) async fn mint(asked: &Asked, at: &AwsIam) -> Result<Secret, Fault> {
    let iam = Iam::new(at, signs(asked, at)?)?;
    let mut there = iam.list(seconds()).await?;
    if let Some(minting) = &asked.key.supply.minting {
        for id in lost(&there, minting, asked) {
            if iam.was_used(&id, seconds()).await? {
                // Somebody else made it at the same time.
                continue;
            }
            iam.delete(&id, seconds()).await?;
            tracing::warn!(key = asked.full(), "an access key that was made and not taken in is deleted");
            there.retain(|one| one.id != id);
        }
    }
    if there.len() >= KEYS_PER_USER {
        let spent = there.iter().find(|one| owns(asked, one).is_some_and(is_spent));
        let spent = spent.ok_or_else(|| SourceError::AwsFull { user: at.user.clone() })?;
        iam.delete(&spent.id, seconds()).await?;
    }
    let known = there.iter().map(|one| fingerprint(asked, &one.id)).collect();
    let minting = Minting { at: unix_millis(), known };
    write_down(&asked.plane, &asked.name, "key.source.mint", |doc, _| {
        doc.supply.minting = Some(minting);
    })
    .await?;
    let made = iam.create(seconds()).await?;
    if let Err(error) = known_at_aws(at, &made).await {
        // Should this fail too, the next try finds it.
        let _ = iam.delete(&made.id, seconds()).await;
        return Err(error.into());
    }
    Ok(Secret::new(made.text()))
}

/// Takes a version's access key away at AWS, and erases its secret.
pub(super) async fn remove(asked: &Asked, at: &AwsIam, version: u32) -> Result<(), Fault> {
    if let Some(pair) = pair_of(asked, version) {
        let signs = signs(asked, at)?;
        if pair.id != signs.id {
            Iam::new(at, signs)?.delete(&pair.id, seconds()).await?;
        }
    }
    let (provider, key) = (asked.name.0.as_str(), asked.name.1.as_str());
    let author = crate::resource::Author::system("key.source.remove", &format!("key/{provider}/{key}"));
    let change = asked.plane.change(&author, |proposal| proposal.destroy_key(provider, key, version));
    Ok(change.await.map(drop)?)
}

async fn known_at_aws(at: &AwsIam, made: &Pair) -> Result<(), SourceError> {
    let (iam, end) = (Iam::new(at, made.clone())?, Instant::now() + PATIENCE);
    while !iam.is_known(seconds()).await? {
        if Instant::now() >= end {
            return Err(SourceError::AwsUnknown);
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// The access key that the calls are signed with.
fn signs(asked: &Asked, at: &AwsIam) -> Result<Pair, SourceError> {
    let (provider, key) = match at.with.as_deref().and_then(|with| with.split_once('/')) {
        Some((provider, key)) => (provider.to_owned(), key.to_owned()),
        None => asked.name.clone(),
    };
    let state = asked.plane.state();
    let keys = state.provider(&provider).map(|(_, keys)| keys).unwrap_or_default();
    let active = keys.iter().find(|one| one.name == key).and_then(|key| key.active());
    let name = (provider, key);
    let secret = active.and_then(|active| asked.plane.secret_of(&name, active.version).ok());
    secret.as_ref().and_then(parsed).ok_or_else(|| SourceError::AwsNoPair(format!("{}/{}", name.0, name.1)))
}

fn pair_of(asked: &Asked, version: u32) -> Option<Pair> {
    asked.plane.secret_of(&asked.name, version).ok().as_ref().and_then(parsed)
}

fn parsed(secret: &Sealed) -> Option<Pair> {
    Pair::parse(std::str::from_utf8(secret.expose()).ok()?)
}

/// The state of the version that has this access key.
fn owns(asked: &Asked, listed: &Listed) -> Option<KeyState> {
    let with_secret = asked.key.versions.iter().filter(|version| version.state.has_secret());
    let mut ours =
        with_secret.filter(|one| pair_of(asked, one.version).is_some_and(|pair| pair.id == listed.id));
    ours.next().map(|version| version.state)
}

fn is_spent(state: KeyState) -> bool {
    matches!(state, KeyState::Retired | KeyState::RolledBack | KeyState::Rejected)
}

/// Made since `minting` began, and by nobody's knowledge taken in.
fn lost(there: &[Listed], minting: &Minting, asked: &Asked) -> Vec<String> {
    let since = (minting.at / 1000).saturating_sub(SKEW);
    let lost = there.iter().filter(|one| {
        one.created >= since
            && !minting.known.contains(&fingerprint(asked, &one.id))
            && owns(asked, one).is_none()
    });
    lost.map(|one| one.id.clone()).collect()
}

fn fingerprint(asked: &Asked, id: &str) -> String {
    asked.plane.vault().fingerprint(id.as_bytes())
}

fn seconds() -> u64 {
    unix_millis() / 1000
}
