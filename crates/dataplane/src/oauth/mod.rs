//! Access tokens of service accounts (RFC 7523): the account signs a claim, its token server gives a token for it, and
//! requests carry the token until shortly before its end. One account is one version of a key, shared by all cores.

mod account;
mod assertion;
mod exchange;

#[cfg(test)]
mod tests;

use account::Account;

use crate::{clock, upstream::Connector};
use http::{HeaderName, HeaderValue};
use keyway_snapshot::{OAuth, Secret, header_value};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

/// A token is renewed this long before its end, or in the last quarter of its life where that is shorter.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);
/// A token is not used so close to its end: it would end on the way.
const UNUSED_BEFORE: Duration = Duration::from_secs(10);
/// After a failure nobody asks again for so long: requests that waited would each ask in their turn.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// An account, and the token that it has.
pub(crate) struct Tokens {
    source: Arc<Source>,
    header: HeaderName,
    /// Renews what still may be used, so that no request waits for it; one at a time, and it ends with this.
    beside: Mutex<JoinSet<()>>,
}

/// What a fetch needs.
struct Source {
    account: Account,
    prefix: Box<str>,
    held: Mutex<Held>,
    /// Whoever fetches holds it; the others wait for it or use what is there.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// When a provider refused the last one that it had taken before.
    forgotten: Option<Instant>,
    failed: Option<(Instant, NoToken)>,
}

#[derive(Clone)]
struct Token {
    value: HeaderValue,
    asked: Instant,
    /// From then on it is renewed.
    stale: Instant,
    ends: Instant,
}

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoToken {
    #[error("the account's token server does not take it")]
    Refused,
    #[error("the account's token server could not be asked or gave no token")]
    Unreachable,
}

// === impl Tokens ===

impl Tokens {
    /// `None` if the secret is no service account's JSON with a key that can sign.
    pub(crate) fn of(auth: &OAuth, secret: &Secret) -> Option<Self> {
        let (header, prefix) = auth.header.clone();
        let account = Account::read(secret.expose(), &auth.token_url, &auth.scope)?;
        let source = Source { account, prefix, held: Mutex::default(), fetching: Arc::default() };
        Some(Self { source: Arc::new(source), header, beside: Mutex::default() })
    }

    /// How the token goes out; `None` where there is none that may be used.
    pub(crate) fn shown(&self) -> Option<(HeaderName, HeaderValue)> {
        let held = self.source.held.lock();
        let token = held.token.as_ref().filter(|token| left(token.ends) > UNUSED_BEFORE)?;
        Some((self.header.clone(), token.value.clone()))
    }

    /// Looks at the token.
    pub(crate) fn each_mark(&self, look: &mut impl FnMut(&[u8])) {
        let value = self.source.held.lock().token.as_ref().map(|token| token.value.clone());
        let prefix = self.source.prefix.len();
        if let Some(token) = value.as_ref().and_then(|value| value.as_bytes().get(prefix..)) {
            look(token);
        }
    }

    /// The provider did not take what an attempt that began then presented: the next request fetches another. Whether that
    /// may help: it was a token from before the attempt. One that was fetched for it is no better the next time.
    pub(crate) fn forget(&self, began: Instant) -> bool {
        let mut held = self.source.held.lock();
        // Somebody else was refused with it first: what is held now is another.
        if held.forgotten.is_some_and(|forgotten| forgotten >= began) {
            return true;
        }
        let is_old = held.token.take().is_some_and(|token| token.asked < began);
        held.forgotten = is_old.then(Instant::now);
        is_old
    }

    /// Whether nothing has to be fetched.
    pub(crate) fn are_fresh(&self) -> bool {
        self.source.is_fresh()
    }

    /// Comes back once there is a token that may be used: at once where one is held, which is then renewed beside.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn ready(&self, connector: &Connector) -> Result<(), NoToken> {
        let source = &self.source;
        if source.is_fresh() {
            return Ok(());
        }
        if self.shown().is_some() {
            self.renew_beside(connector);
            return Ok(());
        }
        let _mine = source.fetching.lock().await;
        if self.shown().is_some() {
            return Ok(());
        }
        source.failed_just_now().map_or(Ok(()), Err)?;
        source.fetch(connector).await
    }

    fn renew_beside(&self, connector: &Connector) {
        let Ok(mine) = Arc::clone(&self.source.fetching).try_lock_owned() else { return };
        if self.source.is_fresh() || self.source.failed_just_now().is_some() {
            return;
        }
        let (source, connector) = (Arc::clone(&self.source), connector.clone());
        let mut beside = self.beside.lock();
        // Those before it have ended: they held the lock.
        while beside.try_join_next().is_some() {}
        beside.spawn(async move {
            let _mine = mine;
            // A failure was shown, and is tried again by a later request.
            let _ = source.fetch(&connector).await;
        });
    }
}

// === impl Source ===

impl Source {
    fn is_fresh(&self) -> bool {
        self.held.lock().token.as_ref().is_some_and(|token| !left(token.stale).is_zero())
    }

    fn failed_just_now(&self) -> Option<NoToken> {
        let failed = self.held.lock().failed?;
        (failed.0.elapsed() < AFTER_FAILURE).then_some(failed.1)
    }

    async fn fetch(&self, connector: &Connector) -> Result<(), NoToken> {
        let asked = Instant::now();
        let answered = exchange::exchange(&self.account, connector, clock::since_epoch().as_secs()).await;
        let token = answered.and_then(|(token, lives)| {
            let value = header_value(&self.prefix, &token).ok_or(NoToken::Unreachable)?;
            let fresh = fresh_for(lives).ok_or(NoToken::Unreachable)?;
            Ok(Token { value, asked, stale: asked + fresh, ends: asked + lives })
        });
        let mut held = self.held.lock();
        match token {
            Ok(token) => (held.token, held.failed) = (Some(token), None),
            Err(why) => {
                tracing::warn!(account = self.account.email(), %why, "no access token");
                held.failed = Some((Instant::now(), why));
                return Err(why);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// For how long a token of that life is not renewed; `None`: it ends before it could be used.
fn fresh_for(lives: Duration) -> Option<Duration> {
    let before = RENEWED_BEFORE.min(lives / 4).max(UNUSED_BEFORE);
    lives.checked_sub(before).filter(|fresh| !fresh.is_zero())
}

/// An access token as it came, and how long it lives.
type Fetched = (Zeroizing<Vec<u8>>, Duration);
