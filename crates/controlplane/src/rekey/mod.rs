//! Moves the vault's wrapping key on: one loop does the step that the store names, then writes down the next. After any
//! interruption it does that step again. Once a year, or after very many secrets, it begins by itself.

use crate::{
    Plane,
    plane::unix_millis,
    resource::{Author, Body, KekDocument, KekStep, Kind, Refusal, WRAPPING},
    vault::VaultError,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// Files that are written anew while changes wait.
const AT_ONCE: usize = 16;
/// A step that failed is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Whether the key is too old is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// Runs until `stop` says so.
pub(crate) async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    let mut begun = plane.key_changes();
    loop {
        begun.mark_unchanged();
        let wait = match step(&plane).await {
            Ok(wait) => wait,
            Err(refusal) => {
                tracing::error!(%refusal, "the vault's wrapping key cannot be changed yet; it is tried again");
                TRY_AGAIN
            }
        };
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => return,
            changed = begun.changed() => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
    }
}

/// Begins a change of the wrapping key, or finds the one that is under way.
pub(crate) async fn begin(plane: &Plane, author: &Author) -> Result<KekDocument, Refusal> {
    if let Some(running) = current(plane).filter(KekDocument::is_under_way) {
        return Ok(running);
    }
    if plane.store().shared().is_some() {
        // The others hold the keyring that they read at their start.
        let why = "cannot be changed while several control planes share a store: each would have to read its keyring anew";
        return Err(Refusal::field("the wrapping key", why));
    }
    let from = plane.vault().wrapping()?;
    let to = from.checked_add(1).ok_or(VaultError::TooManyVersions)?;
    let document = KekDocument { from, to, step: KekStep::Create, begun: unix_millis(), ended: 0 };
    let first = document.clone();
    plane.change(author, |proposal| proposal.put(Kind::Kek, WRAPPING, Body::Kek(first))).await?;
    Ok(document)
}

/// The newest change of the wrapping key.
pub(crate) fn current(plane: &Plane) -> Option<KekDocument> {
    match &plane.state().get(Kind::Kek, WRAPPING)?.document.body {
        Body::Kek(document) => Some(document.clone()),
        _ => None,
    }
}

/// Does the step that is due and writes down the next; says when to look again.
async fn step(plane: &Arc<Plane>) -> Result<Duration, Refusal> {
    let Some(document) = current(plane).filter(KekDocument::is_under_way) else {
        if plane.store().shared().is_none() && plane.vault().kek_is_due(unix_millis()) {
            begin(plane, &Author::system("vault.rotate-kek", "vault")).await?;
            return Ok(Duration::ZERO);
        }
        return Ok(LOOK_AGAIN);
    };
    match document.step {
        KekStep::Rewrap => rewrap(plane).await?,
        at => apart(plane, move |plane| once(plane, at, document.to)).await?,
    }
    let next = document.step.next();
    let author = Author::system("vault.rotate-kek.step", "vault");
    plane
        .change(&author, |proposal| {
            // Another one cannot have begun, as this one is under way.
            let ended = if next == KekStep::Done { unix_millis() } else { 0 };
            proposal.put(Kind::Kek, WRAPPING, Body::Kek(KekDocument { step: next, ended, ..document }))
        })
        .await?;
    Ok(Duration::ZERO)
}

fn once(plane: &Plane, at: KekStep, to: u32) -> Result<(), VaultError> {
    let vault = plane.vault();
    match at {
        KekStep::Create => vault.wrap_with(&vault.root()?, to, unix_millis()),
        KekStep::Verify => match vault.not_under(to)?.as_slice() {
            [] => Ok(()),
            left => Err(VaultError::StillWraps { left: left.len() }),
        },
        KekStep::Retire => vault.retire_before(&vault.root()?, to),
        KekStep::Rewrap | KekStep::Done => Ok(()),
    }
}

/// A few files at a time: changes of the configuration come in between.
async fn rewrap(plane: &Arc<Plane>) -> Result<(), Refusal> {
    let all = apart(plane, |plane| plane.vault().sealed()).await?;
    for some in all.chunks(AT_ONCE) {
        let some = some.to_vec();
        apart(plane, move |plane| some.iter().try_for_each(|name| plane.vault().rewrap(name))).await?;
    }
    Ok(())
}

/// Waits for the disk on a thread of its own, while no change is made.
async fn apart<T: Send + 'static>(
    plane: &Arc<Plane>,
    work: impl FnOnce(&Plane) -> Result<T, VaultError> + Send + 'static,
) -> Result<T, Refusal> {
    let _nothing_changes = plane.still().await;
    let there = Arc::clone(plane);
    let done = tokio::task::spawn_blocking(move || work(&there)).await;
    Ok(done.map_err(|_| Refusal::Internal("a thread of the vault failed"))??)
}
