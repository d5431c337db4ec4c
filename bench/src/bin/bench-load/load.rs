//! The closed loop, and the count of what came back.

use crate::connection::{Broken, Connection, Reply};
use hdrhistogram::{CreationError, Histogram};
use keyway_bench::{Quantiles, Report};
use memchr::memmem;
use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{task::LocalSet, time};

/// What to send, where to, and how much of it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) addr: SocketAddr,
    pub(crate) request: Vec<u8>,
    pub(crate) connections: usize,
    /// Connections start spread over this time.
    pub(crate) spread: Duration,
    pub(crate) amount: Amount,
    pub(crate) wanted: Wanted,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Amount {
    Replies(u64),
    Time(Duration),
}

/// What makes a reply good, beside status 200.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Number of events; 0 = not counted.
    pub(crate) events: usize,
    /// What the body ends with.
    pub(crate) end: Vec<u8>,
}

struct Tally {
    started: Instant,
    sent: u64,
    good: u64,
    bad: u64,
    connections: u64,
    first: Histogram<u64>,
    total: Histogram<u64>,
    faults: Vec<String>,
}

/// A run that is not over by then has a reply that hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// A run by count ends by then in any case.
const LONGEST_COUNT: Duration = Duration::from_secs(900);
/// Bad replies after which a run is given up.
const MOST_BAD: u64 = 1_000;
const FAULTS_SHOWN: usize = 3;
/// Bytes of a bad reply's end that are shown.
const TAIL_SHOWN: usize = 160;
const LONGEST_REPLY: Duration = Duration::from_secs(120);

/// Runs the load to its end. Errors: only if the histograms cannot be made.
pub(crate) async fn run(asked: Asked) -> Result<Report, CreationError> {
    let asked = Rc::new(asked);
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let limit = match asked.amount {
        Amount::Time(time) => time + PATIENCE,
        Amount::Replies(_) => LONGEST_COUNT,
    };
    let loops = LocalSet::new();
    for i in 0..asked.connections {
        let (asked, tally) = (asked.clone(), tally.clone());
        loops.spawn_local(async move {
            time::sleep(asked.spread.mul_f64(i as f64 / asked.connections as f64)).await;
            ask_again_and_again(&asked, &tally).await;
        });
    }
    if time::timeout(limit, loops).await.is_err() {
        tally.borrow_mut().wrong(|| format!("a reply was still missing after {limit:?}"));
    }
    let report = tally.borrow().report();
    Ok(report)
}

async fn ask_again_and_again(asked: &Asked, tally: &RefCell<Tally>) {
    let mut connection = None;
    let mut body = Vec::new();
    while tally.borrow_mut().another(asked.amount) {
        let mut open = match connection.take() {
            Some(open) => open,
            None => match Connection::open(asked.addr).await {
                Ok(open) => {
                    tally.borrow_mut().connections += 1;
                    open
                }
                Err(why) => {
                    tally.borrow_mut().wrong(|| format!("no connection: {why}"));
                    continue;
                }
            },
        };
        let start = Instant::now();
        let reply = open.exchange(&asked.request, &mut body).await;
        if tally.borrow_mut().count(start, &reply, &body, &asked.wanted) {
            connection = Some(open);
        }
    }
}

// === impl Wanted ===

impl Wanted {
    fn is_met(&self, body: &[u8]) -> bool {
        body.trim_ascii_end().ends_with(&self.end) && (self.events == 0 || self.events == events(body))
    }
}

fn events(body: &[u8]) -> usize {
    usize::from(body.starts_with(b"data: ")) + memmem::find_iter(body, b"\ndata: ").count()
}

// === impl Tally ===

impl Tally {
    fn new() -> Result<Self, CreationError> {
        let longest = u64::try_from(LONGEST_REPLY.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            started: Instant::now(),
            sent: 0,
            good: 0,
            bad: 0,
            connections: 0,
            first: Histogram::new_with_bounds(1, longest, 3)?,
            total: Histogram::new_with_bounds(1, longest, 3)?,
            faults: Vec::new(),
        })
    }

    /// Whether one more request is due; if so it counts as sent.
    fn another(&mut self, amount: Amount) -> bool {
        let due = match amount {
            Amount::Replies(replies) => self.sent < replies,
            Amount::Time(time) => self.started.elapsed() < time,
        };
        let go_on = due && self.bad < MOST_BAD;
        self.sent += u64::from(go_on);
        go_on
    }

    /// Books one reply, and says whether its connection can be used again.
    fn count(&mut self, start: Instant, reply: &Result<Reply, Broken>, body: &[u8], wanted: &Wanted) -> bool {
        let reply = match reply {
            Ok(reply) => reply,
            Err(why) => {
                self.wrong(|| why.to_string());
                return false;
            }
        };
        if reply.status == 200 && wanted.is_met(body) {
            self.good += 1;
            self.first.saturating_record(nanoseconds(reply.first - start));
            self.total.saturating_record(nanoseconds(reply.last - start));
        } else {
            self.wrong(|| {
                let tail = body.get(body.len().saturating_sub(TAIL_SHOWN)..).unwrap_or_default();
                format!("status {}, {} events, end {}", reply.status, events(body), tail.escape_ascii())
            });
        }
        !reply.closes
    }

    fn wrong(&mut self, say: impl FnOnce() -> String) {
        self.bad += 1;
        if self.faults.len() < FAULTS_SHOWN {
            self.faults.push(say());
        }
    }

    fn report(&self) -> Report {
        Report {
            seconds: self.started.elapsed().as_secs_f64(),
            good: self.good,
            bad: self.bad,
            connections: self.connections,
            first: Quantiles::of(&self.first),
            total: Quantiles::of(&self.total),
            faults: self.faults.clone(),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
