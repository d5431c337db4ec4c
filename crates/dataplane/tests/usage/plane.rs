//! A control plane that pushes one state to whoever comes, and keeps books while it is told to.

use crate::peer::Peer;
use bytes::Bytes;
use keyway_dataplane::identity::Identity;
use keyway_metering::{Fold, add};
use keyway_proto::{
    SCHEMA,
    fleet::v1::{
        Accepted, Batch, Beat, Begin, Chunk, Commit, Frame, FromReplica, Record, Sum, ToReplica,
        fleet_server::{Fleet, FleetServer},
        to_replica,
    },
    snapshot::v1::{self as wire, CredentialState, Kind, Resource},
};
use keyway_snapshot::{DigestKey, state_hash};
use parking_lot::Mutex;
use prost::Message;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, transport::Server};

const PATIENCE: Duration = Duration::from_secs(10);
const VERSION: Option<wire::Version> = Some(wire::Version { epoch: 1, counter: 7 });

/// Its address, and what it has booked.
pub(crate) struct Plane {
    pub(crate) url: String,
    /// Of a node that it takes.
    pub(crate) identity: Identity,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
pub(crate) struct Books {
    is_open: bool,
    marks: HashMap<String, u64>,
    /// Incarnations in the order in which they were first heard of.
    pub(crate) order: Vec<String>,
    pub(crate) frames: Vec<Frame>,
}

struct Service(Vec<Resource>, Arc<Mutex<Books>>);

#[tonic::async_trait]
impl Fleet for Service {
    type SyncStream = ReceiverStream<Result<ToReplica, Status>>;
    type ReportStream = ReceiverStream<Result<Accepted, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<FromReplica>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (out, outgoing) = mpsc::channel(16);
        let resources = self.0.clone();
        let bytes = resources.iter().map(|resource| resource.encoded_len() as u64).sum();
        let count = resources.len() as u64;
        let state_hash = state_hash(&resources).0.to_vec();
        let begin = Begin { version: VERSION, schema: SCHEMA, resources: count, bytes, ..Begin::default() };
        let mut from = request.into_inner();
        tokio::spawn(async move {
            let state = [
                to_replica::Message::Begin(begin),
                to_replica::Message::Chunk(Chunk { resources, ..Chunk::default() }),
                to_replica::Message::Commit(Commit { version: VERSION, state_hash, ..Commit::default() }),
            ];
            for message in state {
                out.send(Ok(ToReplica { message: Some(message) })).await.unwrap();
            }
            // A life sign for a life sign, until the replica is gone.
            while let Ok(Some(_)) = from.message().await {
                let beat = to_replica::Message::Beat(Beat { version: VERSION, ..Beat::default() });
                let _ = out.send(Ok(ToReplica { message: Some(beat) })).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn report(
        &self,
        request: Request<Streaming<Batch>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        if !self.1.lock().is_open {
            return Err(Status::unavailable("keeps no books now"));
        }
        let (out, outgoing) = mpsc::channel(16);
        let (mut from, books) = (request.into_inner(), Arc::clone(&self.1));
        tokio::spawn(async move {
            while let Ok(Some(batch)) = from.message().await {
                let Some(accepted) = books.lock().book(&batch) else { return };
                let _ = out.send(Ok(accepted)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

impl Books {
    fn book(&mut self, batch: &Batch) -> Option<Accepted> {
        if !self.is_open {
            return None;
        }
        if !self.order.contains(&batch.incarnation) {
            self.order.push(batch.incarnation.clone());
        }
        let mark = self.marks.entry(batch.incarnation.clone()).or_default();
        for frame in &batch.frames {
            let frame = Frame::decode(frame.as_slice()).unwrap();
            if frame.last > *mark {
                assert_eq!(frame.first, *mark + 1, "a frame is lost or half booked");
                *mark = frame.last;
                self.frames.push(frame);
            }
        }
        Some(Accepted { incarnation: batch.incarnation.clone(), last: *mark })
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.frames.iter().flat_map(|frame| frame.records.clone()).collect()
    }
}

/// All of these together.
pub(crate) fn total(frames: &[Frame]) -> Sum {
    let mut sums = Fold::new(usize::MAX);
    frames.iter().for_each(|frame| sums.frame(frame));
    let mut all = Sum::default();
    sums.into_sums().iter().for_each(|sum| add(&mut all, sum));
    all
}

impl Plane {
    /// Providers `sandbox`, built in, and `p` at this address; a client for the token `kw_1`.
    pub(crate) async fn start(base_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let peer = Peer::new();
        let books = Arc::<Mutex<Books>>::default();
        let service = Service(state(base_url), Arc::clone(&books));
        let server = Server::builder().add_service(FleetServer::new(service));
        tokio::spawn(server.serve_with_incoming(peer.incoming(listener)));
        Self { url, identity: peer.identity, books }
    }

    /// Whether books are kept from now on; streams that are open end with their next batch if not.
    pub(crate) fn keeps_books(&self, is_open: bool) {
        self.books.lock().is_open = is_open;
    }

    /// Waits until so many requests are booked; gives what is booked then.
    pub(crate) async fn until(&self, requests: u64) -> Vec<Frame> {
        let reached = async {
            loop {
                let frames = self.books.lock().frames.clone();
                if total(&frames).requests >= requests {
                    return frames;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = timeout(PATIENCE, reached).await;
        waited.unwrap_or_else(|_| {
            panic!("{} of {requests}", total(&self.books(|books| books.frames.clone())).requests)
        })
    }

    pub(crate) fn books<T>(&self, of: impl FnOnce(&Books) -> T) -> T {
        of(&self.books.lock())
    }
}

fn resource(kind: Kind, name: &str, body: &impl Message) -> Resource {
    Resource {
        kind: kind as i32,
        name: name.to_owned(),
        body: Bytes::from(body.encode_to_vec()),
        ..Resource::default()
    }
}

fn provider(name: &str, base_url: &str, built_in: bool) -> Resource {
    let surface = |dialect: wire::Dialect| wire::Surface {
        dialect: dialect as i32,
        base_url: base_url.to_owned(),
        ..wire::Surface::default()
    };
    let rate = |meter: wire::Meter, femto_dollars| wire::Rate { meter: meter as i32, femto_dollars };
    let price = wire::Price {
        rates: vec![rate(wire::Meter::Input, 1_000_000), rate(wire::Meter::Output, 3_000_000)],
        ..wire::Price::default()
    };
    let offer =
        |id: &str| wire::Offer { id: id.to_owned(), price: Some(price.clone()), ..wire::Offer::default() };
    let auth = match built_in {
        true => wire::Auth { scheme: wire::AuthScheme::None as i32, ..wire::Auth::default() },
        false => wire::Auth {
            scheme: wire::AuthScheme::Header as i32,
            name: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
            ..wire::Auth::default()
        },
    };
    let body = wire::Provider {
        name: name.to_owned(),
        surfaces: vec![surface(wire::Dialect::OpenaiChat), surface(wire::Dialect::AnthropicMessages)],
        auth: Some(auth),
        private_network: true,
        built_in,
        offers: vec![offer("echo"), offer("broken"), offer("m")],
        ..wire::Provider::default()
    };
    resource(Kind::Provider, name, &body)
}

fn state(base_url: &str) -> Vec<Resource> {
    let settings = wire::Settings {
        digest_key: vec![1; 32],
        body_limit: 1 << 20,
        bodies_in_flight_limit: 1 << 24,
        ..wire::Settings::default()
    };
    let client = wire::Client {
        name: "c".to_owned(),
        team: "t".to_owned(),
        state: wire::ClientState::Enabled as i32,
        token_digests: vec![DigestKey::new([1; 32]).digest(b"kw_1").0.to_vec()],
        all_models: true,
        ..wire::Client::default()
    };
    let credential = wire::Credential {
        provider: "p".to_owned(),
        key: "main".to_owned(),
        version: 3,
        state: CredentialState::Active as i32,
        weight: 1,
        secret: b"sk".to_vec(),
        ..wire::Credential::default()
    };
    let target = |model: &str, priority| wire::Target {
        provider: "p".to_owned(),
        model: model.to_owned(),
        weight: 1,
        priority,
    };
    let alias = wire::Model {
        name: "both".to_owned(),
        strategy: wire::Strategy::Priority as i32,
        targets: vec![target("broken", 1), target("m", 2)],
        ..wire::Model::default()
    };
    vec![
        resource(Kind::Settings, "settings", &settings),
        provider("sandbox", "http://127.0.0.1:9", true),
        provider("p", base_url, false),
        resource(Kind::Credential, "p/main/3", &credential),
        resource(Kind::Model, "both", &alias),
        resource(Kind::Client, "c", &client),
    ]
}
