//! Calls to etcd: one connection at a time, the next node when it fails, each call with a deadline. Says of every failure
//! whether something may have happened nevertheless. Knows nothing of what is stored.

use super::{
    address::{Address, Login},
    proto::{
        AuthenticateRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, RangeRequest,
        RangeResponse, TxnRequest, TxnResponse, WatchCreateRequest, WatchRequest, WatchResponse,
        auth_client::AuthClient, kv_client::KvClient, lease_client::LeaseClient, watch_client::WatchClient,
        watch_request::RequestUnion,
    },
};
use crate::store::StoreError;
use std::{error::Error, future::Future, time::Duration};
use tokio::{sync::Mutex, time::timeout};
use tokio_stream::StreamExt;
use tonic::{
    Code, Request, Response, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

/// One call.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// A question is asked again, at another node, until so much time is over.
const ASK_LIMIT: Duration = Duration::from_secs(4);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of one answer: 500 keys of at most 1.5 MiB would be more, and are asked for in smaller pages.
const ANSWER_LIMIT: usize = 64 << 20;

/// A way to one etcd.
#[derive(Debug)]
pub(crate) struct Wire {
    nodes: Vec<Endpoint>,
    login: Option<Login>,
    link: Mutex<Link>,
}

#[derive(Debug, Default)]
struct Link {
    /// Which node is next, or in use.
    at: usize,
    open: Option<Open>,
    /// Counts connections, so that only the one that failed is given up.
    number: u64,
}

#[derive(Debug, Clone)]
struct Open {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
    number: u64,
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// It reached no node: nothing has happened.
    #[error("no node of etcd can be reached ({0})")]
    Unreached(String),
    /// It may have happened or not, or may yet happen.
    #[error("etcd does not answer ({0})")]
    Unknown(String),
    /// There is no room; nothing has happened.
    #[error("etcd has no space left: compact and defragment it, then disarm its alarm NOSPACE")]
    Full,
    /// etcd says no; nothing has happened.
    #[error("etcd refuses: {0}")]
    Refused(String),
}

// === impl Wire ===

impl Wire {
    pub(crate) fn new(address: &Address) -> Result<Self, StoreError> {
        Ok(Self { nodes: address.endpoints()?, login: address.login()?, link: Mutex::default() })
    }

    /// Reads; asked again until it is answered or time is up.
    pub(crate) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, WireError> {
        let mut last = WireError::Unknown("no time".to_owned());
        let asking = async {
            loop {
                let one = request.clone();
                match self.call(|open| async move { open.kv().range(open.sign(one)).await }).await {
                    Err(error @ (WireError::Unreached(_) | WireError::Unknown(_))) => last = error,
                    other => return other,
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match timeout(ASK_LIMIT, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(last),
        }
    }

    /// All or nothing. Never sent twice: whoever asked decides what an unknown outcome means.
    pub(crate) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, WireError> {
        self.call(|open| async move { open.kv().txn(open.sign(request)).await }).await
    }

    /// A lease of so many seconds; its number.
    pub(crate) async fn grant(&self, seconds: i64) -> Result<i64, WireError> {
        let request = LeaseGrantRequest { ttl: seconds, id: 0 };
        let granted = self.call(|open| async move { open.lease().lease_grant(open.sign(request)).await });
        granted.await.map(|granted| granted.id)
    }

    /// Keeps a lease alive once. `false`: it is gone.
    pub(crate) async fn keep(&self, id: i64) -> Result<bool, WireError> {
        let answer = self.call(|open| async move {
            let request = tokio_stream::once(LeaseKeepAliveRequest { id });
            let mut answers = open.lease().lease_keep_alive(open.sign(request)).await?.into_inner();
            let answer = answers.next().await.unwrap_or_else(|| Err(Status::unknown("no answer")))?;
            Ok(Response::new(answer))
        });
        answer.await.map(|answer| answer.ttl > 0)
    }

    /// Ends a lease, and with it whatever hangs on it.
    pub(crate) async fn revoke(&self, id: i64) -> Result<(), WireError> {
        let request = LeaseRevokeRequest { id };
        self.call(|open| async move { open.lease().lease_revoke(open.sign(request)).await }).await.map(drop)
    }

    /// Everything that happens to those keys from that revision on.
    pub(crate) async fn watch(
        &self,
        create: WatchCreateRequest,
    ) -> Result<Streaming<WatchResponse>, WireError> {
        self.call(|open| async move {
            let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
            // The watch ends with its requests, so they never end.
            let requests = tokio_stream::once(request).chain(tokio_stream::pending());
            open.watch().watch(open.sign(requests)).await
        })
        .await
    }

    /// Gives up the connection in use: the next call goes to the next node.
    pub(crate) async fn leave(&self) {
        let number = self.link.lock().await.number;
        self.give_up(number).await;
    }

    async fn call<T, F>(&self, call: impl FnOnce(Open) -> F) -> Result<T, WireError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let open = self.open().await?;
        let number = open.number;
        let outcome = timeout(CALL_LIMIT, call(open)).await;
        let error = match outcome {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => judge(&status),
            Err(_) => WireError::Unknown("no answer in time".to_owned()),
        };
        if matches!(error, WireError::Unknown(_)) {
            self.give_up(number).await;
        }
        Err(error)
    }

    /// The connection in use, or one to the next node that takes it.
    async fn open(&self) -> Result<Open, WireError> {
        let mut link = self.link.lock().await;
        if let Some(open) = &link.open {
            return Ok(open.clone());
        }
        let mut why = String::new();
        for _ in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(link.at % self.nodes.len()) else { break };
            match self.connect(node).await {
                Ok((channel, token)) => {
                    link.number += 1;
                    let open = Open { channel, token, number: link.number };
                    link.open = Some(open.clone());
                    return Ok(open);
                }
                Err(error) => why = format!("{}: {error}", node.uri()),
            }
            link.at = (link.at + 1) % self.nodes.len();
        }
        Err(WireError::Unreached(why))
    }

    async fn connect(&self, node: &Endpoint) -> Result<(Channel, Option<MetadataValue<Ascii>>), String> {
        let connected = node.connect().await;
        let channel = connected.map_err(|error| innermost(&error).to_string())?;
        let Some(login) = &self.login else { return Ok((channel, None)) };
        let request = AuthenticateRequest { name: login.name.clone(), password: login.password.to_string() };
        let mut auth = AuthClient::new(channel.clone());
        let answer = timeout(CALL_LIMIT, auth.authenticate(request)).await;
        let answer = answer.map_err(|_| "no answer to the login".to_owned())?;
        let token = answer.map_err(|status| format!("the login: {}", status.message()))?.into_inner().token;
        let mut token = MetadataValue::try_from(token).map_err(|_| "a strange login token".to_owned())?;
        token.set_sensitive(true);
        Ok((channel, Some(token)))
    }

    async fn give_up(&self, number: u64) {
        let mut link = self.link.lock().await;
        if link.open.as_ref().is_some_and(|open| open.number == number) {
            link.open = None;
            link.at = (link.at + 1) % self.nodes.len().max(1);
        }
    }
}

// === impl Open ===

impl Open {
    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_LIMIT)
    }

    fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_LIMIT)
    }

    fn sign<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        // A node without a leader must not answer from what it has: it may be old.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        request
    }
}

/// etcd's own words, and what they mean for the call.
fn judge(status: &Status) -> WireError {
    let text = status.message().to_owned();
    match status.code() {
        Code::ResourceExhausted if text.contains("space") => WireError::Full,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::OutOfRange
        | Code::NotFound
        | Code::Unimplemented => WireError::Refused(text),
        _ => WireError::Unknown(text),
    }
}

/// The reason itself: what wraps it only says "transport error".
fn innermost(error: &dyn Error) -> &dyn Error {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason
}

impl From<WireError> for StoreError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Full => Self::Full,
            other @ (WireError::Unreached(_) | WireError::Unknown(_) | WireError::Refused(_)) => {
                Self::Unavailable(other.to_string())
            }
        }
    }
}
