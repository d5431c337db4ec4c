//! One version of one key: its state and its counts.
//!
//! Counts are written next to each other in one cache line that `in_flight` has brought to the core anyway, so that
//! knowing more of a key costs a request next to nothing.

use super::{Due, Health, Lease, Ways};
use crate::{
    clock,
    quota::{Ask, Domain, Room},
};
use aws_lc_rs::digest::{Context, SHA256};
use keyway_proto::fleet::v1::KeyUse;
use keyway_snapshot::{Credential, CredentialState, Provider, Secret};
use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
};

/// What may be done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum KeyState {
    Active = 0,
    /// Waits to go: only for requests whose active versions were all refused.
    Retiring = 1,
    /// In no state any more; attempts from before may finish on it.
    Withdrawn = 2,
    /// Attempts from before are cut.
    Revoked = 3,
}

/// As what a request takes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    Active,
    /// No active version is left to this request.
    Standby,
    /// To see whether it works.
    Probe,
}

/// One version of one key.
#[derive(Debug)]
pub(crate) struct Key {
    uses: Arc<Uses>,
    /// With whom it shares the provider's limits.
    pub(crate) quota: Arc<Domain>,
    pub(super) ways: Ways,
    pub(super) secret: Option<Secret>,
}

/// All of a key but its secret, which goes with the last attempt that uses it, while its counts are still asked for.
#[derive(Debug)]
pub(crate) struct Uses {
    /// `provider/key/version`.
    pub(crate) id: Arc<str>,
    /// Tells it from every other key of this process: 0 is none.
    pub(crate) number: u64,
    /// What is known of it here.
    pub(crate) health: Health,
    proof: Proof,
    weight: AtomicU32,
    state: AtomicU8,
    /// While it is not active: that nobody holds it has been reported.
    told: AtomicBool,
    /// An older version stands by for whatever goes wrong with it.
    on_trial: AtomicBool,
    pub(super) in_flight: AtomicU64,
    started: AtomicU64,
    last_use: AtomicU64,
    standby: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    faults: AtomicU64,
    throttled: AtomicU64,
    timeouts: AtomicU64,
}

/// What an attempt that failed counts as against its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The provider answered 401 or 403.
    Refused,
    /// 5xx or 402, no connection, or a reply that cannot be used.
    Fault,
    /// 429.
    Throttled,
    /// No answer in time.
    Timeout,
}

// === impl Trouble ===

impl Trouble {
    /// What an answer that broke after it had begun counts as; `None` = it was not the provider.
    pub(crate) fn of_broken(reason: &str) -> Option<Self> {
        match reason {
            "upstream_timeout" | "upstream_idle_timeout" => Some(Self::Timeout),
            _ => reason.starts_with("upstream_").then_some(Self::Fault),
        }
    }
}

/// By which a secret that comes back, presented in the same way, is known again.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Proof([u8; 32]);

// === impl KeyState ===

/// A reported state as in `/snapshot`.
pub(crate) fn word(state: CredentialState) -> &'static str {
    match state {
        CredentialState::Active => "active",
        CredentialState::Retiring => "retiring",
        CredentialState::Unspecified => "withdrawn",
        CredentialState::Revoked => "revoked",
    }
}

impl KeyState {
    fn wire(self) -> CredentialState {
        match self {
            Self::Active => CredentialState::Active,
            Self::Retiring => CredentialState::Retiring,
            Self::Withdrawn => CredentialState::Unspecified,
            Self::Revoked => CredentialState::Revoked,
        }
    }
}

impl From<CredentialState> for KeyState {
    fn from(state: CredentialState) -> Self {
        match state {
            CredentialState::Active => Self::Active,
            CredentialState::Retiring => Self::Retiring,
            CredentialState::Unspecified => Self::Withdrawn,
            CredentialState::Revoked => Self::Revoked,
        }
    }
}

// === impl Key ===

