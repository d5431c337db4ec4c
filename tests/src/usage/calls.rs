//! Callers that ask as the wishes say, on whatever replica is open, and keep what only they can know: what the gateway refused by
//! itself.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyway_testkit::billing::{Account, Order};
use keyway_testkit::caller::{Answer, Caller, post};
use keyway_testkit::process::Replica;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::compare::Refused;
use super::wishes::{Wish, wish};
use crate::gateway::Outcome;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(2);
/// Times that one request is asked, each under a name of its own, where the connection ends before an answer begins.
const TRIES: u32 = 50;

/// Which replicas take new requests.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<Mutex<Vec<(SocketAddr, bool)>>>,
}

/// So many callers on their way through the wishes.
#[derive(Debug)]
pub struct Calls {
    shared: Arc<Shared>,
    callers: JoinSet<Outcome>,
}

#[derive(Debug)]
struct Shared {
    gate: Gate,
    next: AtomicU64,
    done: AtomicU64,
    until: u64,
    wish: fn(u64) -> Option<Wish>,
    /// What the gateway refused by itself.
    refused: Mutex<Vec<Refused>>,
    /// Names under which a connection ended before its answer did.
    unanswered: Mutex<Vec<String>>,
    answered: Mutex<Vec<Answered>>,
}

/// A request that has ended for its caller.
#[derive(Clone, Debug)]
pub struct Answered {
    /// As the gateway names it: `x-keyway-request-id`.
    pub id: String,
    /// When its last byte was there, or it was left.
    pub at: Instant,
    /// `None`: it was left, as it was meant to be.
    pub answer: Option<Answer>,
}

/// What only callers know.
#[derive(Debug, Default)]
pub struct Known {
    /// What the gateway refused by itself.
    pub refused: Vec<Refused>,
    /// Names that may have been asked in vain: the connection ended before the answer did.
    pub unanswered: Vec<String>,
    /// Answers that were read to their end.
    pub answered: Vec<Answered>,
}

// === impl Gate ===

impl Gate {
    /// All of these, open.
    pub fn of(replicas: &[Replica]) -> Outcome<Self> {
        let addresses: Result<Vec<_>, _> = replicas.iter().map(Replica::address).collect();
        let open = addresses?.into_iter().map(|address| (address, true)).collect();
        Ok(Self { open: Arc::new(Mutex::new(open)) })
    }

    /// Opens or shuts the one of this place to new requests.
    pub fn set(&self, place: usize, open: bool) {
        if let Some(entry) = self.open.lock().get_mut(place) {
            entry.1 = open;
        }
    }

