//! What a replica knows of a key by its answers, per upstream model. Waits are milliseconds on a monotonic clock.
//!
//! A cool-down (429, 5xx, no connection) only orders: when all are cooled, the one due first is still tried. A bench
//! (the provider refused the credential) takes the key out until it is due for one more trial.

use keyway_proto::fleet::v1::Rest;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// After a fault without a wait of its own.
const COOL_DOWN: Duration = Duration::from_secs(1);
/// The longest wait that a provider can impose.
const COOL_DOWN_LIMIT: Duration = Duration::from_secs(3600);
/// Until a refused key is tried again; a new version is free at once.
const BENCH: Duration = Duration::from_secs(30);
/// Models of one key that are remembered; beyond it the whole key cools.
const MODELS: usize = 1024;
/// Rests that a control plane is told of one key.
const RESTS: usize = 8;

/// Whether a key may be taken for a model now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Ready,
    /// Not before this moment, unless all are cooling.
    Cooling(u64),
    /// Refused by the provider.
    Benched,
}

/// Of one key.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// No wait ends later than this: a healthy key costs one load.
    quiet_after: AtomicU64,
    waits: Mutex<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    whole: Wait,
    models: HashMap<Box<str>, Wait>,
}

/// Until when it cools and until when it is benched: neither ends the other, and a shorter one no longer one.
#[derive(Debug, Clone, Copy, Default)]
struct Wait {
    cooled: u64,
    benched: u64,
}

// === impl Health ===

impl Health {
    pub(crate) fn due(&self, model: &str, now: u64) -> Due {
        if now >= self.quiet_after.load(Ordering::Relaxed) {
            return Due::Ready;
        }
        let waits = self.waits.lock();
        let of_model = waits.models.get(model).copied().unwrap_or_default();
        let worst = waits.whole.with(of_model);
        if worst.benched > now {
            Due::Benched
        } else if worst.cooled > now {
            Due::Cooling(worst.cooled)
        } else {
            Due::Ready
        }
    }

    /// The provider asked for patience, or failed.
    pub(crate) fn cool(&self, model: &str, now: u64, wait: Option<Duration>) {
        let wait = wait.unwrap_or(COOL_DOWN).min(COOL_DOWN_LIMIT);
        self.wait(Some(model), Wait { cooled: now.saturating_add(millis(wait)), benched: 0 }, now);
    }

    /// The provider does not know the credential.
    pub(crate) fn bench(&self, now: u64) {
        self.wait(None, Wait { cooled: 0, benched: now.saturating_add(millis(BENCH)) }, now);
    }

    /// The provider denies the credential this model: other models go on.
    pub(crate) fn bench_for(&self, model: &str, now: u64) {
        self.wait(Some(model), Wait { cooled: 0, benched: now.saturating_add(millis(BENCH)) }, now);
    }

    /// Whether the provider refused it lately.
    pub(crate) fn is_benched(&self, now: u64) -> bool {
        self.waits.lock().whole.benched > now
    }

    /// Where it rests now; the first few.
    pub(crate) fn rests(&self, now: u64) -> Vec<Rest> {
        if now >= self.quiet_after.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let waits = self.waits.lock();
        let of_models = waits.models.iter().map(|(model, wait)| (&**model, wait));
        let all = std::iter::once(("", &waits.whole)).chain(of_models);
        let resting = all.filter(|(_, wait)| wait.until() > now).take(RESTS);
        let told = |(model, wait): (&str, &Wait)| Rest {
            model: model.to_owned(),
            refused: wait.benched > now,
            for_millis: wait.until() - now,
        };
        resting.map(told).collect()
    }