impl Key {
    pub(super) fn new(
        provider: &Provider,
        credential: &Credential,
        state: KeyState,
        quota: Arc<Domain>,
    ) -> Self {
        let ways = Ways::of(provider, &credential.secret);
        let uses = Uses::new(credential.id().into(), Proof::of(provider, &credential.secret));
        let key = Self { uses: Arc::new(uses), quota, ways, secret: Some(credential.secret.clone()) };
        key.weight.store(credential.weight, Ordering::Relaxed);
        key.enter(state);
        key
    }

    /// For a provider that asks for none: counted and watched like any other.
    pub(super) fn none(provider: &str, quota: Arc<Domain>) -> Self {
        let uses = Uses::new(format!("{provider}/none/0").into(), Proof([0; 32]));
        Self { uses: Arc::new(uses), quota, ways: Ways::none(), secret: None }
    }

    /// The same key for who only counts: attempts that hold it keep its secret, and nobody else.
    pub(super) fn without_secret(&self) -> Self {
        let (uses, quota) = (Arc::clone(&self.uses), Arc::clone(&self.quota));
        Self { uses, quota, ways: Ways::none(), secret: None }
    }

    /// The same key with its secret, if this is it, in this quota domain.
    pub(super) fn again(
        self: &Arc<Self>,
        provider: &Provider,
        credential: &Credential,
        quota: &Arc<Domain>,
    ) -> Option<Arc<Self>> {
        if self.proof != Proof::of(provider, &credential.secret) {
            return None;
        }
        if self.secret.is_some() && Arc::ptr_eq(&self.quota, quota) {
            return Some(Arc::clone(self));
        }
        let ways = match self.secret {
            Some(_) => self.ways.clone(),
            None => Ways::of(provider, &credential.secret),
        };
        let (uses, secret) = (Arc::clone(&self.uses), Some(credential.secret.clone()));
        Some(Arc::new(Self { uses, quota: Arc::clone(quota), ways, secret }))
    }

