//! One supervisor's stream: reports in, orders and life signs out; never a state.

use crate::{
    fleet::{
        Fleet, relay,
        service::Welcome,
        stream::{Out, elsewhere},
    },
    push::frame,
    serve::stopped,
};
use keyway_proto::fleet::v1::{
    Beat, ControlPlanes, FromReplica, Hello, HostReport, from_replica, to_replica,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tonic::{Status, Streaming};

/// The control plane's own life sign.
const BEAT: Duration = Duration::from_secs(1);
/// Orders that wait for a supervisor's stream.
const ORDERS: usize = 8;
/// Bytes of a word of a supervisor (name, host, addresses, fault).
const WORD_LIMIT: usize = 512;

/// Serves one stream to its end; gives why it ended.
pub(in crate::fleet) async fn run(
    fleet: Arc<Fleet>,
    welcome: Welcome,
    hello: Hello,
    mut from: Streaming<FromReplica>,
    out: &Out,
) -> Status {
    let name = hello.supervisor.clone();
    let words = [&hello.supervisor, &hello.host, &hello.build, &hello.listen, &hello.ops_listen];
    if name.is_empty() || words.into_iter().any(|word| word.len() > WORD_LIMIT) {
        return Status::invalid_argument("a supervisor without a name, or with too long a word");
    }
    let (link, mut orders) = mpsc::channel(ORDERS);
    let (said, moves) = (hello.clone(), hello.moves);
    let Some(stream) = fleet.hosts.lock().hello(hello, link, Instant::now()) else {
        return Status::resource_exhausted("too many hosts");
    };
    let relayed = relay::host(&name);
    fleet.to_leader.tell(&relayed, stream, || relay::heard(from_replica::Message::Hello(said)));
    tracing::info!(host = name, "supervisor connected");
    fleet.touch();
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut stopping, mut cut_off) = (fleet.stopping.subscribe(), fleet.cut_off.subscribe());
    let mut planes = fleet.planes.subscribe();
    planes.mark_changed();
    let gone = || Status::ok("the supervisor is gone");
    let end = loop {
        tokio::select! {
            () = stopped(&mut stopping) => break Status::unavailable("the control plane stops"),
            () = stopped(&mut cut_off), if moves => break elsewhere(),
            Ok(()) = planes.changed(), if moves => {
                let urls = planes.borrow_and_update().clone();
                let is_alone = urls.is_empty();
                let all = frame(to_replica::Message::ControlPlanes(ControlPlanes { urls }));
                if !is_alone && out.send(Ok(all)).await.is_err() {
                    break gone();
                }
            }
            message = from.message() => match message {
                Ok(Some(FromReplica { message: Some(from_replica::Message::Host(report)) })) => {
                    let told = || relay::heard(from_replica::Message::Host(report.clone()));
                    fleet.to_leader.tell(&relayed, stream, told);
                    if !fleet.host_reports(&name, stream, report) {
                        break Status::aborted("the same host opened another stream");
                    }
                }
                Ok(Some(_)) => break Status::invalid_argument("a supervisor says only what its host does"),
                Ok(None) => break Status::ok("the supervisor closed it"),
                Err(status) => break status,
            },
            order = orders.recv() => match order {
                Some(order) => if out.send(Ok(frame(to_replica::Message::Host(order)))).await.is_err() {
                    break gone();
                },
                None => break Status::aborted("the same host opened another stream"),
            },
            _ = beat.tick() => {
                if let Err(evicted) = welcome.check() {
                    break evicted;
                }
                // A stream that takes nothing needs no sign of life.
                drop(out.try_send(Ok(frame(to_replica::Message::Beat(Beat::default())))));
            }
        }
    };
    fleet.host_ended(&name, stream);
    fleet.to_leader.tell(&relayed, stream, relay::gone);
    tracing::info!(host = name, why = %end.message(), "supervisor's stream ended");
    end
}

// === impl Fleet ===

impl Fleet {
    /// Closes the books of what a supervisor proved gone. `false`: the stream is not its own any more.
    pub(in crate::fleet) fn host_reports(&self, name: &str, stream: u64, mut report: HostReport) -> bool {
        report.replicas.retain(|replica| replica.id.len() <= WORD_LIMIT);
        report.fault.truncate(report.fault.floor_char_boundary(WORD_LIMIT));
        let Some(ended) = self.hosts.lock().report(name, stream, report, Instant::now()) else {
            return false;
        };
        let closed = {
            let mut registry = self.registry.lock();
            ended.iter().filter(|one| registry.reaped(name, &one.id, one.pid)).count()
        };
        if closed > 0 {
            self.touch_members();
        } else {
            self.touch();
        }
        true
    }

    /// A supervisor's stream ended: replicas that said that they have ended leave the list where nobody is left to reap them.
    pub(in crate::fleet) fn host_ended(&self, name: &str, stream: u64) {
        self.hosts.lock().ended(name, stream, Instant::now());
        let hosts = self.hosts.lock();
        self.registry.lock().close_ended(|supervisor| hosts.is_connected(supervisor));
        drop(hosts);
        self.touch_members();
    }
}
