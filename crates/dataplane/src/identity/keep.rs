//! Gets an identity where there is none, and renews it in time; runs as long as the replica. What goes wrong is tried again
//! and shown: requests go on from what is held.

use super::{
    Badge, Identity, IdentityError, JoinToken,
    due::due,
    enroll::{Joiner, join, renew},
};
use crate::{clock, random::Random, sync::LinkStatus};
use parking_lot::Mutex;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::time::sleep;
use tonic::{Code, Status};

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(30);
/// The clock is looked at so often while a certificate is good: it may be set.
const LOOK: Duration = Duration::from_secs(30);

/// With what a node joins and where it keeps what it got.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) token: Option<JoinToken>,
    pub(crate) node: String,
    pub(crate) host: String,
    /// Of the fleet port; the first is where the streams go.
    pub(crate) urls: Vec<String>,
    /// `None` = nowhere: in memory, or somebody else keeps it.
    pub(crate) file: Option<PathBuf>,
}

/// What a node shows, and how it comes by more: given by who started it, who keeps it too, or in this file.
///
/// # Errors
/// When there is one that cannot be used.
pub(crate) fn prepare(
    given: Option<Identity>,
    file: Option<PathBuf>,
    (token, fleet_url): (Option<JoinToken>, Option<String>),
    (node, host): (String, String),
) -> Result<(Arc<Badge>, Joining), IdentityError> {
    let file = file.filter(|_| given.is_none());
    let found = file.as_deref().map(Identity::read).transpose()?.flatten();
    let identity = given.or(found);
    let told = identity.as_ref().map(Identity::addresses).or(token.as_ref().map(JoinToken::addresses));
    let told = told.unwrap_or_default().iter().map(|address| format!("https://{address}"));
    let urls = fleet_url.map_or_else(|| told.collect(), |urls| urls.split(',').map(str::to_owned).collect());
    let badge = Arc::<Badge>::default();
    identity.map_or(Ok(()), |identity| badge.show(identity))?;
    Ok((badge, Joining { token, node, host, urls, file }))
}

/// Until dropped.
pub(crate) async fn keep(badge: &Badge, joining: &Joining, status: &Mutex<LinkStatus>) {
    let random = Random::new();
    let mut wait = RETRY_FIRST;
    let mut dice = random.next();
    loop {
        let identity = badge.identity();
        if let Some(identity) = &identity {
            rest(badge, identity, dice).await;
        }
        match once(joining, identity.as_deref()).await {
            Ok(fresh) => {
                tracing::info!(node = fresh.node(), life = ?fresh.life(), "this node has a new certificate");
                take(badge, joining, status, fresh);
                (wait, dice) = (RETRY_FIRST, random.next());
                continue;
            }
            Err(why) => {
                tracing::warn!(reason = why.message(), "no certificate was given to this node");
                show(status, &why);
            }
        }
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        sleep(Duration::from_millis(millis / 2 + random.next() % millis)).await;
        wait = (wait * 2).min(RETRY_MOST);
    }
}

/// Until the certificate is to be renewed.
async fn rest(badge: &Badge, identity: &Arc<Identity>, dice: u64) {
    loop {
        let now = clock::since_epoch().as_secs();
        let left = due(identity.received_at, identity.life().as_secs(), dice, now);
        if left.is_zero() {
            return;
        }
        tokio::select! {
            () = sleep(left.min(LOOK)) => {}
            () = badge.doubted() => return,
        }
    }
}

async fn once(joining: &Joining, identity: Option<&Identity>) -> Result<Identity, Status> {
    let Joining { token, node, host, urls, .. } = joining;
    match (identity, token) {
        (Some(identity), _) => {
            let mut last = Status::unavailable("no address of a control plane is known: give --fleet-url");
            for url in urls {
                match renew(identity, url).await {
                    Ok(fresh) => return Ok(fresh),
                    Err(why) => last = why,
                }
            }
            Err(last)
        }
        (None, Some(token)) => join(&Joiner { token, node, host, urls }).await,
        // Nothing will come of it: the replica serves what it has.
        (None, None) => {
            std::future::pending::<()>().await;
            Err(Status::unknown("this node has not joined"))
        }
    }
}

fn take(badge: &Badge, joining: &Joining, status: &Mutex<LinkStatus>, fresh: Identity) {
    let kept = joining.file.as_deref().map_or(Ok(()), |file| fresh.write(file));
    let shown = badge.show(fresh);
    let fault = kept.and(shown).err().map(|error| error.to_string());
    if let Some(why) = &fault {
        tracing::error!(why, "this node's identity could not be kept");
    }
    status.lock().identity_error = fault;
}

fn show(status: &Mutex<LinkStatus>, why: &Status) {
    let mut status = status.lock();
    status.identity_error = Some(why.message().to_owned());
    if matches!(why.code(), Code::PermissionDenied | Code::FailedPrecondition) {
        status.turned_away(why);
    }
}
