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
    sync::{mpsc, watch},
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
/// What usage gets to be brought down to the disk before other things end; its thread goes on with it.
const LAST_FLUSH: Duration = Duration::from_secs(5);

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
    let ending = Ending(signals.end.clone());
    let run = move || {
        let _ending = ending;
        let Ok(runtime) = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
        else {
            return;
        };
        runtime.block_on(control(settings, shared, hands, (signals, gone), (listen, ops_listen)));
    };
    thread::Builder::new().name("keyway-control".to_owned()).spawn(run)
}

/// All that it does, from the first look at the control plane to the last word to it.
async fn control(
    settings: Settings,
    shared: Shared,
    hands: Hands,
    (signals, gone): (Signals, mpsc::Receiver<()>),
    (listen, ops_listen): (SocketAddr, SocketAddr),
) {
    // The cores have their own: kept here, the port would take connections that nobody answers once they drain.
    drop(settings.listener);
    let Hands { connector, keeper, trust, spooling, incarnation, badge, joining } = hands;
    let gauges = Arc::new(Gauges::new(shared.cores, shared.epoch.into()));
    // Without any it says so at every try.
    let planes = Planes::new(&joining.urls.join(","));
    let link_settings = LinkSettings {
        planes: planes.clone(),
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
        () = identity::keep(&badge, &joining, &planes, &shared.status) => {}
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
}

/// However this thread ends, panics included, the others hear of it: a replica without it would serve on, and nobody could end it.
struct Ending(watch::Sender<bool>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
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
    let is_down = timeout(LAST_FLUSH, usage.flush()).await == Ok(true);
    // Where the spool is gone, the stream has ended too.
    if is_down && connected {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_this_thread_is_heard_even_if_it_is_a_panic() {
        let end = watch::channel(false).0;
        let ending = Ending(end.clone());
        let thread = thread::spawn(move || {
            let _ending = ending;
            panic!("inside");
        });
        assert!(thread.join().is_err());
        assert!(*end.borrow());
    }
}
