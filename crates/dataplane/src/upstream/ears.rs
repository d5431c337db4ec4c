//! What a connection calls when it has something to do.
//!
//! hyper's connection and the body that it fills call each other with every piece. One task drives both here, so such a
//! call would have the whole task run once more for nothing: what is called while the task is at it is only noted, and
//! nothing but the socket wakes it.

use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll, Wake, Waker},
};

/// One connection's.
#[derive(Debug)]
pub(super) struct Ears {
    /// Something was called since the connection was last driven.
    called: AtomicBool,
    /// The task is at the connection now.
    is_at_it: AtomicBool,
    task: Mutex<Waker>,
}

// === impl Ears ===

impl Ears {
    pub(super) fn new() -> Arc<Self> {
        let task = Mutex::new(Waker::noop().clone());
        Arc::new(Self { called: AtomicBool::new(true), is_at_it: AtomicBool::new(false), task })
    }

    /// Whether there may be something to do at the connection since this was last asked.
    pub(super) fn were_called(&self) -> bool {
        self.called.swap(false, Relaxed)
    }

    /// There may be.
    pub(super) fn call(&self) {
        self.called.store(true, Relaxed);
    }

    /// Nobody uses the connection: it keeps no task in memory.
    pub(super) fn forget(&self) {
        *self.task.lock() = Waker::noop().clone();
    }

    /// Lets the task look at the connection. A call is either seen here or wakes the task, whichever thread it comes from: each
    /// side writes its mark before it reads the other's, in one order for all. Where it must wait although something was called meanwhile, it is woken.
    pub(super) fn at<T>(&self, cx: &Context<'_>, look: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let mut task = self.task.lock();
        if !task.will_wake(cx.waker()) {
            task.clone_from(cx.waker());
        }
        drop(task);
        self.is_at_it.store(true, Relaxed);
        let seen = look();
        self.is_at_it.store(false, SeqCst);
        if seen.is_pending() && self.called.load(SeqCst) {
            cx.waker().wake_by_ref();
        }
        seen
    }
}

impl Wake for Ears {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.called.store(true, SeqCst);
        if !self.is_at_it.load(SeqCst) {
            self.task.lock().wake_by_ref();
        }
    }
}
