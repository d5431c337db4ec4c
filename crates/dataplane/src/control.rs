//! The thread beside the cores: the control plane's stream, the ops port, the end.

use crate::{
    identity::{self, Badge, Joining},
    ingress::BodyBudget,
    meter::Spooling,
    observe::Gauges,
    ops::{self, Ops},
    pressure::{LOOK_EVERY, Pressure, Source},
    probe::probe,
    run::{Settings, Shared, Signals},
    sync::{Ends, Keeper, Link, LinkSettings, Planes, Trust, UsageLink},
    upstream::Connector,
};
use std::{
    io,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

/// How often the end of a drain is looked for.
const DRAIN_LOOK: Duration = Duration::from_millis(5);
/// What streams get to write their last event once the grace is over.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What cores get to drop what they still hold.
const CORES_END: Duration = Duration::from_secs(1);
/// What the last beat gets to arrive.
const LAST_BEAT: Duration = Duration::from_millis(500);

/// What usage gets to arrive.
const LAST_USAGE: Duration = Duration::from_secs(1);

/// What this thread alone uses.
pub(crate) struct Hands {
    pub(crate) connector: Connector,
    pub(crate) keeper: Option<Keeper>,
    pub(crate) trust: Trust,
    pub(crate) spooling: Spooling,
    pub(crate) incarnation: String,
    pub(crate) badge: Arc<Badge>,
    pub(crate) joining: Joining,
}

pub(crate) fn thread(
    settings: Settings,
    shared: Shared,
    hands: Hands,
    (signals, gone): (Signals, mpsc::Receiver<()>),
    (listen, ops_listen): (SocketAddr, SocketAddr),
) -> Result<JoinHandle<()>, io::Error> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    drop(runtime?);
    let run = move || {
        let Ok(runtime) = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
        else {
            return;
        };
        runtime.block_on(async move {
            let Hands { connector, keeper, trust, spooling, incarnation, badge, joining } = hands;
            let gauges = Arc::new(Gauges::new(shared.cores));
            let link_settings = LinkSettings {
                // Without any it says so at every try.
                planes: Planes::new(&joining.urls.join(",")),
                badge: Arc::clone(&badge),
                id: settings.id.clone(),
                host: settings.host,
                supervisor: settings.supervisor,
                listen: listen.to_string(),
                ops_listen: ops_listen.to_string(),
                incarnation,
                tracer: shared.tracer,
            };
            let held = Arc::clone(&shared.held);
            let asked = move |one| probe(Arc::clone(&held), connector.clone(), one);
            let ends = Ends {
                held: Arc::clone(&shared.held),
                gauges: Arc::clone(&gauges),
                status: Arc::clone(&shared.status),
                drain: signals.drain.clone(),
                news: shared.news,
                epoch: shared.epoch,
                keeper,
            };
            let usage = UsageLink::new(link_settings.clone(), spooling);
            let link = Link::new(link_settings, ends, trust, asked);
            let budget = shared.budget;
            let ops = Ops {
                id: settings.id,
                held: shared.held,
                gauges: Arc::clone(&gauges),
                faults: shared.faults,
                totals: shared.totals,
                usage: shared.usage,
                budget: Arc::clone(&budget),
                spans: shared.spans,
                link: Arc::clone(&shared.status),
                badge: Arc::clone(&badge),
                draining: signals.drain.subscribe(),
                epoch: shared.epoch,
            };
            let (mut linked, mut reported) = (pin!(link.run()), pin!(usage.run()));
            let mut end = signals.end.subscribe();
            tokio::select! {
                () = watch_memory(settings.memory_limit, &budget, &usage) => {}
                () = &mut linked => {}
                () = &mut reported => {}
                () = link.watch_lease() => {}
                () = identity::keep(&badge, &joining, &shared.status) => {}
                () = ops::serve(settings.ops, Rc::new(ops)) => {}
                () = drained(&gauges, &signals, settings.drain_grace) => {}
                _ = end.wait_for(|end| *end) => {}
            }
            signals.end.send_replace(true);
            cores_ended(signals, gone).await;
            let connected = shared.status.lock().connected;
            last_usage(&usage, reported, connected).await;
            link.end();
            // Not heard is no harm: the control plane then waits for this replica as for one that is lost.
            let _ = timeout(LAST_BEAT, linked).await;
        });
    };
    thread::Builder::new().name("keyway-control".to_owned()).spawn(run)
}

/// Has what rests given back, and bodies and requests refused, while memory is scarce; until dropped.
async fn watch_memory(limit: Option<u64>, budget: &BodyBudget, usage: &UsageLink) {
    let Some(source) = Source::find(limit) else { return std::future::pending().await };
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Ok((used, limit)) = source.look() else { continue };
        let (before, now) = (budget.pressure(), Pressure::of(used, limit));
        budget.press(now);
        if now.is_scarce() != before.is_scarce() {
            usage.shrink(now.is_scarce());
        }
        if now > before {
            tracing::warn!(used, limit, goes = ?now, "memory is scarce");
        }
    }
}

/// Until no core holds anything: only then is a count of 0 the last one.
async fn cores_ended(signals: Signals, mut gone: mpsc::Receiver<()>) {
    drop(signals);
    let _ = timeout(CORES_END, gone.recv()).await;
}

/// Brings usage down to the disk, and to the control plane if it is there. What is not taken in time is for the next
/// process.
async fn last_usage(usage: &UsageLink, reported: impl Future<Output = ()>, connected: bool) {
    usage.flush().await;
    if connected {
        let handed_over = async {
            tokio::select! {
                () = reported => {}
                () = usage.hand_over() => {}
            }
        };
        let _ = timeout(LAST_USAGE, handed_over).await;
    }
}

/// Unique for every process.
pub(crate) fn incarnation() -> String {
    let mut bytes = [0; 16];
    // Without the system's randomness the time still tells two processes apart.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = crate::clock::since_epoch().as_nanos().to_be_bytes();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits for the order to drain, then for what is open, at most for the grace.
async fn drained(gauges: &Gauges, signals: &Signals, grace: Duration) {
    let mut drain = signals.drain.subscribe();
    if drain.wait_for(|drain| *drain).await.is_err() {
        return;
    }
    let deadline = Instant::now() + grace;
    let done = || gauges.connections() == 0 || (*signals.hurry.borrow() && gauges.in_flight() == 0);
    while !done() && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
    if gauges.in_flight() > 0 {
        signals.cut.send_replace(true);
        let deadline = Instant::now() + LAST_WORDS;
        while gauges.in_flight() > 0 && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }
}
