//! A control plane that pushes what the test says and reads what the replica reports.

use crate::peer::Peer;
use bytes::Bytes;
use keyway_dataplane::identity::Identity;
use keyway_proto::{
    SCHEMA,
    fleet::v1::{
        Accepted, Batch, Beat, Begin, Chunk, Commit, FromReplica, Probe, ProbeResult, ToReplica,
        fleet_server::{Fleet, FleetServer},
        from_replica, to_replica,
    },
    snapshot::v1::{self as wire, CredentialState, Kind, Resource},
};
use keyway_snapshot::{DigestKey, state_hash};
use prost::Message;
use std::time::Duration;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, transport::Server};

const PATIENCE: Duration = Duration::from_secs(5);

type Talk = (Streaming<FromReplica>, mpsc::Sender<Result<ToReplica, Status>>);

/// What is served.
#[derive(Clone)]
pub(crate) struct State {
    base_url: String,
    pub(crate) keys: Vec<(u32, CredentialState)>,
    pub(crate) token: &'static str,
    pub(crate) withheld: &'static str,
    pub(crate) lease_seconds: u64,
}

/// One replica's.
pub(crate) struct Plane {
    pub(crate) url: String,
    /// Of a node that it takes.
    pub(crate) identity: Identity,
    streams: mpsc::Receiver<Talk>,
    talk: Option<Talk>,
    counter: u64,
}

struct Service(mpsc::Sender<Talk>);

#[tonic::async_trait]
impl Fleet for Service {
    type SyncStream = ReceiverStream<Result<ToReplica, Status>>;
    type ReportStream = ReceiverStream<Result<Accepted, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<FromReplica>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (out, outgoing) = mpsc::channel(16);
        self.0.send((request.into_inner(), out)).await.unwrap();
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn report(&self, _: Request<Streaming<Batch>>) -> Result<Response<Self::ReportStream>, Status> {
        Err(Status::unimplemented("keeps no books"))
    }
}

