//! The control plane's process: its disk, the real registry and rotation, and a real push session for each connection.

use crate::{
    wire::{inbox, send},
    world::{Order, World},
};
use keyway_controlplane::{
    fleet::Books,
    push::{Peer, Push, Session, Sign, Signature},
    rotation::Moved,
};
use keyway_proto::{
    fleet::v1::{FromReplica, from_replica},
    snapshot::v1::{self as proto, Kind, Resource},
};
use keyway_snapshot::{CredentialState, Resources, Snapshot, Version};
use prost::Message;
use std::{cell::RefCell, net::Ipv4Addr, rc::Rc, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, interval, sleep, timeout},
};
use turmoil::net::{TcpListener, TcpStream};

pub(crate) const PORT: u16 = 8601;
const BEAT: Duration = Duration::from_secs(1);
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// What keepalive finds in the real one.
const SILENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// Of one process.
struct Life {
    books: RefCell<Books>,
    newest: watch::Sender<Arc<Push>>,
}

struct Unsigned;

impl Sign for Unsigned {
    fn sign(&self, _: &[u8]) -> Signature {
        Signature::default()
    }
}

/// Runs until the simulation ends its host.
pub(crate) async fn run(world: World) -> turmoil::Result {
    let mut books = Books::default();
    let (now, _) = world.borrow().now();
    world.borrow().disk.members.iter().for_each(|id| books.remember(id, now));
    // Every start makes a new version: a new program may compile the same documents to something else.
    let first = Push::first(snapshot(&world), &Unsigned).unwrap();
    let life = Rc::new(Life { books: RefCell::new(books), newest: watch::Sender::new(Arc::new(first)) });
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    tokio::task::spawn_local(rotate(World::clone(&world), Rc::clone(&life)));
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(serve(World::clone(&world), Rc::clone(&life), stream));
    }
}

/// The next state of what the disk holds, published.
fn snapshot(world: &World) -> Snapshot {
    let mut truth = world.borrow_mut();
    truth.disk.counter += 1;
    let version = Version { epoch: truth.disk.epoch, counter: truth.disk.counter };
    let resources = Resources::whole(&resources(truth.disk.setting, &truth.disk.key.sent())).unwrap();
    let snapshot = Snapshot::of(version, resources).unwrap();
    truth.publishes(version, snapshot.hash);
    snapshot
}

fn publish(world: &World, life: &Life) {
    let next = life.newest.borrow().next(snapshot(world), &Unsigned).unwrap();
    life.newest.send_replace(Arc::new(next));
}

/// Takes orders and moves the key on.
async fn rotate(world: World, life: Rc<Life>) {
    loop {
        sleep(LOOK).await;
        let mut orders = std::mem::take(&mut world.borrow_mut().orders);
        for order in orders.drain(..) {
            if obey(&world, order) {
                publish(&world, &life);
            }
        }
        let moved = {
            let mut truth = world.borrow_mut();
            let next = Version { epoch: truth.disk.epoch, counter: truth.disk.counter + 1 };
            let now = truth.now();
            truth.disk.key.move_on(&life.books.borrow(), now, next)
        };
        match moved {
            Moved::Confirmed(numbers) => {
                world.borrow_mut().confirms(&numbers);
                publish(&world, &life);
            }
            Moved::Sends => publish(&world, &life),
            Moved::Ended | Moved::Nothing => {}
        }
    }
}

/// True: replicas are to be sent a new state.
fn obey(world: &World, order: Order) -> bool {
    let mut truth = world.borrow_mut();
    let (_, now) = truth.now();
    let next = Version { epoch: truth.disk.epoch, counter: truth.disk.counter + 1 };
    match order {
        Order::Change => {
            truth.disk.setting += 1;
            true
        }
        Order::Rotate { overlap_ms } => {
            truth.counted.rotations += u64::from(truth.disk.key.rotate(overlap_ms, now).is_ok());
            false
        }
        Order::RollBack => {
            let back = truth.disk.key.roll_back(now);
            back.into_iter().for_each(|number| truth.comes_back(number));
            false
        }
        Order::Revoke => {
            let revoked = truth
                .disk
                .key
                .active()
                .is_some_and(|active| truth.disk.key.revoke(active, next, now).is_ok());
            truth.counted.revocations += u64::from(revoked);
            revoked
        }
    }
}

