//! Gets an identity where there is none, and renews it in time; runs as long as the replica. What goes wrong is tried again
//! and shown: requests go on from what is held.

use super::{
    Badge, Identity, IdentityError, JoinToken,
    due::due,
    enroll::{Joiner, join, renew},
};
use crate::{
    clock,
    random::Random,
    sync::{LinkStatus, Planes},
};
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

/// With what an identity is kept.
struct Keeping<'a> {
    badge: &'a Badge,
    joining: &'a Joining,
    planes: &'a Planes,
    status: &'a Mutex<LinkStatus>,
    /// What is shown is not in its file yet: a join token serves once, so it is tried again.
    is_owed: bool,
}

/// Until dropped.
pub(crate) async fn keep(badge: &Badge, joining: &Joining, planes: &Planes, status: &Mutex<LinkStatus>) {
    let mut keeping = Keeping { badge, joining, planes, status, is_owed: false };
    let random = Random::new();
    let mut wait = RETRY_FIRST;
    let mut dice = random.next();
    loop {
        let identity = badge.identity();
        if let Some(identity) = &identity {
            keeping.rest(identity, dice).await;
        }
        match keeping.once(identity.as_deref()).await {
            Ok(fresh) => {
                tracing::info!(node = fresh.node(), life = ?fresh.life(), "this node has a new certificate");
                keeping.take(fresh);
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

// === impl Keeping ===

impl Keeping<'_> {
    /// Until the certificate is to be renewed.
    async fn rest(&mut self, identity: &Identity, dice: u64) {
        loop {
            if self.is_owed {
                self.write(identity);
            }
            let now = clock::since_epoch().as_secs();
            let left = due(identity.received_at, identity.life().as_secs(), dice, now);
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(left.min(LOOK)) => {}
                () = self.badge.doubted() => return,
            }
        }
    }

    async fn once(&self, identity: Option<&Identity>) -> Result<Identity, Status> {
        let Joining { token, node, host, .. } = self.joining;
        let urls = &self.planes.all();
        match (identity, token) {
            (Some(identity), _) => {
                let mut last =
                    Status::unavailable("no address of a control plane is known: give --fleet-url");
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

    fn take(&mut self, fresh: Identity) {
        self.write(&fresh);
        if let Err(error) = self.badge.show(fresh) {
            tracing::error!(%error, "this node's identity cannot be shown");
            self.status.lock().identity_error = Some(error.to_string());
        }
    }

    fn write(&mut self, identity: &Identity) {
        let fault = self.joining.file.as_deref().and_then(|file| identity.write(file).err());
        if let Some(error) = &fault {
            tracing::error!(%error, "this node's identity could not be kept");
        }
        self.is_owed = fault.is_some();
        self.status.lock().identity_error = fault.map(|error| error.to_string());
    }
}

fn show(status: &Mutex<LinkStatus>, why: &Status) {
    let mut status = status.lock();
    status.identity_error = Some(why.message().to_owned());
    if matches!(why.code(), Code::PermissionDenied | Code::FailedPrecondition) {
        status.turned_away(why);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::peer::Peer, *};
    use std::fs;
    use tokio::{net::TcpListener, time::timeout};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn joining(file: Option<PathBuf>) -> Joining {
        let (node, host) = ("r".to_owned(), "h".to_owned());
        Joining { token: None, node, host, urls: Vec::new(), file }
    }

    #[tokio::test]
    async fn whoever_was_told_of_is_asked_to_renew_too() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let planes = Planes::new(&format!("https://{}", gone.local_addr().unwrap()));
        drop(gone);
        let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
        planes.learn(vec![format!("https://{}", there.local_addr().unwrap())]);
        let (badge, joining, status) = (Badge::default(), joining(None), Mutex::default());
        badge.show(Peer::new().identity).unwrap();
        badge.doubt();
        tokio::select! {
            () = keep(&badge, &joining, &planes, &status) => {}
            asked = timeout(PATIENCE, there.accept()) => drop(asked.unwrap().unwrap()),
        }
    }

    #[tokio::test]
    async fn an_identity_that_the_disk_did_not_take_is_written_later() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("keys");
        // As a full disk: nothing can be put there.
        fs::write(&dir, b"").unwrap();
        let file = dir.join("one.identity");
        let (badge, joining, status) = (Badge::default(), joining(Some(file.clone())), Mutex::default());
        let planes = Planes::new("");
        let (badge, joining, planes, status) = (&badge, &joining, &planes, &status);
        let mut keeping = Keeping { badge, joining, planes, status, is_owed: false };
        keeping.take(Peer::new().identity);
        assert!(keeping.is_owed && status.lock().identity_error.is_some());
        let shown = badge.identity().unwrap();
        fs::remove_file(&dir).unwrap();
        let rests = timeout(Duration::ZERO, keeping.rest(&shown, 0)).await;
        assert!(rests.is_err(), "it is good for a day");
        assert_eq!(Identity::read(&file).unwrap().unwrap().node(), "r");
        assert!(!keeping.is_owed && status.lock().identity_error.is_none());
    }
}
