//! What the store holds: one document per provider, model, team, client and open section. No secret is in a document;
//! of keys and tokens it holds versions, digests and what may be shown.

use super::{
    AnswerDocument, AuthorityDocument, Handover, JoinDocument, KekDocument, KeyDocument, NodeDocument,
    Operator, PairDocument,
};
use crate::store::Key;
use bytes::Bytes;
use keyway_config::{Client, Model, Provider, Team};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A place that serves models.
    Provider,
    /// An alias.
    Model,
    /// A group of clients.
    Team,
    /// Who calls the gateway.
    Client,
    /// A section of the file.
    Section,
    /// Who uses the admin API; in no file.
    Operator,
    /// A replica that may hold secrets.
    Replica,
    /// A host or process that joined.
    Node,
    /// A token with which nodes join.
    Join,
    /// The roots of certificates.
    Authority,
    /// How many replicas a host runs; in no file.
    Host,
    /// The vault's wrapping key.
    Kek,
    /// A request of the admin API with an idempotency key.
    Answer,
}

/// Where a document came from. Set when it is made and never changed: `--prune` deletes only what a file made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Made {
    /// In which way.
    pub by: Way,
    /// The file's name, or who did it.
    pub origin: String,
    /// Seconds since 1970.
    pub at: u64,
}

/// In which way a document was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// By `apply`.
    File,
    /// By a single call, or by `keyway up` at its start.
    Hand,
}

/// One document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Document {
    /// Where it came from.
    pub made: Made,
    /// What it says.
    pub body: Body,
}

/// What a document says. The file's own types, so that there is one model of the configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// A provider; its keys stand beside, not in the file's form.
    Provider {
        /// As in the file, without keys.
        spec: Box<Provider>,
        /// In the order in which they were made.
        keys: Vec<KeyDocument>,
    },
    /// An alias.
    Model(Model),
    /// A team.
    Team(Team),
    /// A client.
    Client {
        /// As in the file, without its token.
        spec: Box<Client>,
        /// Keyed digests of its valid tokens, hex.
        digests: Vec<String>,
        /// Of its key pair, whose id stands in `spec`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pair: Option<PairDocument>,
        /// The newest change of its token that had an overlap.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        handover: Option<Handover>,
    },
    /// A section that is kept as it is.
    Section(Value),
    /// An operator.
    Operator(Operator),
    /// A replica that was sent a state and is not proven ended.
    Replica(ReplicaDocument),
    /// A node.
    Node(NodeDocument),
    /// A join token.
    Join(JoinDocument),
    /// The roots of certificates.
    Authority(AuthorityDocument),
    /// What an operator wants of a host.
    Host(HostDocument),
    /// A change of the vault's wrapping key.
    Kek(KekDocument),
    /// What is remembered of a request.
    Answer(AnswerDocument),
}

/// What an operator wants of a host with a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDocument {
    /// Replicas that run there.
    pub replicas: u32,
}

/// A replica that may hold secrets: the reason why a restart of the control plane does not forget it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaDocument {
    /// Where it runs.
    pub host: String,
    /// Who started it and reaps it; empty = nobody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub supervisor: String,
    /// It may not come back under this name.
    #[serde(default)]
    pub evicted: bool,
}

// === impl Kind ===

impl Kind {
    /// What may stand in a file.
    pub(crate) const OF_FILE: [Self; 5] =
        [Self::Provider, Self::Model, Self::Team, Self::Client, Self::Section];
    /// What documents refer to by name.
    pub(crate) const NAMEABLE: [Self; 3] = [Self::Provider, Self::Model, Self::Team];

    /// Whether somebody configured it: it may stand in a file, or is an operator. What is not comes about by itself.
    pub(crate) fn is_configuration(self) -> bool {
        !matches!(
            self,
            Self::Replica | Self::Host | Self::Node | Self::Join | Self::Authority | Self::Kek | Self::Answer
        )
    }

    /// Whether replicas are sent it.
    pub(crate) fn is_sent(self) -> bool {
        matches!(self, Self::Provider | Self::Model | Self::Client)
    }

    /// As it stands in keys of the store and in answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Team => "team",
            Self::Client => "client",
            Self::Section => "section",
            Self::Operator => "operator",
            Self::Replica => "replica",
            Self::Node => "node",
            Self::Join => "join",
            Self::Authority => "authority",
            Self::Host => "host",
            Self::Kek => "kek",
            Self::Answer => "answer",
        }
    }

    /// The kind of a stored key.
    #[must_use]
    pub fn of(key: &Key) -> Option<Self> {
        let all = [
            Self::Provider,
            Self::Model,
            Self::Team,
            Self::Client,
            Self::Section,
            Self::Operator,
            Self::Replica,
            Self::Node,
            Self::Join,
            Self::Authority,
            Self::Host,
            Self::Kek,
            Self::Answer,
        ];
        all.into_iter().find(|kind| kind.word() == key.kind())
    }

    /// The stored key of that name.
    #[must_use]
    pub fn key(self, name: &str) -> Key {
        Key::new(self.word(), name)
    }

    /// The file's section for it: `providers.openai`.
    #[must_use]
    pub fn path(self, name: &str) -> String {
        match self {
            Self::Provider => format!("providers.{name}"),
            Self::Model => format!("models.{name}"),
            Self::Team => format!("teams.{name}"),
            Self::Client => format!("clients.{name}"),
            Self::Section => name.to_owned(),
            Self::Operator => format!("operators.{name}"),
            Self::Replica
            | Self::Host
            | Self::Node
            | Self::Join
            | Self::Authority
            | Self::Kek
            | Self::Answer => {
                format!("{} {name}", self.word())
            }
        }
    }
}

// === impl Body ===

impl Body {
    /// Whether settings that replicas are sent are made of it.
    pub(crate) fn is_settings(&self) -> bool {
        matches!(self, Self::Section(_))
    }
}

// === impl Document ===

impl Document {
    /// As the store holds it.
    ///
    /// # Errors
    /// Never for the types above; a map with keys that are no text would be one.
    pub fn encode(&self) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(self).map(Bytes::from)
    }

    /// From the store.
    ///
    /// # Errors
    /// When the bytes are no document.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
