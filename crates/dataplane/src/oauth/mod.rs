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
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// A token is renewed this long before its end.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);
/// A token is not used so close to its end: it would end on the way.
const UNUSED_BEFORE: Duration = Duration::from_secs(10);
/// After a failure nobody asks again for so long: requests that waited would each ask in their turn.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// An account, and the token that it has.
pub(crate) struct Tokens {
    account: Account,
    header: HeaderName,
    prefix: Box<str>,
    held: Mutex<Held>,
    /// Whoever fetches holds it; the others wait for it or use what is there.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    failed: Option<(Instant, NoToken)>,
}

#[derive(Clone)]
struct Token {
    value: HeaderValue,
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
        Some(Self {
            account: Account::read(secret.expose(), &auth.token_url, &auth.scope)?,
            header,
            prefix,
            held: Mutex::default(),
            fetching: tokio::sync::Mutex::new(()),
        })
    }

    /// How the token goes out; `None` where there is none that may be used.
    pub(crate) fn shown(&self) -> Option<(HeaderName, HeaderValue)> {
        let held = self.held.lock();
        let token = held.token.as_ref().filter(|token| left(token) > UNUSED_BEFORE)?;
        Some((self.header.clone(), token.value.clone()))
    }

    /// Looks at the token.
    pub(crate) fn each_mark(&self, look: &mut impl FnMut(&[u8])) {
        let value = self.held.lock().token.as_ref().map(|token| token.value.clone());
        if let Some(token) = value.as_ref().and_then(|value| value.as_bytes().get(self.prefix.len()..)) {
            look(token);
        }
    }

    /// The provider did not take the token: the next request fetches another.
    pub(crate) fn forget(&self) {
        self.held.lock().token = None;
    }

    /// Whether nothing has to be fetched.
    pub(crate) fn are_fresh(&self) -> bool {
        self.held.lock().token.as_ref().is_some_and(|token| left(token) > RENEWED_BEFORE)
    }

    /// Comes back once there is a token that may be used, fetched or held.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn ready(&self, connector: &Connector) -> Result<(), NoToken> {
        if self.are_fresh() {
            return Ok(());
        }
        let _mine = match self.fetching.try_lock() {
            Ok(mine) => mine,
            // Somebody renews it; what is there is good for a while.
            Err(_) if self.shown().is_some() => return Ok(()),
            Err(_) => self.fetching.lock().await,
        };
        if self.are_fresh() {
            return Ok(());
        }
        let fetched = match self.failed_just_now() {
            Some(why) => Err(why),
            None => self.fetch(connector).await,
        };
        fetched.or_else(|why| if self.shown().is_some() { Ok(()) } else { Err(why) })
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
            Ok(Token { value, ends: asked + lives })
        });
        let mut held = self.held.lock();
        match token {
            Ok(token) => *held = Held { token: Some(token), failed: None },
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

fn left(token: &Token) -> Duration {
    token.ends.saturating_duration_since(Instant::now())
}

/// An access token as it came, and how long it lives.
type Fetched = (Zeroizing<Vec<u8>>, Duration);
