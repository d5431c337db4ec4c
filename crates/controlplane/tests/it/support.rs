//! A control plane in this process on ports that the system chose, and a replica made of a gRPC client alone.

use crate::node::Node;
use keyway_config::{File, Secret};
use keyway_controlplane::{Certificates, Plane, Running, Settings, resource::Apply, serve, serve::Storage};
use keyway_proto::{
    fleet::v1::{
        Ack, Begin, Commit, FromReplica, Hello, Nack, ToReplica, fleet_client::FleetClient, from_replica,
        to_replica,
    },
    snapshot::v1::Resource,
};
use keyway_snapshot::{Snapshot, state_hash};
use std::{net::TcpListener, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

pub(crate) const ADMIN_TOKEN: &str = "an-admin-token-for-tests-only";
const DEADLINE: Duration = Duration::from_secs(10);

/// A control plane and its data directory, which goes with it.
pub(crate) struct Started {
    pub(crate) running: Running,
    pub(crate) plane: Arc<Plane>,
    home: TempDir,
}

impl std::ops::Deref for Started {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

pub(crate) fn start() -> Started {
    start_in(TempDir::new().unwrap())
}

/// Over the data that is there.
pub(crate) fn start_in(home: TempDir) -> Started {
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    let secret = |text: &str| Secret::new(text.to_owned());
    let settings = Settings {
        admin: listener(),
        fleet: listener(),
        admin_token: secret(ADMIN_TOKEN),
        certificates: Certificates::at(vec!["127.0.0.1:8601".to_owned()]),
        tls: None,
        storage: Storage {
            home: home.path().to_owned(),
            root_key_file: None,
            credentials: None,
            index_check: None,
            shared: None,
        },
        initial: Vec::new(),
        tracer: keyway_telemetry::Tracer::default(),
        environment: None,
    };
    let running = serve(settings).unwrap();
    let plane = running.plane.clone().unwrap();
    Started { running, plane, home }
}

/// Stops it and waits for its end, which is in order only while clients go on being polled.
pub(crate) async fn stop(started: Started) -> TempDir {
    let Started { running, plane, home } = started;
    drop(plane);
    running.stop();
    let ending = tokio::task::spawn_blocking(move || running.join());
    timeout(DEADLINE, ending).await.unwrap().unwrap().unwrap();
    home
}

pub(crate) fn file(yaml: &str) -> File {
    keyway_config::load(yaml, "keyway.yaml", |_| None).unwrap().file
}

pub(crate) fn apply(yaml: &str) -> Apply {
    Apply { file: file(yaml), prune: false, origin: "keyway.yaml".to_owned() }
}

pub(crate) struct Replica {
    out: mpsc::Sender<FromReplica>,
    from: Streaming<ToReplica>,
}

/// A state as it came over the wire.
pub(crate) struct Received {
    pub(crate) traceparent: String,
    pub(crate) resources: Vec<Resource>,
    pub(crate) commit: Commit,
}

impl Replica {
    /// A replica of the node that its name says.
    pub(crate) async fn connect(running: &Running, hello: Hello) -> Result<Self, Status> {
        let node = Node::of(running, hello.id.split('~').next().unwrap());
        Self::connect_to(&running.fleet.to_string(), &node, hello).await
    }

    /// As `connect`, to a control plane in another process.
    pub(crate) async fn connect_to(fleet: &str, node: &Node, hello: Hello) -> Result<Self, Status> {
        let channel = node.connect(fleet).await;
        let (out, messages) = mpsc::channel(16);
        let replica = out.clone();
        replica.send(FromReplica { message: Some(from_replica::Message::Hello(hello)) }).await.unwrap();
        let from = FleetClient::new(channel).sync(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Self { out, from })
    }

    pub(crate) async fn say(&self, message: from_replica::Message) {
        self.out.send(FromReplica { message: Some(message) }).await.unwrap();
    }

    /// The next message that is no beat.
    pub(crate) async fn hear(&mut self) -> to_replica::Message {
        loop {
            let message =
                timeout(DEADLINE, self.from.message()).await.unwrap().unwrap().unwrap().message.unwrap();
            if !matches!(message, to_replica::Message::Beat(_)) {
                return message;
            }
        }
    }

    /// The next message, however late; `None` at the end. Safe to be given up and called again.
    pub(crate) async fn next(&mut self) -> Option<to_replica::Message> {
        self.from.message().await.ok()??.message
    }

    /// A whole state, checked for what it says of itself, not yet answered.
    pub(crate) async fn state(&mut self) -> Received {
        let to_replica::Message::Begin(begin) = self.hear().await else {
            panic!("a state begins with Begin")
        };
        self.rest(begin).await
    }

    async fn rest(&mut self, begin: Begin) -> Received {
        let mut resources = Vec::new();
        loop {
            match self.hear().await {
                to_replica::Message::Chunk(chunk) => resources.extend(chunk.resources),
                to_replica::Message::Commit(commit) => {
                    assert_eq!(begin.resources, resources.len() as u64);
                    assert_eq!(commit.version, begin.version);
                    assert_eq!(commit.state_hash, state_hash(&resources).0);
                    let traceparent = begin.traceparent;
                    return Received { traceparent, resources, commit };
                }
                other => panic!("{other:?} inside a state"),
            }
        }
    }

    /// Takes the next state in as a data plane does and acknowledges it.
    pub(crate) async fn take(&mut self) -> Snapshot {
        let received = self.state().await;
        self.acknowledge(received).await
    }

    /// The same for a state whose beginning was heard.
    pub(crate) async fn take_begun(&mut self, begin: Begin) -> Snapshot {
        let received = self.rest(begin).await;
        self.acknowledge(received).await
    }

    async fn acknowledge(&mut self, received: Received) -> Snapshot {
        let snapshot = Snapshot::build(received.commit.version.unwrap().into(), &received.resources).unwrap();
        let (version, state_hash) = (received.commit.version, received.commit.state_hash);
        self.say(from_replica::Message::Ack(Ack { version, state_hash, apply_micros: 100 })).await;
        snapshot
    }

    /// Acknowledges a state that was only checked for what it says of itself.
    pub(crate) async fn acknowledge_unread(&self, received: &Received) {
        let (version, state_hash) = (received.commit.version, received.commit.state_hash.clone());
        self.say(from_replica::Message::Ack(Ack { version, state_hash, apply_micros: 100 })).await;
    }

    /// Refuses the next state.
    pub(crate) async fn refuse(&mut self) -> Received {
        let received = self.state().await;
        let nack = Nack {
            version: received.commit.version,
            field: "client/a: models".to_owned(),
            reason: "not to my liking".to_owned(),
            resend: false,
        };
        self.say(from_replica::Message::Nack(nack)).await;
        received
    }

    /// How the stream ended.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            match timeout(DEADLINE, self.from.message()).await.unwrap() {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }
}

pub(crate) fn hello(id: &str) -> Hello {
    Hello {
        id: id.to_owned(),
        host: "host-a".to_owned(),
        pid: 4242,
        build: "0.1.0".to_owned(),
        schema: keyway_proto::SCHEMA,
        serving: None,
        listen: "127.0.0.1:8585".to_owned(),
        ops_listen: "127.0.0.1:8586".to_owned(),
        ..Hello::default()
    }
}

/// Polls until it holds; the deadline is the test's failure.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Who changes things in these tests.
pub(crate) fn author() -> keyway_controlplane::resource::Author {
    keyway_controlplane::resource::Author::system("test", "")
}
