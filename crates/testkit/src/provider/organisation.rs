//! A limit that several keys share: a token bucket of requests, told in headers as OpenAI tells it. Time is passed in.

use std::time::{Duration, Instant};

/// So many requests, and how long an empty bucket takes to fill.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The bucket.
    pub requests: u32,
    /// From empty to full.
    pub fills_in: Duration,
    /// Whether headers of answers tell of it.
    pub is_told: bool,
}

/// Keys with one limit.
#[derive(Debug)]
pub(super) struct Organisation {
    keys: Vec<String>,
    limit: Limit,
    left: f64,
    at: Instant,
}

/// What one request was told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) refused: bool,
    pub(super) headers: Vec<(String, String)>,
}

impl Organisation {
    pub(super) fn new(keys: &[&str], limit: Limit, now: Instant) -> Self {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        Self { keys, limit, left: f64::from(limit.requests), at: now }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|own| own == key)
    }

    /// Takes one request, or says how long none is taken.
    pub(super) fn take(&mut self, now: Instant) -> Told {
        let limit = f64::from(self.limit.requests);
        let one = self.limit.fills_in.div_f64(limit.max(1.0));
        let grown = now.saturating_duration_since(self.at).as_secs_f64() / one.as_secs_f64();
        (self.left, self.at) = ((self.left + grown).min(limit), now);
        let refused = self.left < 1.0;
        if !refused {
            self.left -= 1.0;
        }
        let mut headers = vec![
            ("x-ratelimit-limit-requests".to_owned(), self.limit.requests.to_string()),
            ("x-ratelimit-remaining-requests".to_owned(), format!("{}", self.left.floor())),
            ("x-ratelimit-reset-requests".to_owned(), span(one.mul_f64(limit - self.left))),
        ];
        if !self.limit.is_told {
            headers.clear();
        }
        if refused {
            let wait = one.mul_f64(1.0 - self.left);
            headers.push(("retry-after-ms".to_owned(), wait.as_millis().max(1).to_string()));
        }
        Told { refused, headers }
    }
}

/// `6m0.5s`.
fn span(time: Duration) -> String {
    let (minutes, seconds) = (time.as_secs() / 60, time.as_secs_f64() % 60.0);
    if minutes > 0 { format!("{minutes}m{seconds:.3}s") } else { format!("{seconds:.3}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let start = Instant::now();
        let limit = Limit { requests: 2, fills_in: Duration::from_secs(120), is_told: true };
        let mut org = Organisation::new(&["a", "b"], limit, start);
        assert!(org.has("b") && !org.has("c"));
        let header = |told: &Told, place: usize| told.headers[place].1.clone();
        let first = org.take(start);
        assert_eq!((header(&first, 0), header(&first, 1)), ("2".to_owned(), "1".to_owned()));
        assert_eq!(header(&first, 2), "1m0.000s");
        assert!(!org.take(start).refused);
        let third = org.take(start + Duration::from_secs(30));
        assert!(third.refused);
        assert_eq!((header(&third, 2), header(&third, 3)), ("1m30.000s".to_owned(), "30000".to_owned()));
        assert!(!org.take(start + Duration::from_secs(60)).refused);
    }
}
