//! A replica's process: the real session over a simulated connection, a disk that is a little behind, and requests that take
//! keys and give them back.

use crate::{
    wire::{inbox, send},
    world::{CONTROL, World},
};
use keyway_dataplane::SimulatedReplica as Replica;
use keyway_proto::{
    SCHEMA, feature,
    fleet::v1::{Beat, FromReplica, Hello, KeyUse, ToReplica, from_replica},
};
use keyway_snapshot::{CredentialState, Snapshot};
use prost::Message;
use std::{collections::BTreeMap, io, sync::Arc, time::Duration};
use tokio::time::{Instant, interval, sleep, timeout};
use turmoil::net::TcpStream;

const BEAT: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const RETRY_FIRST: u64 = 100;
const RETRY_MOST: u64 = 5000;

/// Runs until the simulation ends its host.
pub(crate) async fn run(world: World, number: usize) -> turmoil::Result {
    let kept = world.borrow_mut().starts(number);
    let process = world.borrow().replicas[number].process;
    let mut replica = Replica::new(kept);
    tokio::task::spawn_local(requests(World::clone(&world), (number, process)));
    let mut wait = RETRY_FIRST;
    loop {
        let mut was_heard = false;
        // However it ended: it is opened again.
        let _ended = stream(&world, (number, process), &mut replica, &mut was_heard).await;
        wait = if was_heard { RETRY_FIRST } else { (wait * 2).min(RETRY_MOST) };
        let pause = world.borrow_mut().pause(1, wait);
        sleep(pause).await;
    }
}

/// Requests take a key, hold it for a while, and give it back, as long as this process lives.
async fn requests(world: World, (number, process): (usize, u64)) {
    loop {
        let pause = world.borrow_mut().pause(20, 200);
        sleep(pause).await;
        let taken = world.borrow_mut().takes(number);
        let Some(version) = taken else { continue };
        let lasts = world.borrow_mut().pause(10, 3000);
        let world = World::clone(&world);
        tokio::task::spawn_local(async move {
            sleep(lasts).await;
            let mut truth = world.borrow_mut();
            if truth.replicas[number].process == process {
                truth.gives_back(number, version);
            }
        });
    }
}

async fn stream(
    world: &World,
    (number, process): (usize, u64),
    replica: &mut Replica,
    was_heard: &mut bool,
) -> io::Result<()> {
    let connected = timeout(CONNECT_LIMIT, TcpStream::connect((CONTROL, crate::control::PORT))).await;
    let (from, mut to) = connected.map_err(io::Error::other)??.into_split();
    let mut incoming = inbox::<ToReplica>(from);
    replica.connected();
    world.borrow_mut().counted.streams += 1;
    say(&mut to, from_replica::Message::Hello(hello(world, (number, process), replica))).await?;
    let (mut beat, mut heard) = (interval(BEAT), Instant::now());
    loop {
        tokio::select! {
            message = incoming.recv() => {
                let Some(ToReplica { message: Some(message) }) = message else { return Ok(()) };
                (*was_heard, heard) = (true, Instant::now());
                let Some(answer) = replica.hear(message) else { continue };
                match &answer {
                    from_replica::Message::Ack(_) => {
                        let snapshot = Arc::clone(replica.serving().unwrap());
                        world.borrow_mut().serves(number, &snapshot);
                        tokio::task::spawn_local(keep(World::clone(world), (number, process), snapshot));
                    }
                    _ => world.borrow_mut().counted.refused += 1,
                }
                say(&mut to, answer).await?;
                say(&mut to, signs(world, number, replica)).await?;
            }
            _ = beat.tick() => {
                if heard.elapsed() > SILENCE {
                    return Ok(());
                }
                say(&mut to, signs(world, number, replica)).await?;
            }
        }
    }
}

async fn say(to: &mut turmoil::net::tcp::OwnedWriteHalf, message: from_replica::Message) -> io::Result<()> {
    send(to, &FromReplica { message: Some(message) }.encode_to_vec()).await
}

/// The disk is some moments behind; a later state is never written over by an earlier one.
async fn keep(world: World, (number, process): (usize, u64), snapshot: Arc<Snapshot>) {
    let takes = world.borrow_mut().pause(1, 400);
    sleep(takes).await;
    let mut truth = world.borrow_mut();
    let older = truth.replicas[number].kept.as_ref().is_none_or(|kept| kept.version < snapshot.version);
    if older && truth.replicas[number].process == process {
        truth.keeps(number, snapshot);
    }
}

/// Version 0 while there is a disk with nothing on it yet.
fn kept(world: &World, number: usize) -> Option<keyway_proto::snapshot::v1::Version> {
    let version = world.borrow().replicas[number].kept.as_ref().map(|kept| kept.version);
    Some(version.unwrap_or_default().into())
}

fn hello(world: &World, (number, process): (usize, u64), replica: &Replica) -> Hello {
    let serving = replica.serving();
    let kept = kept(world, number);
    Hello {
        id: name(number),
        schema: SCHEMA,
        serving: serving.map(|state| state.version.into()),
        state_hash: serving.map(|state| state.hash.0.to_vec()).unwrap_or_default(),
        features: feature::ALL.iter().map(|&one| one.to_owned()).collect(),
        incarnation: format!("{number}-{process}"),
        kept,
        ..Hello::default()
    }
}

fn signs(world: &World, number: usize, replica: &Replica) -> from_replica::Message {
    let truth = world.borrow();
    let one = &truth.replicas[number];
    let held = replica.serving().into_iter().flat_map(|state| state.credentials.values().flatten());
    let mut states: BTreeMap<u32, CredentialState> = held.map(|one| (one.version, one.state)).collect();
    one.in_flight.keys().for_each(|used| drop(states.entry(*used).or_insert(CredentialState::Unspecified)));
    let keys = states.into_iter().map(|(version, state)| KeyUse {
        id: format!("p/main/{version}"),
        state: state as i32,
        in_flight: one.in_flight.get(&version).copied().unwrap_or_default(),
        ..KeyUse::default()
    });
    from_replica::Message::Beat(Beat {
        version: replica.serving().map(|state| state.version.into()),
        state_hash: replica.serving().map(|state| state.hash.0.to_vec()).unwrap_or_default(),
        kept: kept(world, number),
        keys: keys.collect(),
        ..Beat::default()
    })
}

pub(crate) fn name(number: usize) -> String {
    format!("replica-{number}")
}
