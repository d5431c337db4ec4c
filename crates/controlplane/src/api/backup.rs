//! A backup on its way out: written by a thread that may wait, sent as it comes. A backup that fails in the middle
//! breaks the connection off, so that nobody takes half of one for a whole.

use super::{
    answer::{Answer, Fault},
    call::Call,
    route::BYTES,
};
use crate::{backup::Begun, resource::Refusal, store::StoreError};
use axum::body::Body;
use bytes::Bytes;
use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

/// Bytes of one piece, and pieces that wait for a slow caller.
const PIECE: usize = 64 << 10;
const PIECES: usize = 8;

type Piece = Result<Bytes, StoreError>;

/// Hands on what is written in pieces.
struct Pipe(mpsc::Sender<Piece>);

pub(super) async fn stream(call: Call) -> Result<Answer, Fault> {
    let with_usage = match call.query.get("usage").map(String::as_str) {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(Refusal::field("usage", "is true or false").into()),
    };
    call.record("").await?;
    let begun = begin(&call, with_usage).await?;
    let (pipe, mut pieces) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(PIECE, Pipe(pipe.clone()));
        let flushed =
            |out: &mut BufWriter<Pipe>| out.flush().map_err(|error| StoreError::Failed(error.to_string()));
        if let Err(error) = begun(&mut out).and_then(|()| flushed(&mut out)) {
            // Whoever waited for it is gone or is told.
            let _ = pipe.blocking_send(Err(error));
        }
    });
    // What is wrong at once is answered as such.
    let first = match pieces.recv().await {
        Some(Ok(first)) => first,
        Some(Err(error)) => return Err(Refusal::from(error).into()),
        None => return Err(Fault::internal("the backup is empty")),
    };
    let all = tokio_stream::once(Ok(first)).chain(ReceiverStream::new(pieces));
    Ok(Answer::stream(BYTES, Body::from_stream(all)))
}

/// Takes in what changes together while no change is made, and only that: a slow caller keeps nobody waiting.
async fn begin(call: &Call, with_usage: bool) -> Result<Begun, Fault> {
    let _nothing_changes = call.plane().still().await;
    let backup = Arc::clone(&call.api.backup);
    let begun = tokio::task::spawn_blocking(move || backup.begin(with_usage)).await;
    let begun = begun.map_err(|_| Fault::internal("a thread of the backup failed"))?;
    Ok(begun.map_err(Refusal::from)?)
}

// === impl Pipe ===

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
