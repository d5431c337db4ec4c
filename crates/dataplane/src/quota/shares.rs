//! How much of a scarce limit each client had lately, in millionths of the limit: this window's and the last one's, which
//! counts for less as this one grows. Counted only while the limit is scarce.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Milliseconds that count in full.
const WINDOW: u64 = 10_000;
/// Clients that are told apart at one time; whoever comes beyond them is never over its share.
const CLIENTS: usize = 64;
/// Places that are looked at for one client.
const PROBES: usize = 8;

/// Of one domain and model.
#[derive(Debug)]
pub(super) struct Shares {
    window: AtomicU64,
    entries: Box<[Entry]>,
}

#[derive(Debug, Default)]
struct Entry {
    /// 0 = free.
    client: AtomicU64,
    now: AtomicU64,
    before: AtomicU64,
}

// === impl Shares ===

impl Default for Shares {
    fn default() -> Self {
        let entries = (0..CLIENTS).map(|_| Entry::default()).collect();
        Self { window: AtomicU64::new(0), entries }
    }
}

impl Shares {
    /// A client takes so many millionths.
    pub(super) fn add(&self, client: u64, millionths: u64, now: u64) {
        self.roll(now / WINDOW);
        let claim = |entry: &&Entry| {
            entry.client.load(Relaxed) == client
                || entry.client.compare_exchange(0, client, Relaxed, Relaxed).is_ok()
        };
        if let Some(entry) = self.places(client).find(claim) {
            entry.now.fetch_add(millionths, Relaxed);
        }
    }

    /// Whether it had more than an even share among those that had any, and so many who may come.
    pub(super) fn is_over(&self, client: u64, newcomers: u64, now: u64) -> bool {
        self.roll(now / WINDOW);
        let fading = WINDOW - now % WINDOW;
        let had = |entry: &Entry| {
            entry.now.load(Relaxed).saturating_mul(WINDOW) + entry.before.load(Relaxed).saturating_mul(fading)
        };
        let (clients, total) = self
            .entries
            .iter()
            .map(had)
            .filter(|had| *had > 0)
            .fold((0_u64, 0_u64), |(clients, total), had| (clients + 1, total.saturating_add(had)));
        let own = self.places(client).find(|entry| entry.client.load(Relaxed) == client).map_or(0, had);
        let clients = clients + newcomers;
        clients > 1 && own.saturating_mul(clients) > total
    }

    fn places(&self, client: u64) -> impl Iterator<Item = &Entry> {
        let first = (client as usize) % CLIENTS;
        self.entries.iter().cycle().skip(first).take(PROBES)
    }

    /// A new window has begun: whichever core sees it first turns the page. What others add in that moment may be lost,
    /// which is a request or two of thousands.
    fn roll(&self, window: u64) {
        let last = self.window.load(Relaxed);
        if window <= last || self.window.compare_exchange(last, window, Relaxed, Relaxed).is_err() {
            return;
        }
        for entry in &self.entries {
            let had = entry.now.swap(0, Relaxed);
            let had = if window == last + 1 { had } else { 0 };
            entry.before.store(had, Relaxed);
            if had == 0 {
                entry.client.store(0, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_had_more_than_an_even_share_is_over_until_it_fades() {
        let shares = Shares::default();
        shares.add(1, 900, 100);
        assert!(!shares.is_over(1, 0, 100), "alone it may have all");
        assert!(shares.is_over(1, 1, 100), "but where others may come");
        shares.add(2, 100, 200);
        assert!(shares.is_over(1, 0, 300) && !shares.is_over(2, 0, 300) && !shares.is_over(3, 0, 300));
        shares.add(2, 500, 10_100);
        assert!(shares.is_over(1, 0, 10_200), "the last window counts");
        assert!(!shares.is_over(1, 0, 16_000), "and fades");
        assert!(!shares.is_over(2, 0, 40_000), "everything is forgotten");
    }

    #[test]
    fn more_clients_than_places_are_no_harm() {
        let shares = Shares::default();
        (1..1000).for_each(|client| shares.add(client * 7, 1, 5));
        assert!(!shares.is_over(7 * 999, 0, 5));
        shares.add(7, 50, 6);
        assert!(shares.is_over(7, 0, 6));
    }
}
