//! The body of a provider's reply and the connection that it comes over. Read to its end, the connection goes back to
//! the pool; dropped before, it is closed, which tells the provider at once.

use crate::{
    upstream::{Broken, Link},
    worker::Worker,
};
use bytes::Bytes;
use std::{
    rc::Rc,
    task::{Context, Poll},
};

/// Where a reply's bytes come from.
#[derive(Debug)]
pub(crate) struct Source {
    worker: Rc<Worker>,
    /// `None` once the body has ended.
    link: Option<Link>,
    /// Read ahead, to see whether there is anything.
    first: Option<Bytes>,
}

/// Why a body was not had.
#[derive(Debug)]
pub(crate) enum Uncollected {
    Cut,
    /// Larger than was allowed.
    TooLarge,
}

// === impl Source ===

impl Source {
    pub(crate) fn new(worker: Rc<Worker>, link: Link) -> Self {
        Self { worker, link: Some(link), first: None }
    }

    /// Bytes to come, where the provider said so.
    pub(crate) fn length(&self) -> Option<u64> {
        self.link.as_ref()?.left()
    }

    /// The next piece; `None` at a clean end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(link) = &mut self.link else { return Poll::Ready(None) };
        let piece = std::task::ready!(link.poll_piece(cx));
        match &piece {
            None => self.rest(),
            Some(Err(_)) => self.link = None,
            Some(Ok(_)) => {}
        }
        Poll::Ready(piece)
    }

    /// As `poll_piece`.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, Broken>> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// Waits for the first byte of a body whose length nobody said; `false`: it is empty.
    ///
    /// # Errors
    /// It was cut.
    pub(crate) async fn begins(&mut self) -> Result<bool, Broken> {
        while let Some(piece) = self.piece().await.transpose()? {
            if !piece.is_empty() {
                self.first = Some(piece);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The whole body.
    ///
    /// # Errors
    /// It was cut or is larger than `limit`.
    pub(crate) async fn collect(mut self, limit: usize) -> Result<Bytes, Uncollected> {
        let mut whole = super::Gathered::default();
        while let Some(piece) = self.piece().await {
            let piece = piece.map_err(|_| Uncollected::Cut)?;
            if whole.len() + piece.len() > limit {
                return Err(Uncollected::TooLarge);
            }
            // Saves a poll where the length said that this was all.
            let is_all = self.link.as_ref().is_none_or(Link::is_over);
            if is_all {
                self.rest();
            }
            if is_all && whole.is_empty() {
                return Ok(piece);
            }
            whole.add(piece);
        }
        Ok(whole.take())
    }

    /// Whether the length said that this was all: then nobody may ask for the end.
    pub(super) fn is_over(&mut self) -> bool {
        if self.link.as_ref().is_some_and(Link::is_over) {
            self.rest();
        }
        self.link.is_none() && self.first.is_none()
    }

    fn rest(&mut self) {
        if let Some(link) = self.link.take() {
            self.worker.pool.give_back(link);
        }
    }
}