    pub(super) fn provider(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    pub(super) fn weigh(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// From now on in this state.
    pub(super) fn enter(&self, state: KeyState) {
        if self.state.swap(state as u8, Ordering::SeqCst) != state as u8 {
            self.told.store(false, Ordering::Relaxed);
        }
    }

    /// Goes on with the counts of a key of the same id that is gone.
    pub(super) fn absorb(&self, old: &Key) {
        for (sum, count) in [
            (&self.started, &old.started),
            (&self.standby, &old.standby),
            (&self.refused, &old.refused),
            (&self.failed, &old.failed),
            (&self.faults, &old.faults),
            (&self.throttled, &old.throttled),
            (&self.timeouts, &old.timeouts),
        ] {
            sum.fetch_add(count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.last_use.fetch_max(old.last_use.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Share among the provider's keys.
    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(crate) fn state(&self) -> KeyState {
        match self.state.load(Ordering::SeqCst) {
            0 => KeyState::Active,
            1 => KeyState::Retiring,
            2 => KeyState::Withdrawn,
            _ => KeyState::Revoked,
        }
    }

    /// Whether new requests may take it.
    pub(crate) fn is_active(&self) -> bool {
        self.state() == KeyState::Active
    }

    /// Whether it waits to go and serves only who was refused everywhere else.
    pub(crate) fn is_standby(&self) -> bool {
        self.state() == KeyState::Retiring
    }

    /// Attempts that hold it now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// An attempt with it failed.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        let count = match trouble {
            Trouble::Refused => &self.refused,
            Trouble::Fault => &self.faults,
            Trouble::Throttled => &self.throttled,
            Trouble::Timeout => &self.timeouts,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn try_out(&self, on_trial: bool) {
        self.on_trial.store(on_trial, Ordering::Relaxed);
    }

    /// Whether an older version serves requests with which this one failed.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.on_trial.load(Ordering::Relaxed)
    }

    /// A request ended in an error because of it.
    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// What the control plane learns. The state is read first, so that a count of 0 is one since that state.
    pub(crate) fn report(&self) -> KeyUse {
        let state = self.state();
        KeyUse {
            id: self.id.to_string(),
            state: state.wire() as i32,
            in_flight: self.in_flight(),
            started: self.started.load(Ordering::Relaxed),
            standby: self.standby.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            last_use_unix_millis: self.last_use.load(Ordering::Relaxed),
            faults: self.faults.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
            timeouts: self.timeouts.load(Ordering::Relaxed),
            rests: Vec::new(),
        }
    }

    /// Whether somebody waits to hear that this key is out of use. A retiring one that is taken as standby once more
    /// is awaited again.
    pub(crate) fn is_awaited(&self) -> bool {
        if self.in_flight() > 0 {
            self.told.store(false, Ordering::Relaxed);
        }
        !self.is_active() && !self.told.load(Ordering::Relaxed)
    }

    /// Whether there is something to say to who waits: the last attempt has let go.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_awaited() && self.in_flight() == 0
    }

    /// It was reported with this count.
    pub(crate) fn tell(&self, in_flight: u64) {
        self.told.store(in_flight == 0, Ordering::Relaxed);
    }

    /// Whether nothing more needs to be said of a key that is in no state.
    pub(crate) fn is_over(&self) -> bool {
        self.told.load(Ordering::Relaxed) && self.in_flight() == 0
    }

    /// Takes it for one attempt; `None` if it has left the state in which it was chosen.
    pub(crate) fn lease(self: &Arc<Self>, take: Take) -> Option<Lease> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let taken = match (self.state(), take) {
            (KeyState::Active, _) | (KeyState::Retiring, Take::Standby | Take::Probe) => true,
            (KeyState::Retiring, Take::Active) | (KeyState::Withdrawn | KeyState::Revoked, _) => false,
        };
        if !taken {
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        if take == Take::Standby {
            self.standby.fetch_add(1, Ordering::Relaxed);
        }
        self.started.fetch_add(1, Ordering::Relaxed);
        self.used();
        Some(Lease::new(Arc::clone(self)))
    }

    /// Whether it may be taken for a model now, by its own health and by what it shares with others.
    pub(crate) fn due(&self, model: &str, now: u64) -> Due {
        match (self.health.due(model, now), self.quota.cooling(model, now)) {
            (Due::Benched, _) => Due::Benched,
            (due, None) => due,
            (Due::Ready, Some(until)) => Due::Cooling(until),
            (Due::Cooling(own), Some(until)) => Due::Cooling(own.max(until)),
        }
    }

    /// Whether nothing stands in the way of any request: what most requests find.
    pub(crate) fn is_free(&self, model: &str, now: u64) -> bool {
        self.quota.is_ample(now) && self.health.due(model, now) == Due::Ready
    }

    /// What its limits let through for this request.
    pub(crate) fn room(&self, model: &str, ask: &Ask, now: u64) -> Room {
        self.quota.room(model, ask, now)
    }

    pub(super) fn used(&self) {
        self.last_use.store(clock::coarse_millis(), Ordering::Relaxed);
    }
}

impl Deref for Key {
    type Target = Uses;

    fn deref(&self) -> &Uses {
        &self.uses
    }
}

// === impl Uses ===

impl Uses {
    fn new(id: Arc<str>, proof: Proof) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self {
            id,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            health: Health::default(),
            proof,
            weight: AtomicU32::new(1),
            state: AtomicU8::new(KeyState::Active as u8),
            told: AtomicBool::new(false),
            on_trial: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            started: AtomicU64::new(0),
            last_use: AtomicU64::new(0),
            standby: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
        }
    }
}

// === impl Proof ===

impl Proof {
    fn of(provider: &Provider, secret: &Secret) -> Self {
        let mut hash = Context::new(&SHA256);
        // Auth holds names and no secret; its text ends where a byte stands that is in no name.
        for auth in
            [&provider.auth].into_iter().chain(provider.surfaces.iter().map(|one| provider.auth_of(one)))
        {
            hash.update(format!("{auth:?}\0").as_bytes());
        }
        hash.update(secret.expose());
        Self(hash.finish().as_ref().try_into().unwrap_or_default())
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}