    /// One of the open ones, another for each number.
    async fn choose(&self, number: u64) -> SocketAddr {
        loop {
            let open: Vec<_> = self.open.lock().iter().filter(|entry| entry.1).map(|entry| entry.0).collect();
            let place = usize::try_from(number).unwrap_or_default().checked_rem(open.len());
            if let Some(address) = place.and_then(|place| open.get(place)) {
                return *address;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

// === impl Calls ===

impl Calls {
    /// Starts them: so many callers for the wishes of these numbers.
    #[must_use]
    pub fn start(gate: Gate, callers: usize, numbers: std::ops::Range<u64>) -> Self {
        Self::of(gate, callers, numbers, |number| Some(wish(number)))
    }

    /// Starts them for other wishes; numbers without one are passed over.
    #[must_use]
    pub fn of(
        gate: Gate,
        callers: usize,
        numbers: std::ops::Range<u64>,
        wish: fn(u64) -> Option<Wish>,
    ) -> Self {
        let shared = Arc::new(Shared {
            gate,
            next: AtomicU64::new(numbers.start),
            done: AtomicU64::new(0),
            until: numbers.end,
            wish,
            refused: Mutex::default(),
            unanswered: Mutex::default(),
            answered: Mutex::default(),
        });
        let mut set = JoinSet::new();
        for _ in 0..callers {
            set.spawn(call(Arc::clone(&shared)));
        }
        Self { shared, callers: set }
    }

    /// Waits until so many requests have ended.
    pub async fn until(&self, done: u64) -> Outcome {
        let end = Instant::now() + PATIENCE;
        while self.shared.done.load(Ordering::Relaxed) < done {
            if Instant::now() >= end {
                return Err(
                    format!("only {} of {done} ended", self.shared.done.load(Ordering::Relaxed)).into()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Ends after what is under way; gives how many were asked.
    pub fn end_soon(&self) {
        self.shared.next.store(self.shared.until, Ordering::Relaxed);
    }

    /// Waits for all.
    pub async fn all(mut self) -> Outcome<Known> {
        while let Some(ended) = self.callers.join_next().await {
            ended??;
        }
        let Shared { refused, unanswered, answered, .. } = &*self.shared;
        let (refused, unanswered) = (refused.lock().clone(), unanswered.lock().clone());
        Ok(Known { refused, unanswered, answered: answered.lock().clone() })
    }
}

async fn call(shared: Arc<Shared>) -> Outcome {
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= shared.until {
            return Ok(());
        }
        if let Some(wish) = (shared.wish)(number) {
            ask(&shared, number, &wish).await?;
        }
        shared.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks until an answer begins.
async fn ask(shared: &Shared, number: u64, wish: &Wish) -> Outcome {
    for again in 0..TRIES {
        let to = shared.gate.choose(number + u64::from(again)).await;
        let name = format!("{number}.{again}");
        let order = Order { request: name.clone(), ..wish.order.clone() };
        match exchange(to, wish, &order).await {
            Ok(answered) => return judge(shared, wish, &name, answered),
            Err(_) => shared.unanswered.lock().push(name),
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(format!("request {number} was never answered").into())
}

/// Asks for an order, on a connection of its own, and leaves where the order says so.
pub async fn exchange(to: SocketAddr, wish: &Wish, order: &Order) -> io::Result<Answered> {
    let mut caller = Caller::connect(to).await?;
    let tags = wish.order.tags.join(",");
    let tags = if tags.is_empty() { tags } else { format!("x-keyway-tags: {tags}\r\n") };
    let body = order.body(wish.kind, wish.model);
    caller.send(&post(wish.kind.path(), wish.client.token, &tags, body.as_bytes())).await?;
    let head = caller.head().await?;
    let id = head.1.iter().find(|(name, _)| name == "x-keyway-request-id").map(|(_, id)| id.clone());
    let answer = match order.leave_after.filter(|_| head.0 == 200) {
        None => Some(caller.after(head).await?),
        Some(words) => {
            caller.wait_for(format!("~{}~", words - 1).as_bytes()).await?;
            None
        }
    };
    Ok(Answered { id: id.unwrap_or_default(), at: Instant::now(), answer })
}

/// What came must be what the wish foresees.
fn judge(shared: &Shared, wish: &Wish, name: &str, answered: Answered) -> Outcome {
    shared.answered.lock().push(answered.clone());
    let Some(answer) = answered.answer else { return Ok(()) };
    let wrong =
        |what: &str| format!("request {name}: {what}: {} {} of {wish:?}", answer.status, answer.text());
    match wish.refused {
        Some(status) if answer.status == status => {
            let account = Account { requests: 1, errors: 1, ..Account::default() };
            let (client, tags) = (wish.client.name.to_owned(), wish.order.tags.clone());
            shared.refused.lock().push(Refused { client, tags, account });
            Ok(())
        }
        Some(_) => Err(wrong("was not refused").into()),
        None if answer.status != 200 && wish.order.fails.is_empty() => Err(wrong("was refused").into()),
        None if answer.complete || wish.order.break_after.is_some() => Ok(()),
        None => {
            shared.unanswered.lock().push(name.to_owned());
            Ok(())
        }
    }
}
