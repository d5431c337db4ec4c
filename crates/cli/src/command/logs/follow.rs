//! `keyway logs -f`: requests as they end. A control plane that goes away is waited for; Ctrl-C and a reader that went away are
//! a good end.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::{Logs, Printed};
use crate::args::Output;
use crate::failure::Failure;
use crate::print;
use crate::server::{Events, Server};

/// A stream is opened anew after this, whether or not it broke.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// A control plane that is away is tried again after this, for as long as nobody presses Ctrl-C.
const TRY_AGAIN: Duration = Duration::from_millis(300);

pub(super) async fn run(server: &Server, output: Output, verb: &Logs) -> Result<(), Failure> {
    tokio::select! {
        done = follow(server, output, verb) => done,
        // Where Ctrl-C cannot be caught it ends this process by itself.
        Ok(()) = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn follow(server: &Server, output: Output, verb: &Logs) -> Result<(), Failure> {
    let path = verb.path("/logs/follow", &[]);
    let mut printed = Printed::new(output);
    let mut events = server.events(&path, LIFE).await?;
    while shown(&mut events, &mut printed).await {
        print::note("The stream broke off; requests that end until it is there again are not shown.");
        events = again(server, &path).await?;
    }
    Ok(())
}

/// Shows what comes until the stream ends; false: nobody reads any more.
async fn shown(events: &mut Events, printed: &mut Printed) -> bool {
    while let Ok(Some((name, event))) = events.named().await {
        match name.as_str() {
            "record" if !printed.record(&event) => return false,
            "missed" => print::note(&format!("missed {} requests: more than could be sent", missed(&event))),
            _ => {}
        }
    }
    true
}

/// The stream as soon as there is one.
async fn again(server: &Server, path: &str) -> Result<Events, Failure> {
    loop {
        sleep(TRY_AGAIN).await;
        match server.events(path, LIFE).await {
            Err(failure) if failure.is_passing() => {}
            other => return other,
        }
    }
}

fn missed(event: &Value) -> u64 {
    let named = ["missed", "count"].iter().find_map(|name| event.get(name));
    named.unwrap_or(event).as_u64().unwrap_or_default()
}