async fn serve(world: World, life: Rc<Life>, stream: TcpStream) {
    let (from, mut to) = stream.into_split();
    let mut incoming = inbox::<FromReplica>(from);
    let Ok(Some(FromReplica { message: Some(from_replica::Message::Hello(hello)) })) =
        timeout(HELLO_LIMIT, incoming.recv()).await
    else {
        return;
    };
    let mut newest = life.newest.subscribe();
    if hello.serving.is_some_and(|serving| serving.epoch > newest.borrow().version.epoch) {
        return;
    }
    let (id, peer) = (hello.id.clone(), Peer::from(&hello));
    let entered = life.books.borrow_mut().hello(hello, world.borrow().now().0);
    let Some(entered) = entered else { return };
    // On disk before it gets secrets.
    world.borrow_mut().disk.members.insert(id.clone());
    let mut session = Session::new(Arc::clone(&newest.borrow_and_update()), peer, entered.refused);
    let (mut beat, mut heard) = (interval(BEAT), Instant::now());
    loop {
        while session.has_frame() {
            let now = world.borrow().now().0;
            let Some(frame) = session.next_frame(now) else { break };
            if send(&mut to, &frame).await.is_err() {
                life.books.borrow_mut().ended(&id, entered.stream, now);
                return;
            }
        }
        tokio::select! {
            biased;
            _ = newest.changed() => session.newest(Arc::clone(&newest.borrow_and_update())),
            message = incoming.recv() => {
                let Some(message) = message else { break };
                heard = Instant::now();
                let now = world.borrow().now();
                if life.books.borrow_mut().hear(&id, &mut session, message, now).is_err() {
                    break;
                }
            }
            _ = beat.tick() => {
                let overdue = session.overdue(world.borrow().now().0);
                let current = life.books.borrow().is_current(&id, entered.stream);
                if overdue || !current || heard.elapsed() > SILENCE {
                    break;
                }
                session.beat(None);
            }
        }
    }
    life.books.borrow_mut().ended(&id, entered.stream, world.borrow().now().0);
}

fn resources(setting: u64, versions: &[(u32, CredentialState)]) -> Vec<Resource> {
    let settings = proto::Settings {
        digest_key: vec![1; 32],
        body_limit: 1 + setting,
        bodies_in_flight_limit: 1,
        ..proto::Settings::default()
    };
    let surface = proto::Surface {
        dialect: proto::Dialect::OpenaiChat as i32,
        base_url: "http://localhost:1/v1".to_owned(),
        ..proto::Surface::default()
    };
    let auth = proto::Auth {
        scheme: proto::AuthScheme::Header as i32,
        name: "authorization".to_owned(),
        prefix: "Bearer ".to_owned(),
        ..proto::Auth::default()
    };
    let provider = proto::Provider {
        name: "p".to_owned(),
        surfaces: vec![surface],
        auth: Some(auth),
        ..proto::Provider::default()
    };
    let mut all =
        vec![resource(Kind::Settings, "settings", &settings), resource(Kind::Provider, "p", &provider)];
    all.extend(versions.iter().map(|(version, state)| {
        let revoked = *state == CredentialState::Revoked;
        let body = proto::Credential {
            provider: "p".to_owned(),
            key: "main".to_owned(),
            version: *version,
            state: *state as i32,
            weight: 1,
            secret: if revoked { Vec::new() } else { format!("sk-{version}").into_bytes() },
            ..proto::Credential::default()
        };
        resource(Kind::Credential, &format!("p/main/{version}"), &body)
    }));
    all
}

fn resource(kind: Kind, name: &str, body: &impl Message) -> Resource {
    Resource {
        kind: kind as i32,
        name: name.to_owned(),
        body: body.encode_to_vec().into(),
        ..Resource::default()
    }
}
