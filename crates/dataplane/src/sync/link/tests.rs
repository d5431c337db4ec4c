//! A link against a control plane of a few lines, over a real connection.

use super::*;
use crate::{
    identity::{Badge, Identity, peer::Peer},
    lease::{Take, tests::resources},
    observe::Core,
    sync::{Disk, StateDir},
};
use keyway_proto::{
    SCHEMA, feature,
    fleet::v1::{
        Accepted, Batch, Beat, Begin, Chunk, Commit, Hello,
        fleet_server::{Fleet, FleetServer},
    },
};
use keyway_snapshot::{CredentialState as Is, state_hash};
use prost::Message as _;
use std::rc::Rc;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::LocalSet, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Streaming, transport::Server};

const PATIENCE: Duration = Duration::from_secs(5);

type Talked = (Streaming<FromReplica>, mpsc::Sender<Result<ToReplica, Status>>);

/// Hands every stream to the test; refuses where it has a reason.
struct Plane {
    streams: mpsc::Sender<Talked>,
    refuses: Option<&'static str>,
}

#[tonic::async_trait]
impl Fleet for Plane {
    type SyncStream = ReceiverStream<Result<ToReplica, Status>>;
    type ReportStream = ReceiverStream<Result<Accepted, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<FromReplica>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        if let Some(why) = self.refuses {
            return Err(Status::failed_precondition(why));
        }
        let (out, outgoing) = mpsc::channel(16);
        self.streams.send((request.into_inner(), out)).await.unwrap();
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn report(&self, _: Request<Streaming<Batch>>) -> Result<Response<Self::ReportStream>, Status> {
        Err(Status::unimplemented("keeps no books"))
    }
}

type Probed = fn(Probe) -> std::future::Ready<ProbeResult>;

struct Replica {
    held: Arc<Held>,
    status: Arc<Mutex<LinkStatus>>,
    link: Rc<Link<Probed>>,
}

fn replica((url, badge): (String, Arc<Badge>), disk: Option<Disk>) -> Replica {
    let (held, status) = (Arc::<Held>::default(), Arc::<Mutex<LinkStatus>>::default());
    let ends = Ends {
        held: Arc::clone(&held),
        gauges: Arc::new(Gauges::new(vec![Arc::new(Core::default())], tokio::time::Instant::now())),
        status: Arc::clone(&status),
        drain: watch::channel(false).0,
        news: Arc::default(),
        epoch: std::time::Instant::now(),
        keeper: disk.map(|disk| Keeper::start(disk, Arc::clone(&status)).unwrap().0),
    };
    let settings = LinkSettings {
        planes: crate::sync::Planes::new(&url),
        badge,
        id: "r".to_owned(),
        host: "h".to_owned(),
        supervisor: String::new(),
        listen: String::new(),
        ops_listen: String::new(),
        incarnation: "one".to_owned(),
        tracer: None,
    };
    let probe: Probed = |_| std::future::ready(ProbeResult::default());
    Replica { held, status, link: Rc::new(Link::new(settings, ends, Trust::default(), probe)) }
}

fn badge(identity: Identity) -> Arc<Badge> {
    let badge = Arc::<Badge>::default();
    badge.show(identity).unwrap();
    badge
}

/// A control plane; gives its address and its streams.
async fn plane(refuses: Option<&'static str>) -> ((String, Arc<Badge>), mpsc::Receiver<Talked>) {
    let peer = Peer::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (streams, taken) = mpsc::channel(4);
    let server = Server::builder().add_service(FleetServer::new(Plane { streams, refuses }));
    tokio::task::spawn_local(server.serve_with_incoming(peer.incoming(listener)));
    ((url, badge(peer.identity)), taken)
}

async fn hear(from: &mut Streaming<FromReplica>) -> from_replica::Message {
    timeout(PATIENCE, from.message()).await.unwrap().unwrap().unwrap().message.unwrap()
}

async fn beat(from: &mut Streaming<FromReplica>, is_it: impl Fn(&Beat) -> bool) -> Beat {
    loop {
        if let from_replica::Message::Beat(beat) = hear(from).await
            && is_it(&beat)
        {
            return beat;
        }
    }
}

async fn push(to: &mpsc::Sender<Result<ToReplica, Status>>, counter: u64, versions: &[(u32, Is)]) {
    let resources = resources(versions);
    let version = Some(keyway_proto::snapshot::v1::Version { epoch: 1, counter });
    let bytes = resources.iter().map(|resource| resource.encoded_len() as u64).sum();
    let begin =
        Begin { version, schema: SCHEMA, resources: resources.len() as u64, bytes, ..Begin::default() };
    let commit = Commit { version, state_hash: state_hash(&resources).0.to_vec(), ..Commit::default() };
    for message in [
        to_replica::Message::Begin(begin),
        to_replica::Message::Chunk(Chunk { resources, ..Chunk::default() }),
        to_replica::Message::Commit(commit),
    ] {
        to.send(Ok(ToReplica { message: Some(message) })).await.unwrap();
    }
}

