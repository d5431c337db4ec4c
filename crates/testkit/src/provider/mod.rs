//! A provider that speaks OpenAI's and Anthropic's dialects on raw TCP, so that it can also misbehave in
//! every way a network and a vendor can. It runs on a thread of its own, listens on a port that the system
//! chose, answers as scripted, and records what it saw. Dropped, it ends with all its connections.

mod dialect;
mod organisation;
mod plan;
mod read;
mod reply;
mod seen;
mod serve;
mod state;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::dialect::{Surface, USAGE, error, events, good};
pub use self::organisation::Limit;
use self::organisation::Organisation;
pub use self::reply::{End, Ending, Failure, Framing, LineEnd, Reply, Step, Stream, Whole};
pub use self::seen::{KeyUse, Outcome, Seen};
use self::state::State;

/// The script that holds for every model without one of its own.
pub const ANY: &str = "*";

/// Time between two looks while waiting for something to be seen.
const LOOK: Duration = Duration::from_millis(2);

/// A running simulated provider.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Provider {
    /// Starts one on 127.0.0.1.
    pub fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = Arc::new(State::default());
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("sim-provider".to_owned()).spawn(move || {
            runtime.block_on(async move {
                if let Ok(listener) = TcpListener::from_std(listener) {
                    serve::serve(listener, served, stopped).await;
                }
            });
        })?;
        Ok(Self { address, state, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL up to the version segment: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The script for requests that name `model`; [`ANY`] for all others.
    pub fn script<'a>(&'a self, model: &'a str) -> Script<'a> {
        Script { state: &self.state, model }
    }

    /// From now on requests for which nothing is scripted are answered as this decides.
    pub fn decide(&self, decide: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        self.state.decide(Box::new(decide));
    }

    /// From now on requests with any other credential than these are answered with 401; `accept_key` adds one.
    pub fn accept_only(&self, keys: &[&str]) {
        self.state.accept_only(keys);
    }

    /// From now on these credentials share a limit. Answers tell of it in OpenAI's headers; what is beyond it is 429. A
    /// credential is in the first organisation that names it.
    pub fn organisation(&self, keys: &[&str], limit: Limit) {
        self.state.organisation(Organisation::new(keys, limit, Instant::now()));
    }

    /// From now on requests with this credential are answered with `status` and an error that quotes it.
    pub fn refuse_key(&self, key: &str, status: u16) {
        self.state.refuse(key, status);
    }

    /// Takes back `refuse_key`, and adds it to what `accept_only` allows.
    pub fn accept_key(&self, key: &str) {
        self.state.accept(key);
    }

    /// Lets every stream go on that holds, now and from now on.
    pub fn release(&self) {
        self.state.release();
    }

    /// Every request so far, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen()
    }

    /// How many requests came so far.
    pub fn requests(&self) -> usize {
        self.state.requests()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.state.connections()
    }

    /// What each credential did.
    pub fn keys(&self) -> BTreeMap<String, KeyUse> {
        self.state.keys()
    }

    /// The beginnings of what came in and was no clean request.
    pub fn broken(&self) -> Vec<Bytes> {
        self.state.broken_heads()
    }

    /// Waits until `holds` is true of all requests seen, and gives them. Past `within` it gives them as `Err`.
    pub async fn until(
        &self,
        within: Duration,
        holds: impl Fn(&[Seen]) -> bool,
    ) -> Result<Vec<Seen>, Vec<Seen>> {
        let deadline = Instant::now() + within;
        loop {
            let seen = self.seen();
            if holds(&seen) {
                return Ok(seen);
            }
            if Instant::now() >= deadline {
                return Err(seen);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The answers for one model.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    state: &'a State,
    model: &'a str,
}

impl Script<'_> {
    /// Answers the next request that nothing queued earlier answers.
    pub fn reply(self, reply: Reply) -> Self {
        self.state.queue(self.model, reply);
        self
    }

    /// Answers every request for which nothing is queued.
    pub fn always(self, reply: Reply) -> Self {
        self.state.always(self.model, reply);
        self
    }

    /// Forgets the script.
    pub fn clear(self) -> Self {
        self.state.clear(self.model);
        self
    }
}

#[cfg(test)]
mod tests;