    fn wait(&self, model: Option<&str>, wait: Wait, now: u64) {
        let mut waits = self.waits.lock();
        if waits.models.len() >= MODELS {
            waits.models.retain(|_, wait| wait.until() > now);
        }
        let has_room = waits.models.len() < MODELS;
        let known = model.and_then(|model| waits.models.get_mut(model));
        match (known, model) {
            (Some(known), _) => *known = known.with(wait),
            (None, Some(model)) if has_room => {
                waits.models.insert(model.into(), wait);
            }
            (None, _) => waits.whole = waits.whole.with(wait),
        }
        self.quiet_after.fetch_max(wait.until(), Ordering::Relaxed);
    }
}

// === impl Wait ===

impl Wait {
    /// Both.
    fn with(self, other: Self) -> Self {
        Self { cooled: self.cooled.max(other.cooled), benched: self.benched.max(other.benched) }
    }

    fn until(self) -> u64 {
        self.cooled.max(self.benched)
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_end_and_benches_weigh_more() {
        let health = Health::default();
        assert_eq!(health.due("m", 0), Due::Ready);
        health.cool("m", 1_000, Some(Duration::from_secs(7)));
        assert_eq!(health.due("m", 1_001), Due::Cooling(8_000));
        assert_eq!(health.due("other", 1_001), Due::Ready);
        health.bench_for("m", 2_000);
        assert_eq!(health.due("m", 2_001), Due::Benched);
        assert_eq!(health.due("m", 32_000), Due::Ready);
        health.bench(40_000);
        assert_eq!(health.due("other", 40_001), Due::Benched);
        assert!(health.is_benched(40_001) && !health.is_benched(70_000));
    }

    #[test]
    fn a_shorter_wait_takes_nothing_from_a_longer_one() {
        let health = Health::default();
        health.cool("m", 0, Some(Duration::from_secs(60)));
        health.cool("m", 100, None);
        assert_eq!(health.due("m", 2_000), Due::Cooling(60_000));
        health.bench_for("m", 1_000);
        health.cool("m", 2_000, None);
        assert_eq!(health.due("m", 5_000), Due::Benched);
        assert_eq!(health.due("m", 31_500), Due::Cooling(60_000), "the bench ends, and the wait goes on");
        assert_eq!(health.due("m", 60_000), Due::Ready);

        health.bench(70_000);
        for n in 0..=MODELS {
            health.cool(&format!("m{n}"), 70_000, None);
        }
        assert!(health.is_benched(80_000), "what cools the whole key does not end its bench");
        health.cool("m7", 70_000, Some(Duration::from_secs(50)));
        assert_eq!(health.due("m7", 119_000), Due::Cooling(120_000));
        assert_eq!(health.due("m8", 119_000), Due::Ready, "a model that is known needs no room");
    }

    #[test]
    fn what_rests_is_told_with_how_long() {
        let health = Health::default();
        let told = |now| {
            let rests = health.rests(now).into_iter();
            rests.map(|rest| (rest.model, rest.refused, rest.for_millis)).collect::<Vec<_>>()
        };
        assert_eq!(told(0), []);
        health.cool("m", 1_000, Some(Duration::from_secs(7)));
        health.bench(2_000);
        assert_eq!(told(3_000), [(String::new(), true, 29_000), ("m".to_owned(), false, 5_000)]);
        assert_eq!(told(8_000), [(String::new(), true, 24_000)]);
        assert_eq!(told(32_000), []);
        for n in 0..100 {
            health.cool(&format!("m{n}"), 40_000, None);
        }
        assert_eq!(told(40_000).len(), RESTS);
    }

    #[test]
    fn a_provider_cannot_impose_a_wait_for_ever() {
        let health = Health::default();
        health.cool("m", 0, Some(Duration::from_secs(u64::MAX / 2000)));
        assert_eq!(health.due("m", 3_600_000), Due::Ready);
    }

    #[test]
    fn memory_is_bounded() {
        let health = Health::default();
        for n in 0..3000 {
            health.cool(&format!("m{n}"), 0, None);
        }
        assert!(health.waits.lock().models.len() <= MODELS);
        assert_eq!(health.due("never seen", 1), Due::Cooling(1_000), "the whole key cools");
    }
}
