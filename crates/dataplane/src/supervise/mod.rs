//! The replicas of one host: one listening socket, bound once, inherited by every replica; each is a process of this program.
//!
//! `plan` decides what each place does; here it is done. A supervisor holds no state and no provider key; when it dies its
//! replicas finish and end. `keyway up --replicas N` is the same code.

mod acts;
mod again;
mod fetch;
mod link;
mod ops;
mod pass;
mod places;
mod plan;
mod process;
mod prometheus;
mod replica;
mod settings;

pub use again::Resumed;
pub use replica::replica;
pub use settings::{Serving, Sockets, Supervise, SuperviseError, TlsFiles};

pub use plan::REPLICA_LIMIT;

use crate::{
    StateDir,
    identity::{self, Badge, Joining, prepare},
    sync::{LinkSettings, Planes},
};
use keyway_proto::fleet::v1::{HostOrder, HostReport};
use keyway_snapshot::Secret;
use parking_lot::Mutex;
use places::Places;
use plan::Plan;
use process::{Process, Program};
use rustix::process::Pid;
use std::{collections::BTreeMap, net::TcpListener, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, interval, sleep_until},
};

/// How often a replica that starts is asked whether it serves.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A control plane that is there sends a state well within it.
const FIRST_STATE: Duration = Duration::from_secs(2);
/// How often a place that a replica of an earlier supervisor holds is looked at.
const LEFT_EVERY: Duration = Duration::from_secs(1);
/// Orders that wait.
const ORDERS: usize = 8;
/// A plan with nothing to wait for is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What a host is told from outside its stream.
#[derive(Debug, Clone)]
pub struct Host {
    words: mpsc::Sender<Word>,
}

/// What a supervisor may be told.
#[derive(Debug, Clone, Copy)]
enum Word {
    Stop,
    Kill,
    Upgrade,
}

/// All replicas of one host.
#[derive(Debug)]
pub struct Supervisor {
    plan: Plan,
    places: Places,
    program: Program,
    /// Until nothing more is to be served.
    api: Option<TcpListener>,
    ops: TcpListener,
    running: BTreeMap<u32, Process>,
    looks: JoinSet<Option<(u32, Pid)>>,
    words: mpsc::Receiver<Word>,
    badge: Arc<Badge>,
    joining: Arc<Joining>,
    /// Where control planes are: those that it was started with, and those that it was told of.
    planes: Planes,
    settings: Supervise,
}

/// What it says to others, and hears.
struct Ears {
    report: watch::Sender<HostReport>,
    addresses: watch::Sender<ops::Running>,
    orders: mpsc::Receiver<HostOrder>,
    /// A process has ended.
    child: Signal,
}

// === impl Host ===

impl Host {
    /// Lets all finish what is in flight and end.
    pub fn stop(&self) {
        self.tell(Word::Stop);
    }

    /// Ends all at once.
    pub fn kill(&self) {
        self.tell(Word::Kill);
    }

    /// Replaces every replica by one of the program that is on disk, if that is another.
    pub fn upgrade(&self) {
        self.tell(Word::Upgrade);
    }

    fn tell(&self, word: Word) {
        // A full queue holds words that were not heard yet; a closed one says that all has ended.
        let _ = self.words.try_send(word);
    }
}

// === impl Supervisor ===

impl Supervisor {
    /// Takes its directory; nothing runs yet. Inside a runtime with I/O and time.
    ///
    /// # Errors
    /// The directory cannot be had.
    pub fn new(mut settings: Supervise, sockets: Sockets) -> Result<(Self, Host), SuperviseError> {
        let (tell, words) = mpsc::channel(ORDERS);
        let places = Places::open(settings.dir.clone(), settings.prefix.clone())?;
        let wanted = places.wanted().unwrap_or(settings.replicas);
        if wanted != settings.replicas {
            tracing::warn!(
                wanted,
                "the fleet wants another number of replicas here than it was started with"
            );
        }
        let (name, host) = (settings.name.clone(), settings.host.clone());
        let way = (settings.token.take(), settings.fleet_url.clone());
        let file = StateDir::at(settings.dir.clone()).identity_file;
        let (badge, joining) = prepare(settings.identity.take(), Some(file), way, (name, host))?;
        let joining = Arc::new(joining);
        // Without any, whoever dials says so at every try.
        let planes = Planes::new(&joining.urls.join(","));
        let plan = Plan::new(wanted, settings.serving.grace);
        let program = Program { path: settings.program.clone(), args: std::mem::take(&mut settings.replica) };
        let Sockets { api, ops } = sockets;
        let (running, looks) = (BTreeMap::new(), JoinSet::new());
        let supervisor = Self {
            plan,
            places,
            program,
            api: Some(api),
            ops,
            running,
            looks,
            words,
            badge,
            joining,
            planes,
            settings,
        };
        Ok((supervisor, Host { words: tell }))
    }

