//! One replica's stream of usage: a batch in, booked, and only then the word that it is. What cannot be booked ends the
//! stream, and the replica keeps it.

use super::service::Welcome;
use crate::{
    plane::unix_millis,
    usage::{Books, UsageError},
};
use keyway_proto::fleet::v1::{Accepted, Batch};
use std::{pin::Pin, sync::Arc};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, server::StreamingService};

/// Answers that wait for a slow replica, which has one batch under way.
const ANSWERS: usize = 1;

type Out = mpsc::Sender<Result<Accepted, Status>>;

/// The call `Report`.
pub(super) struct Report {
    pub(super) books: Arc<Books>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) welcome: Welcome,
}

impl StreamingService<Batch> for Report {
    type Response = Accepted;
    type ResponseStream = ReceiverStream<Result<Accepted, Status>>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Batch>>) -> Self::Future {
        let (out, answers) = mpsc::channel(ANSWERS);
        let welcome = self.welcome.clone();
        tokio::spawn(run(Arc::clone(&self.books), welcome, request.into_inner(), self.stopping.clone(), out));
        Box::pin(async { Ok(Response::new(ReceiverStream::new(answers))) })
    }
}

async fn run(
    books: Arc<Books>,
    welcome: Welcome,
    mut from: Streaming<Batch>,
    mut stopping: watch::Receiver<bool>,
    out: Out,
) {
    loop {
        let batch = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => {
                // Best effort: it sees the end of the connection too.
                let _ = out.try_send(Err(Status::unavailable("the control plane stops")));
                return;
            }
            message = from.message() => match message {
                Ok(Some(batch)) => batch,
                Ok(None) | Err(_) => return,
            },
        };
        let incarnation = batch.incarnation.clone();
        let answer = match welcome.check() {
            Err(status) => Err(status),
            Ok(()) if !welcome.speaks_for(&batch.replica) => {
                Err(Status::permission_denied("this certificate speaks for no replica of that id"))
            }
            Ok(()) => {
                let booked = books.book(batch, unix_millis()).await;
                booked.map(|last| Accepted { incarnation, last }).map_err(|error| status(&error))
            }
        };
        let ended = answer.is_err();
        if out.send(answer).await.is_err() || ended {
            return;
        }
    }
}

fn status(error: &UsageError) -> Status {
    match error {
        UsageError::Malformed(_) => Status::invalid_argument(error.to_string()),
        UsageError::Full | UsageError::NoRoom { .. } => Status::resource_exhausted(error.to_string()),
        UsageError::Newer { .. }
        | UsageError::Damaged(_)
        | UsageError::Failed(_)
        | UsageError::TooLong
        | UsageError::Ended => Status::unavailable(error.to_string()),
    }
}