fn use_of(beat: &Beat, version: u32) -> Option<(Is, u64)> {
    let id = format!("p/main/{version}");
    beat.keys.iter().find(|key| key.id == id).map(|key| (key.state(), key.in_flight))
}

#[tokio::test]
async fn a_rotation_as_the_control_plane_sees_it() {
    let root = TempDir::new().unwrap();
    let at = StateDir::at(root.path().join("r"));
    let talk = async {
        let (url, mut streams) = plane(None).await;
        let replica = replica(url, Some(Disk::open(&at).unwrap()));
        let link = Rc::clone(&replica.link);
        let running = tokio::task::spawn_local(async move { link.run().await });
        let (mut from, to) = timeout(PATIENCE, streams.recv()).await.unwrap().unwrap();
        let from_replica::Message::Hello(hello) = hear(&mut from).await else { panic!("Hello comes first") };
        assert_eq!(
            hello,
            Hello {
                pid: hello.pid,
                build: hello.build.clone(),
                schema: SCHEMA,
                id: "r".to_owned(),
                host: "h".to_owned(),
                incarnation: "one".to_owned(),
                // A disk with nothing on it is not the same as no disk.
                kept: Some(Version::default().into()),
                moves: true,
                features: feature::ALL.iter().map(|&name| name.to_owned()).collect(),
                ..Hello::default()
            }
        );
        push(&to, 1, &[(1, Is::Active)]).await;
        let first = beat(&mut from, |beat| beat.kept.is_some_and(|kept| kept.counter == 1)).await;
        assert!(first.unix_millis > 1_700_000_000_000);
        let lease =
            replica.held.pin().unwrap().keyring.named("p/main/1").unwrap().lease(Take::Active).unwrap();
        push(&to, 2, &[(1, Is::Retiring), (2, Is::Active)]).await;
        let acked = beat(&mut from, |beat| beat.version.is_some_and(|version| version.counter == 2)).await;
        assert_eq!(use_of(&acked, 1), Some((Is::Retiring, 1)));
        let began = Instant::now();
        drop(lease);
        beat(&mut from, |beat| use_of(beat, 1) == Some((Is::Retiring, 0))).await;
        assert!(began.elapsed() < Duration::from_millis(500), "told at once, not with the next life sign");
        push(&to, 3, &[(2, Is::Active)]).await;
        let gone = beat(&mut from, |beat| beat.version.is_some_and(|version| version.counter == 3)).await;
        assert_eq!(use_of(&gone, 1), Some((Is::Unspecified, 0)), "proof that nobody uses it");
        beat(&mut from, |beat| beat.kept.is_some_and(|kept| kept.counter == 3)).await;
        replica.link.end();
        assert!(beat(&mut from, |beat| beat.ended).await.draining);
        drop((from, to));
        timeout(PATIENCE, running).await.unwrap().unwrap();
    };
    LocalSet::new().run_until(talk).await;
    let mut disk = Disk::open(&at).unwrap();
    let (loaded, why) = disk.load(&Trust::default());
    assert_eq!((loaded.unwrap().snapshot.version.counter, why), (3, None));
}

#[tokio::test]
async fn a_control_plane_that_does_not_want_this_replica_is_shown() {
    LocalSet::new()
        .run_until(async {
            let (url, _streams) = plane(Some("evicted")).await;
            let replica = replica(url, None);
            let link = Rc::clone(&replica.link);
            let running = tokio::task::spawn_local(async move { link.run().await });
            let shown = async {
                while replica.status.lock().rejected.is_none() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(PATIENCE, shown).await.unwrap();
            assert_eq!(replica.status.lock().rejected.as_deref(), Some("evicted"));
            replica.link.end();
            timeout(PATIENCE, running).await.unwrap().unwrap();
        })
        .await;
}

#[tokio::test]
async fn after_a_restart_of_the_control_plane_the_stream_is_soon_back() {
    LocalSet::new()
        .run_until(async {
            let (url, mut streams) = plane(None).await;
            let replica = replica(url, None);
            let link = Rc::clone(&replica.link);
            tokio::task::spawn_local(async move { link.run().await });
            for counter in 1..4 {
                let began = Instant::now();
                let (mut from, to) = timeout(PATIENCE, streams.recv()).await.unwrap().unwrap();
                assert!(began.elapsed() < Duration::from_secs(1), "no wait of earlier ends is carried on");
                push(&to, counter, &[(1, Is::Active)]).await;
                beat(&mut from, |beat| beat.version.is_some_and(|version| version.counter == counter)).await;
            }
            assert_eq!(replica.held.pin().unwrap().snapshot.version.counter, 3);
        })
        .await;
}
