//! One replica's life: connects, takes what comes, says once a second that it lives, and comes back with the jitter of a
//! data plane when its stream breaks.

use crate::{node::Node, taken::Taken};
use keyway_proto::{
    SCHEMA, feature,
    fleet::v1::{Beat, FromReplica, Hello, ToReplica, fleet_client::FleetClient, from_replica, to_replica},
};
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// The data plane's own times: `dataplane/src/sync/link`.
const BEAT_EVERY: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(15);
const OUTBOX: usize = 64;
const MESSAGE_LIMIT: usize = 4 << 20;

/// Where the control plane is.
#[derive(Debug, Clone)]
pub struct Place {
    /// `HOST:PORT` of the fleet stream.
    pub fleet: String,
    /// Whose replicas they are.
    pub node: Node,
    /// They refuse every state.
    pub refuses: bool,
}

/// Runs the replica of that number until its task is dropped.
pub async fn run(place: Place, number: usize) {
    let name = format!("{}~{number}", place.node.name);
    let incarnation = format!("{name}-{:016x}", getrandom::u64().unwrap_or_default());
    let mut taken = Taken::new(place.refuses);
    let mut wait = RETRY_FIRST;
    loop {
        let mut was_heard = false;
        let _why = stream(&place, (&name, &incarnation), &mut taken, &mut was_heard).await;
        if was_heard {
            wait = RETRY_FIRST;
        }
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        sleep(Duration::from_millis(getrandom::u64().unwrap_or_default() % millis)).await;
        wait = (wait * 2).min(RETRY_MOST);
    }
}

/// One stream from Hello to its end.
async fn stream(
    place: &Place,
    (name, incarnation): (&str, &str),
    taken: &mut Taken,
    was_heard: &mut bool,
) -> Result<(), Status> {
    let (outbox, outgoing) = mpsc::channel(OUTBOX);
    let say = |message| FromReplica { message: Some(message) };
    let gone = |_| Status::aborted("the stream is gone");
    outbox.send(say(from_replica::Message::Hello(hello(name, incarnation, taken)))).await.map_err(gone)?;
    let mut incoming = open(place, outgoing).await?;
    let mut beat = interval(BEAT_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            message = incoming.message() => {
                let Some(ToReplica { message: Some(message) }) = message? else { return Ok(()) };
                (*was_heard, heard) = (true, Instant::now());
                match message {
                    to_replica::Message::Begin(begin) => taken.begin(&begin),
                    to_replica::Message::Chunk(chunk) => taken.chunk(chunk),
                    to_replica::Message::Commit(commit) => {
                        outbox.send(say(taken.commit(&commit))).await.map_err(gone)?;
                        outbox.send(say(signs(taken))).await.map_err(gone)?;
                    }
                    to_replica::Message::Drain(_) => return Ok(()),
                    _ => {}
                }
            }
            _ = beat.tick() => {
                if heard.elapsed() > SILENCE {
                    return Err(Status::unknown("the control plane is silent"));
                }
                outbox.send(say(signs(taken))).await.map_err(gone)?;
            }
        }
    }
}

async fn open(place: &Place, outgoing: mpsc::Receiver<FromReplica>) -> Result<Streaming<ToReplica>, Status> {
    let channel = place.node.connect(&place.fleet).await?;
    let mut client = FleetClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
    Ok(client.sync(ReceiverStream::new(outgoing)).await?.into_inner())
}

fn hello(name: &str, incarnation: &str, taken: &Taken) -> Hello {
    let cluster = taken.serving.as_ref().map(|snapshot| snapshot.settings.cluster.to_string());
    Hello {
        id: name.to_owned(),
        host: "herd".to_owned(),
        pid: std::process::id(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        schema: SCHEMA,
        serving: taken.serving.as_ref().map(|snapshot| snapshot.version.into()),
        state_hash: taken.serving.as_ref().map(|snapshot| snapshot.hash.0.to_vec()).unwrap_or_default(),
        features: vec![feature::CHANGES.to_owned()],
        incarnation: incarnation.to_owned(),
        cluster: cluster.unwrap_or_default(),
        ..Hello::default()
    }
}

fn signs(taken: &Taken) -> from_replica::Message {
    from_replica::Message::Beat(Beat {
        version: taken.serving.as_ref().map(|snapshot| snapshot.version.into()),
        state_hash: taken.serving.as_ref().map(|snapshot| snapshot.hash.0.to_vec()).unwrap_or_default(),
        keys: taken.keys(),
        ..Beat::default()
    })
}