    /// Goes on with what was handed over by this program as it was before.
    ///
    /// # Errors
    /// The directory cannot be had.
    pub fn resume(settings: Supervise, resumed: Resumed) -> Result<(Self, Host), SuperviseError> {
        let Resumed { api, ops, replicas } = resumed;
        let (mut supervisor, host) = Self::new(settings, Sockets { api, ops })?;
        let now = Instant::now().into_std();
        for (number, kept, process) in replicas {
            supervisor.plan.adopt(number, (kept.finishes, kept.restarts), now);
            supervisor.places.started(number);
            supervisor.running.insert(number, process);
        }
        Ok((supervisor, host))
    }

    /// Replicas that it will run.
    #[must_use]
    pub fn wanted(&self) -> usize {
        usize::try_from(self.plan.wanted()).unwrap_or(1)
    }

    /// Runs until all replicas have ended: told so, or drained one by one.
    ///
    /// Boxed, since a future is compiled wherever its type is polled: a program that polled this one held all that speaks to
    /// the control plane twice, 400 KB.
    ///
    /// # Errors
    /// The ops port failed.
    #[must_use]
    pub fn run(self) -> Pin<Box<dyn Future<Output = Result<(), SuperviseError>> + Send>> {
        Box::pin(self.until_all_ended())
    }

    async fn until_all_ended(mut self) -> Result<(), SuperviseError> {
        let (order, orders) = mpsc::channel(ORDERS);
        let (report, reports) = watch::channel(HostReport::default());
        let (addresses, running) = watch::channel(ops::Running::new());
        let failed = |error| SuperviseError::System("the operations port failed", error);
        let ops = ops::serve(self.ops.try_clone().map_err(failed)?, running);
        let (settings, planes) = (self.link()?, self.planes.clone());
        let linked = link::run(settings, reports, order);
        let caught = |error| SuperviseError::System("cannot wait for processes", error);
        let child = signal(SignalKind::child()).map_err(caught)?;
        let (badge, joining) = (Arc::clone(&self.badge), Arc::clone(&self.joining));
        let status = Mutex::default();
        let keeping = identity::keep(&badge, &joining, &planes, &status);
        let supervising = self.supervise(Ears { report, addresses, orders, child });
        let (ops, linked) = (std::pin::pin!(ops), std::pin::pin!(linked));
        // The link ends once nobody reports any more and the last report was heard.
        let both = async { tokio::join!(supervising, linked) };
        tokio::select! {
            _ = both => Ok(()),
            () = keeping => Ok(()),
            ended = ops => ended.map_err(failed),
        }
    }

    async fn supervise(&mut self, mut ears: Ears) {
        if !self.joined().await {
            return;
        }
        let (mut look, mut left) = (interval(LOOK_EVERY), interval(LEFT_EVERY));
        // Those that ended while this program replaced itself.
        self.reap();
        loop {
            self.follow_plan();
            self.tell(&ears);
            if self.plan.is_over() {
                return;
            }
            self.become_new();
            let due = self.plan.due().map_or_else(|| Instant::now() + LOOK_AGAIN, Instant::from_std);
            let starting = self.plan.places().any(|(_, place)| place.phase == plan::Phase::Starting);
            tokio::select! {
                _ = ears.child.recv() => self.reap(),
                Some(looked) = self.looks.join_next() => {
                    if let Ok(Some((number, pid))) = looked {
                        self.serves(number, pid);
                    }
                }
                _ = look.tick(), if starting && self.looks.is_empty() => self.look(),
                _ = left.tick(), if self.places.has_left() => self.places.look_at_left(),
                Some(word) = self.words.recv() => self.hear(word),
                Some(order) = ears.orders.recv() => self.order(order),
                () = sleep_until(due) => {}
            }
        }
    }