impl Plane {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let peer = Peer::new();
        let (out, streams) = mpsc::channel(4);
        let server = Server::builder().add_service(FleetServer::new(Service(out)));
        tokio::spawn(server.serve_with_incoming(peer.incoming(listener)));
        Self { url, identity: peer.identity, streams, talk: None, counter: 0 }
    }

    pub(crate) async fn connected(&mut self) {
        self.talk = timeout(PATIENCE, self.streams.recv()).await.unwrap();
    }

    async fn send(&mut self, message: to_replica::Message) {
        let (_, to) = self.talk.as_ref().unwrap();
        to.send(Ok(ToReplica { message: Some(message) })).await.unwrap();
    }

    async fn hear(&mut self) -> from_replica::Message {
        let (from, _) = self.talk.as_mut().unwrap();
        timeout(PATIENCE, from.message()).await.unwrap().unwrap().unwrap().message.unwrap()
    }

    /// Until the replica has acknowledged it.
    pub(crate) async fn push(&mut self, state: State) {
        self.counter += 1;
        let version = Some(wire::Version { epoch: 1, counter: self.counter });
        let resources = state.resources();
        let bytes = resources.iter().map(|resource| resource.encoded_len() as u64).sum();
        let count = resources.len() as u64;
        let state_hash = state_hash(&resources).0.to_vec();
        let begin = Begin { version, schema: SCHEMA, resources: count, bytes, ..Begin::default() };
        self.send(to_replica::Message::Begin(begin)).await;
        self.send(to_replica::Message::Chunk(Chunk { resources, ..Chunk::default() })).await;
        self.send(to_replica::Message::Commit(Commit { version, state_hash, ..Commit::default() })).await;
        loop {
            match self.hear().await {
                from_replica::Message::Ack(ack) if ack.version == version => return,
                from_replica::Message::Nack(nack) => panic!("{nack:?}"),
                _ => {}
            }
        }
    }

    pub(crate) async fn life_sign(&mut self) {
        let version = Some(wire::Version { epoch: 1, counter: self.counter });
        self.send(to_replica::Message::Beat(Beat { version, ..Beat::default() })).await;
    }

    /// The next life sign.
    async fn beat(&mut self) -> Beat {
        loop {
            if let from_replica::Message::Beat(beat) = self.hear().await {
                return beat;
            }
        }
    }

    /// State and count of a version, as told at the newest state; `None` where it is no longer told of.
    pub(crate) async fn use_of(&mut self, version: u32) -> Option<(CredentialState, u64)> {
        loop {
            let beat = self.beat().await;
            if beat.version.is_some_and(|version| version.counter == self.counter) {
                let id = format!("p/main/{version}");
                return beat.keys.iter().find(|key| key.id == id).map(|key| (key.state(), key.in_flight));
            }
        }
    }

    pub(crate) async fn until_in_flight(&mut self, version: u32, count: u64) {
        let reached = async { while self.use_of(version).await.map_or(0, |row| row.1) != count {} };
        timeout(PATIENCE, reached).await.unwrap();
    }

    pub(crate) async fn until_used(&mut self, version: u32) {
        self.until_in_flight(version, 1).await;
    }

    pub(crate) async fn until_unused(&mut self, version: u32) {
        self.until_in_flight(version, 0).await;
    }

    pub(crate) async fn probe(&mut self, secret: &str) -> ProbeResult {
        let probe = Probe {
            id: 7,
            provider: "p".to_owned(),
            key: "main".to_owned(),
            version: 9,
            secret: secret.as_bytes().to_vec(),
        };
        self.send(to_replica::Message::Probe(probe)).await;
        loop {
            if let from_replica::Message::ProbeResult(result) = self.hear().await {
                return result;
            }
        }
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

impl State {
    /// Provider `p` with these versions of its key `main`, and one client.
    pub(crate) fn new(base_url: String, keys: &[(u32, CredentialState)]) -> Self {
        Self { base_url, keys: keys.to_vec(), token: "kw_1", withheld: "", lease_seconds: 0 }
    }

    fn resources(&self) -> Vec<Resource> {
        let settings = wire::Settings {
            digest_key: vec![1; 32],
            body_limit: 1 << 20,
            bodies_in_flight_limit: 1 << 24,
            lease_seconds: self.lease_seconds,
            ..wire::Settings::default()
        };
        let surface = wire::Surface {
            dialect: wire::Dialect::OpenaiChat as i32,
            base_url: self.base_url.clone(),
            ..wire::Surface::default()
        };
        let auth = wire::Auth {
            scheme: wire::AuthScheme::Header as i32,
            name: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
            ..wire::Auth::default()
        };
        let provider = wire::Provider {
            name: "p".to_owned(),
            surfaces: vec![surface],
            auth: Some(auth),
            private_network: true,
            withheld: self.withheld.to_owned(),
            ..wire::Provider::default()
        };
        let client = wire::Client {
            name: "c".to_owned(),
            state: wire::ClientState::Enabled as i32,
            token_digests: vec![DigestKey::new([1; 32]).digest(self.token.as_bytes()).0.to_vec()],
            all_models: true,
            ..wire::Client::default()
        };
        let mut all = vec![
            resource(Kind::Settings, "settings", &settings),
            resource(Kind::Provider, "p", &provider),
            resource(Kind::Client, "c", &client),
        ];
        for (version, state) in &self.keys {
            let secret =
                if *state == CredentialState::Revoked { String::new() } else { format!("sk-{version}") };
            let body = wire::Credential {
                provider: "p".to_owned(),
                key: "main".to_owned(),
                version: *version,
                state: *state as i32,
                weight: 1,
                secret: secret.into_bytes(),
                ..wire::Credential::default()
            };
            all.push(resource(Kind::Credential, &format!("p/main/{version}"), &body));
        }
        all
    }
}
