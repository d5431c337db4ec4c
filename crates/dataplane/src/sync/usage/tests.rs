//! A link against books of a few lines, over a real connection.

use super::*;
use crate::identity::{Badge, Identity, peer::Peer};
use crate::meter::{Bell, Budget, Ends, Spool, Tray};
use keyway_proto::fleet::v1::{
    Frame, FromReplica, Record, ToReplica,
    fleet_server::{Fleet, FleetServer},
};
use prost::Message as _;
use std::{collections::BTreeMap, path::Path, rc::Rc, sync::Arc};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::LocalSet};
use tonic::{Request, Response, transport::Server};

const PATIENCE: Duration = Duration::from_secs(5);

type Talked = (Streaming<Batch>, mpsc::Sender<Result<Accepted, Status>>);

/// Hands every stream to the test.
struct Plane(mpsc::Sender<Talked>);

#[tonic::async_trait]
impl Fleet for Plane {
    type SyncStream = ReceiverStream<Result<ToReplica, Status>>;
    type ReportStream = ReceiverStream<Result<Accepted, Status>>;

    async fn sync(&self, _: Request<Streaming<FromReplica>>) -> Result<Response<Self::SyncStream>, Status> {
        Err(Status::unimplemented("has no state"))
    }

    async fn report(
        &self,
        request: Request<Streaming<Batch>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let (out, outgoing) = mpsc::channel(16);
        self.0.send((request.into_inner(), out)).await.unwrap();
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

fn badge(identity: Identity) -> Arc<Badge> {
    let badge = Arc::<Badge>::default();
    badge.show(identity).unwrap();
    badge
}

async fn plane() -> ((String, Arc<Badge>), mpsc::Receiver<Talked>) {
    let peer = Peer::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (streams, taken) = mpsc::channel(4);
    let server = Server::builder().add_service(FleetServer::new(Plane(streams)));
    tokio::task::spawn_local(server.serve_with_incoming(peer.incoming(listener)));
    ((url, badge(peer.identity)), taken)
}

fn link((url, badge): (String, Arc<Badge>), spool: Spool) -> Rc<UsageLink> {
    let (budget, bell) = (Arc::<Budget>::default(), Arc::<Bell>::default());
    let trays = vec![Arc::new(Tray::new(Arc::clone(&budget), Arc::clone(&bell)))];
    let (totals, counts) = (Arc::default(), Arc::default());
    let ends = Ends { trays, budget, bell, totals, counts, replica: "r".to_owned() };
    let settings = LinkSettings {
        planes: crate::sync::Planes::new(&url),
        badge,
        id: "r".to_owned(),
        host: "h".to_owned(),
        supervisor: String::new(),
        listen: String::new(),
        ops_listen: String::new(),
        incarnation: "two".to_owned(),
        tracer: None,
    };
    Rc::new(UsageLink::new(settings, Spooling::start(spool, ends).unwrap().0))
}

/// A spool with so many frames of a record each.
fn spool(dir: &Path, incarnation: &str, frames: u64) -> Spool {
    let mut spool = Spool::open(Some(dir), incarnation, 1 << 20, Arc::default());
    (0..frames).for_each(|_| spool.write(vec![Record::default()], Vec::new()));
    spool.sync();
    spool
}

/// What has been booked: by process, the numbers of its frames.
type Books = BTreeMap<String, Vec<u64>>;

/// The next batch; gives its process and its last number.
async fn book(from: &mut Streaming<Batch>, books: &mut Books) -> Accepted {
    let batch = timeout(PATIENCE, from.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(batch.replica, "r");
    let booked = books.entry(batch.incarnation.clone()).or_default();
    for frame in &batch.frames {
        let frame = Frame::decode(frame.as_slice()).unwrap();
        if booked.last().is_none_or(|last| frame.first > *last) {
            booked.push(frame.last);
        }
    }
    Accepted { incarnation: batch.incarnation, last: *booked.last().unwrap() }
}

async fn talk(streams: &mut mpsc::Receiver<Talked>) -> Talked {
    timeout(PATIENCE, streams.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_process_before_comes_first_and_what_was_not_answered_comes_again() {
    let root = TempDir::new().unwrap();
    drop(spool(root.path(), "one", 3));
    LocalSet::new()
        .run_until(async {
            let (url, mut streams) = plane().await;
            let link = link(url, spool(root.path(), "two", 2));
            let running = Rc::clone(&link);
            tokio::task::spawn_local(async move { running.run().await });
            let mut books = Books::default();
            // The answer is lost with the stream.
            let (mut from, to) = talk(&mut streams).await;
            book(&mut from, &mut books).await;
            drop((from, to));
            let (mut from, to) = talk(&mut streams).await;
            for incarnation in ["one", "two"] {
                let accepted = book(&mut from, &mut books).await;
                assert_eq!(accepted.incarnation, incarnation);
                to.send(Ok(accepted)).await.unwrap();
            }
            timeout(PATIENCE, link.hand_over()).await.unwrap();
            let expected = [("one".to_owned(), vec![1, 2, 3]), ("two".to_owned(), vec![1, 2])];
            assert_eq!(books, BTreeMap::from(expected));
            assert_eq!(link.counts().streams.load(Relaxed), 2);
        })
        .await;
}

#[tokio::test]
async fn a_part_that_was_booked_is_not_sent_again_and_others_answers_are_not_ours() {
    let root = TempDir::new().unwrap();
    LocalSet::new()
        .run_until(async {
            let (url, mut streams) = plane().await;
            let link = link(url, spool(root.path(), "two", 5));
            let running = Rc::clone(&link);
            tokio::task::spawn_local(async move { running.run().await });
            let (mut from, to) = talk(&mut streams).await;
            let mut books = Books::default();
            book(&mut from, &mut books).await;
            to.send(Ok(Accepted { incarnation: "one".to_owned(), last: 5 })).await.unwrap();
            to.send(Ok(Accepted { incarnation: "two".to_owned(), last: 3 })).await.unwrap();
            let mut rest = Books::default();
            let accepted = book(&mut from, &mut rest).await;
            assert_eq!(rest, BTreeMap::from([("two".to_owned(), vec![4, 5])]));
            to.send(Ok(accepted)).await.unwrap();
            timeout(PATIENCE, link.hand_over()).await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn a_control_plane_that_comes_late_gets_everything() {
    let root = TempDir::new().unwrap();
    LocalSet::new()
        .run_until(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("https://{}", listener.local_addr().unwrap());
            // Refuses connections until it is opened again.
            let address = listener.local_addr().unwrap();
            drop(listener);
            let peer = Peer::new();
            let link = link((url, badge(peer.identity.clone())), spool(root.path(), "two", 4));
            let running = Rc::clone(&link);
            tokio::task::spawn_local(async move { running.run().await });
            link.flush().await;
            let (streams, mut taken) = mpsc::channel(4);
            let server = Server::builder().add_service(FleetServer::new(Plane(streams)));
            let listener = TcpListener::bind(address).await.unwrap();
            tokio::task::spawn_local(server.serve_with_incoming(peer.incoming(listener)));
            let (mut from, to) = talk(&mut taken).await;
            let mut books = Books::default();
            let accepted = book(&mut from, &mut books).await;
            to.send(Ok(accepted)).await.unwrap();
            timeout(PATIENCE, link.hand_over()).await.unwrap();
            assert_eq!(books, BTreeMap::from([("two".to_owned(), vec![1, 2, 3, 4])]));
        })
        .await;
}