    /// Until there is an identity to give to replicas; `false`: told to stop before. Where none can come they serve what
    /// they keep.
    async fn joined(&mut self) -> bool {
        if self.joining.token.is_none() {
            return true;
        }
        loop {
            tokio::select! {
                () = self.badge.joined() => return true,
                word = self.words.recv() => match word {
                    Some(Word::Upgrade) => {}
                    Some(Word::Stop | Word::Kill) | None => return false,
                },
            }
        }
    }

    fn identity(&self) -> Secret {
        let text = self.badge.identity().map(|identity| identity.text().as_bytes().to_vec());
        Secret::new(text.unwrap_or_default())
    }

    /// What one act leaves may ask for the next: a drained one makes room.
    fn follow_plan(&mut self) {
        loop {
            let now = Instant::now().into_std();
            let (places, running) = (&self.places, &self.running);
            // A place that may be free is asked for its lock: an earlier supervisor's replica may still finish there.
            let acts = self.plan.acts(now, |number| !running.contains_key(&number) && places.is_free(number));
            if acts.is_empty() {
                return;
            }
            acts.into_iter().for_each(|act| self.act(act));
        }
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Stop => self.plan.stop(),
            Word::Kill => self.plan.kill(),
            Word::Upgrade => self.upgrade(),
        }
    }

    fn order(&mut self, order: HostOrder) {
        if order.replicas > 0 {
            self.places.keep_wanted(order.replicas.min(REPLICA_LIMIT));
            self.plan.scale(order.replicas);
        }
        if order.upgrade {
            self.upgrade();
        }
    }

    fn upgrade(&mut self) {
        if self.program.is_newer() {
            tracing::info!("replicas are replaced by those of the program on disk");
            self.plan.upgrade();
        } else {
            tracing::info!("the program on disk is the one that runs: nothing to replace");
        }
    }

    /// Once every replica is new, the supervisor follows, and keeps its process, its sockets and its replicas.
    fn become_new(&mut self) {
        if !self.plan.is_renewed() || self.settings.again.is_none() {
            return;
        }
        let Some(api) = &self.api else { return };
        tracing::info!("every replica is new: the supervisor follows");
        let plan = &self.plan;
        let error =
            again::replace(&self.settings, (api, &self.ops), &self.running, |number| plan.left(number));
        tracing::error!(%error, "the supervisor could not replace itself");
        self.settings.again = None;
        self.plan.fail("every replica is new, but the supervisor could not replace itself: restart it");
    }

    fn tell(&self, ears: &Ears) {
        let addresses: ops::Running =
            self.running.values().map(|process| (process.id.clone(), process.ops)).collect();
        ears.addresses.send_if_modified(|before| replace(before, addresses));
        let report = self.places.report(&self.plan, &self.running, self.program.is_newer());
        ears.report.send_if_modified(|before| replace(before, report));
    }

    /// Where callers are answered, and where health and metrics are.
    ///
    /// # Errors
    /// The system knows of no address.
    pub fn addresses(&self) -> Result<[String; 2], SuperviseError> {
        let of = |listener: &TcpListener| {
            let address = listener.local_addr().map(|at| at.to_string());
            address.map_err(|error| SuperviseError::System("a socket without address", error))
        };
        Ok([self.api.as_ref().map(of).transpose()?.unwrap_or_default(), of(&self.ops)?])
    }

    fn link(&self) -> Result<LinkSettings, SuperviseError> {
        let [listen, ops_listen] = self.addresses()?;
        Ok(LinkSettings {
            planes: self.planes.clone(),
            badge: Arc::clone(&self.badge),
            id: self.settings.name.clone(),
            host: self.settings.host.clone(),
            supervisor: self.settings.name.clone(),
            listen,
            ops_listen,
            incarnation: crate::control::incarnation(),
            tracer: None,
        })
    }
}

fn replace<T: PartialEq>(before: &mut T, now: T) -> bool {
    let changed = *before != now;
    *before = now;
    changed
}
