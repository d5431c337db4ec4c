//! A stream on its way to the caller: complete events only, all that are ready together in one write. A fault ends it
//! with the dialect's own error event and without its end marker, so that a cut answer never looks complete.

use super::{Flow, Gathered, Source};
use crate::{
    meter::{Outcome, Tally},
    open::Cut,
    refusal::Refusal,
    worker::Worker,
};
use bytes::Bytes;
use keyway_dialect::stream::Ending;
use std::{
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// Bytes that are gathered before they go out, however much more is ready.
const GATHER_LIMIT: usize = 64 * 1024;

/// One open stream.
#[derive(Debug)]
pub(crate) struct Events {
    worker: Rc<Worker>,
    source: Option<Source>,
    flow: Flow,
    gathered: Gathered,
    idle: Duration,
    /// Why it must be given up before anything more is read.
    pub(crate) broken: Option<&'static str>,
    tally: Tally,
}

// === impl Events ===

impl Events {
    pub(crate) fn new(
        worker: Rc<Worker>,
        (source, flow, gathered): (Source, Flow, Gathered),
        idle: Duration,
        tally: Tally,
    ) -> Self {
        tally.goes_on(idle);
        Self { worker, source: Some(source), flow, gathered, idle, broken: None, tally }
    }

    /// Bytes to write now; `None` at the end.
    pub(super) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.tally.is_asked();
        // What came with the first event leaves with the headers, in one write and at once.
        let limit = if self.tally.has_begun() { GATHER_LIMIT } else { 1 };
        while self.gathered.len() < limit {
            let Some(source) = &mut self.source else { break };
            if let Some(reason) = self.broken.take() {
                self.cut(reason);
                break;
            }
            if self.worker.is_cutting.get() {
                self.cut("server_draining");
                break;
            }
            if let Some(cut) = self.tally.is_cut().filter(|cut| *cut != Cut::Late) {
                self.cut(cut.reason());
                break;
            }
            match source.poll_piece(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    let lease = self.tally.lease.as_ref();
                    match self.flow.push(piece, lease, &mut self.gathered) {
                        // It may have been a ping, of which nothing goes out in another dialect.
                        Ok(true) => self.tally.goes_on(self.idle),
                        Ok(false) => {}
                        Err(reason) => self.cut(reason),
                    }
                }
                Poll::Ready(Some(Err(_))) if !self.flow.is_complete() => self.cut("upstream_stream_cut"),
                Poll::Ready(_) => self.end(),
                Poll::Pending if self.gathered.is_empty() => return self.wait(cx),
                Poll::Pending => break,
            }
        }
        if !self.gathered.is_empty() {
            self.tally.first_token();
            self.tally.gives();
            return Poll::Ready(Some(self.take()));
        }
        Poll::Ready(None)
    }

    /// Too late is only what has not come by now.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.tally.is_cut() == Some(Cut::Late) {
            self.cut("upstream_idle_timeout");
            return Poll::Ready(Some(self.take()));
        }
        self.tally.wait_for_cut(cx);
        Poll::Pending
    }

    fn end(&mut self) {
        match self.flow.finish(self.tally.lease.as_ref(), &mut self.gathered) {
            Ending::Complete => self.close(Outcome::Served),
            Ending::Failed => self.close(Outcome::Broken("upstream_stream_error")),
            Ending::Cut => self.cut("upstream_stream_cut"),
        }
    }

    fn cut(&mut self, reason: &'static str) {
        // Nothing of a whole answer is missing, whatever becomes of its connection.
        if self.flow.is_complete() {
            return self.end();
        }
        let fault = self.tally.fault(Refusal::in_band(reason));
        self.gathered.add(self.flow.broken_off(fault));
        self.close(Outcome::Broken(reason));
    }

    /// What goes out now.
    fn take(&mut self) -> Bytes {
        let bytes = self.gathered.take();
        self.tally.story.reply_bytes += bytes.len() as u64;
        bytes
    }

    fn close(&mut self, outcome: Outcome) {
        self.source = None;
        // What waits goes out still.
        self.tally.story.reply_bytes += self.gathered.len() as u64;
        self.saw();
        self.tally.close(outcome);
    }

    fn saw(&mut self) {
        self.tally.saw(self.flow.seen());
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // The caller left: what came until now is what was used.
        self.saw();
        // Many close as soon as they have the end marker.
        if self.flow.is_complete() && self.gathered.is_empty() {
            self.tally.close(Outcome::Served);
        }
    }
}
