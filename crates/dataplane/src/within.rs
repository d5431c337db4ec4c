//! A limit of time that costs nothing where the answer is there already: the timer is only set when it must be waited.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// The time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late;

/// What `future` gives, unless it takes longer than `limit` from its first wait on.
///
/// # Errors
/// It took longer.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Late> {
    let mut future = pin!(future);
    if let Poll::Ready(ready) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return Ok(ready);
    }
    tokio::time::timeout(limit, future).await.map_err(|_| Late)
}
