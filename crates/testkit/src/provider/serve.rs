//! The sockets of the simulated provider: accepts, reads a request, walks the steps of its answer.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::plan::plan;
use super::read::{Unreadable, request};
use super::reply::{Ending, Step};
use super::seen::Outcome;
use super::state::State;

/// Bytes of further requests that are taken in while an answer is being written.
const AHEAD_LIMIT: usize = 1024 * 1024;

/// Serves until `stop` resolves; every connection ends with it.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>, stop: oneshot::Receiver<()>) {
    let mut stop = stop;
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => return,
            Some(_) = connections.join_next() => continue,
        };
        if let Ok((stream, _)) = accepted {
            let number = state.connected();
            connections.spawn(connection(stream, number, Arc::clone(&state)));
        }
    }
}

async fn connection(mut stream: TcpStream, number: u64, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = BytesMut::new();
    loop {
        let (head, body) = match request(&mut stream, &mut buffer).await {
            Ok(request) => request,
            Err(Unreadable::Closed) => return,
            Err(Unreadable::Broken(bytes)) => return state.broken(bytes),
        };
        let (place, reply, asked) = state.answer(number, head, body);
        let steps = plan(&reply, &asked);
        let (read, write) = stream.split();
        let ended = tokio::select! {
            biased;
            ended = walk(&steps, write, &state) => ended,
            () = gone(read, &mut buffer) => Walk::CallerLeft,
        };
        let now = Instant::now();
        match ended {
            Walk::Done => state.ended(place, Outcome::Answered(now)),
            Walk::CallerLeft => return state.ended(place, Outcome::CallerLeft(now)),
            Walk::End(ending) => {
                state.ended(place, Outcome::Ended(now));
                if ending == Ending::Reset {
                    let _ = stream.set_zero_linger();
                }
                return;
            }
        }
    }
}

enum Walk {
    Done,
    CallerLeft,
    End(Ending),
}

async fn walk(steps: &[Step], mut to: WriteHalf<'_>, state: &State) -> Walk {
    for step in steps {
        let written = match step {
            Step::Send(bytes) => to.write_all(bytes).await,
            Step::Repeat { bytes, times } => repeat(&mut to, bytes, *times).await,
            Step::Drip { bytes, gap } => drip(&mut to, bytes, *gap).await,
            Step::Wait(time) => {
                tokio::time::sleep(*time).await;
                Ok(())
            }
            Step::Hold => {
                state.released().await;
                Ok(())
            }
            Step::Stall => std::future::pending().await,
            Step::End(ending) => return Walk::End(*ending),
        };
        if written.is_err() {
            return Walk::CallerLeft;
        }
    }
    Walk::Done
}

async fn repeat(to: &mut WriteHalf<'_>, bytes: &Bytes, times: u64) -> std::io::Result<()> {
    for _ in 0..times {
        to.write_all(bytes).await?;
    }
    Ok(())
}

async fn drip(to: &mut WriteHalf<'_>, bytes: &Bytes, gap: std::time::Duration) -> std::io::Result<()> {
    for byte in bytes.chunks(1) {
        to.write_all(byte).await?;
        tokio::time::sleep(gap).await;
    }
    Ok(())
}

/// Resolves when the caller has closed or reset the connection.
async fn gone(mut from: ReadHalf<'_>, buffer: &mut BytesMut) {
    while buffer.len() < AHEAD_LIMIT {
        match from.read_buf(buffer).await {
            Ok(1..) => {}
            Ok(_) | Err(_) => return,
        }
    }
    std::future::pending().await
}
