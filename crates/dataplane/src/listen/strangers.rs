//! Who sends wrong tokens gets slow answers: each source's count over a minute decides the delay. A valid token is never
//! delayed, whatever its source did.

use std::{cell::RefCell, collections::HashMap, net::IpAddr, time::Duration};

/// Milliseconds after which a source starts anew.
const WINDOW: u64 = 60_000;
/// Wrong tokens in a window that cost nothing yet.
const FREE: u32 = 20;
/// More for each further one.
const STEP: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(2);
/// Sources that are remembered; beyond it the oldest windows are forgotten.
const SOURCES: usize = 4096;

/// One core's memory of sources.
#[derive(Debug, Default)]
pub(crate) struct Strangers(RefCell<HashMap<IpAddr, (u64, u32)>>);

// === impl Strangers ===

impl Strangers {
    /// Waits as long as this source's wrong tokens ask for.
    pub(crate) async fn delay(&self, source: IpAddr, now: u64) {
        let delay = self.count(source, now);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    fn count(&self, source: IpAddr, now: u64) -> Duration {
        let mut sources = self.0.borrow_mut();
        if sources.len() >= SOURCES {
            sources.retain(|_, (began, _)| now.saturating_sub(*began) < WINDOW);
        }
        if sources.len() >= SOURCES {
            return MOST;
        }
        let (began, wrong) = sources.entry(source).or_insert((now, 0));
        if now.saturating_sub(*began) >= WINDOW {
            (*began, *wrong) = (now, 0);
        }
        *wrong = wrong.saturating_add(1);
        STEP.saturating_mul(wrong.saturating_sub(FREE)).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slower_and_slower_within_bounds() {
        let strangers = Strangers::default();
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        let delays: Vec<Duration> = (0..100).map(|_| strangers.count(source, 5)).collect();
        assert_eq!(delays[19], Duration::ZERO);
        assert_eq!(delays[20], STEP);
        assert_eq!(delays[99], MOST);
        assert_eq!(strangers.count("192.0.2.2".parse().unwrap(), 5), Duration::ZERO);
        assert_eq!(strangers.count(source, 5 + WINDOW), Duration::ZERO);
    }
}
