//! A panic in one request is that request's fault alone: it is told as a failure of the gateway, and the others of the
//! core and of the connection go on. What it says has gone to the log by the process's hook, never to a caller.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

/// Something went wrong that nobody had thought of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// What a future comes to. One that panicked is never polled again, so that nothing half done is seen. It comes pinned: by
/// value it would be moved, and room set aside for it twice, with every request.
///
/// # Errors
/// When it panics.
pub(crate) async fn caught<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panicked> {
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(Err(Panicked)), |polled| polled.map(Ok))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, future::pending, pin::pin};

    struct Guard<'a>(&'a Cell<bool>);

    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_future_and_its_guards_run() {
        assert_eq!(caught(pin!(async { 7 })).await, Ok(7));
        let dropped = Cell::new(false);
        let panics = async {
            let _guard = Guard(&dropped);
            tokio::task::yield_now().await;
            assert!(!dropped.get(), "not dropped before it panics");
            panic!("with words that no caller sees");
        };
        assert_eq!(caught(pin!(panics)).await, Err::<(), _>(Panicked));
        assert!(dropped.get());
        let mut endless = pin!(pending::<()>());
        let waits = tokio::time::timeout(std::time::Duration::from_millis(1), caught(endless.as_mut()));
        assert!(waits.await.is_err(), "what waits waits on");
    }
}
