//! Follows one rollout by its events until its goal is reached or the time is over. A control plane that goes away is
//! waited for, and asked plainly where its stream says nothing.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::name::Name;
use super::progress::Progress;
use super::view::View;
use super::wait::{Decision, Goal, decide};
use crate::failure::Failure;
use crate::server::{Events, Server};

/// Without an event for so long the rollout is asked for: deadlines pass without one.
const QUIET: Duration = Duration::from_secs(1);
/// A control plane that is away is tried again after this.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Where to look.
pub(super) struct Follow<'a> {
    pub(super) server: &'a Server,
    pub(super) name: &'a Name,
    pub(super) goal: Goal,
    pub(super) deadline: Instant,
    pub(super) events: Option<Events>,
}

// === impl Follow ===

impl Follow<'_> {
    /// From the first view to the last one, with what it comes to.
    pub(super) async fn run(
        mut self,
        first: Value,
        progress: &mut Progress,
    ) -> Result<(Value, Decision), Failure> {
        let id = View::read(&first)?.id;
        let mut newest = first;
        loop {
            let view = View::read(&newest)?;
            match decide(&view, &id, self.goal) {
                Decision::GoOn => progress.saw(&newest, &view),
                decision => return Ok((newest, decision)),
            }
            match timeout_at(self.deadline, self.next()).await {
                Ok(next) => newest = next?,
                Err(_) => return Ok((newest, Decision::TimedOut)),
            }
        }
    }

    /// The next view, by whatever way it comes. Only the deadline ends its patience with what is away.
    async fn next(&mut self) -> Result<Value, Failure> {
        loop {
            let limit = self.deadline.saturating_duration_since(Instant::now());
            match self.events.as_mut() {
                Some(events) => match timeout(QUIET, events.next()).await {
                    Ok(Ok(Some(view))) => return Ok(view),
                    Ok(Ok(None) | Err(_)) => {
                        self.events = None;
                        sleep(TRY_AGAIN).await;
                    }
                    Err(_) => {}
                },
                None => match self.server.events(&self.name.path("/events"), limit).await {
                    Ok(events) => {
                        self.events = Some(events);
                        continue;
                    }
                    Err(failure) if failure.is_passing() => {
                        sleep(TRY_AGAIN).await;
                        continue;
                    }
                    Err(failure) => return Err(failure),
                },
            }
            match self.server.get(&self.name.path("/rollout")).await {
                Err(failure) if failure.is_passing() => self.events = None,
                other => return other,
            }
        }
    }
}
