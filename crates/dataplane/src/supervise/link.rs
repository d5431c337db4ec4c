//! The supervisor's own stream to the control plane: says what runs here and which processes are gone, hears how many are
//! wanted. It is sent no state.

use crate::{
    random::Random,
    sync::{LinkSettings, dial},
};
use keyway_proto::{
    SCHEMA,
    fleet::v1::{FromReplica, Hello, HostOrder, HostReport, from_replica, to_replica},
};
use std::time::Duration;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval, sleep, timeout},
};
use tonic::Status;

const BEAT_EVERY: Duration = Duration::from_secs(1);
/// A control plane sends a life sign a second: one that has sent nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(15);
/// Messages that wait for the stream.
const OUTBOX: usize = 8;
/// What the last report gets to arrive.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Runs until the reports end, and then until the last one was taken.
pub(super) async fn run(
    settings: LinkSettings,
    mut reports: watch::Receiver<HostReport>,
    orders: mpsc::Sender<HostOrder>,
) {
    let random = Random::new();
    let (mut wait, mut tried) = (RETRY_FIRST, 0);
    let mut last = String::new();
    tokio::select! {
        () = settings.badge.joined() => {}
        () = over(&mut reports) => {}
    }
    while !is_over(&reports) {
        let mut was_heard = false;
        let at = settings.planes.current();
        let ended = stream(&settings, &mut reports, &orders, &mut was_heard).await;
        let Err(why) = ended else { return };
        // Another one perhaps answers.
        settings.planes.leave(&at);
        tried += 1;
        if was_heard {
            (wait, tried) = (RETRY_FIRST, 0);
        }
        if last != why.message() {
            why.message().clone_into(&mut last);
            tracing::info!(why = last, "the control plane does not hear this supervisor");
        }
        // Full jitter: a thousand hosts do not come back in one moment.
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        tokio::select! {
            () = sleep(Duration::from_millis(random.next() % millis)) => {}
            () = over(&mut reports) => {}
        }
        if tried >= settings.planes.count() {
            wait = (wait * 2).min(RETRY_MOST);
        }
    }
}

fn is_over(reports: &watch::Receiver<HostReport>) -> bool {
    reports.has_changed().is_err()
}

/// Ends when nobody will report any more.
async fn over(reports: &mut watch::Receiver<HostReport>) {
    while reports.changed().await.is_ok() {}
}

/// One stream; `Ok` = the last report was said on it.
async fn stream(
    settings: &LinkSettings,
    reports: &mut watch::Receiver<HostReport>,
    orders: &mpsc::Sender<HostOrder>,
    was_heard: &mut bool,
) -> Result<(), Status> {
    let (outbox, outgoing) = mpsc::channel(OUTBOX);
    let mut incoming = dial(settings, hello(settings), (&outbox, outgoing)).await?;
    let mut beat = interval(BEAT_EVERY);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            message = incoming.message() => match message? {
                Some(message) => {
                    (*was_heard, heard) = (true, Instant::now());
                    match message.message {
                        // An error says that the supervisor ends.
                        Some(to_replica::Message::Host(order)) => drop(orders.send(order).await),
                        Some(to_replica::Message::ControlPlanes(all)) => settings.planes.learn(all.urls),
                        _ => {}
                    }
                }
                None => return Err(Status::unavailable("the control plane ended the stream")),
            },
            _ = beat.tick() => {
                if heard.elapsed() > SILENCE {
                    return Err(Status::unknown("the control plane is silent"));
                }
                say(&outbox, reports).await?;
            }
            changed = reports.changed() => {
                say(&outbox, reports).await?;
                if changed.is_err() {
                    drop(outbox);
                    // Until the other side has read it and closes.
                    let read = async { while let Ok(Some(_)) = incoming.message().await {} };
                    let _ = timeout(LAST_WORD, read).await;
                    return Ok(());
                }
            }
        }
    }
}

async fn say(
    outbox: &mpsc::Sender<FromReplica>,
    reports: &mut watch::Receiver<HostReport>,
) -> Result<(), Status> {
    let report = reports.borrow_and_update().clone();
    let said = FromReplica { message: Some(from_replica::Message::Host(report)) };
    // A stream that takes nothing for so long stands.
    match timeout(SILENCE, outbox.send(said)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Status::unknown("the stream stands")),
    }
}

fn hello(settings: &LinkSettings) -> FromReplica {
    let hello = Hello {
        id: settings.id.clone(),
        host: settings.host.clone(),
        pid: std::process::id(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        schema: SCHEMA,
        listen: settings.listen.clone(),
        ops_listen: settings.ops_listen.clone(),
        incarnation: settings.incarnation.clone(),
        supervisor: settings.supervisor.clone(),
        is_supervisor: true,
        moves: true,
        ..Hello::default()
    };
    FromReplica { message: Some(from_replica::Message::Hello(hello)) }
}
