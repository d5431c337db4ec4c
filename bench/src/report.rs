//! What one run of `bench-load` found.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// One run: how many replies came, how many were wrong, and how long they took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Seconds from the first request to the last reply.
    pub seconds: f64,
    /// Replies that were whole and as expected.
    pub good: u64,
    /// Replies that were not, and connections that broke.
    pub bad: u64,
    /// Connections that were opened, the first ones included.
    pub connections: u64,
    /// From the request's first byte out to the reply body's first byte in.
    pub first: Quantiles,
    /// From the request's first byte out to the reply's last byte in.
    pub total: Quantiles,
    /// The first few things that were wrong, in words.
    pub faults: Vec<String>,
}

/// Quantiles of times, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of the values are at most this.
    pub p50: f64,
    /// 99 of 100 values are at most this.
    pub p99: f64,
    /// 999 of 1,000 values are at most this.
    pub p999: f64,
}

// === impl Report ===

impl Report {
    /// Good replies per second.
    pub fn per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.good as f64 / self.seconds } else { 0.0 }
    }
}

// === impl Quantiles ===

impl Quantiles {
    /// The quantiles of a histogram whose values are nanoseconds.
    pub fn of(nanoseconds: &Histogram<u64>) -> Self {
        let microseconds = |quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: microseconds(0.5), p99: microseconds(0.99), p999: microseconds(0.999) }
    }
}
