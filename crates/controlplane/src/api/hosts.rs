//! Hosts with a supervisor: how many replicas run there, and upgrades.

use super::{
    answer::{Answer, Fault},
    call::Call,
};
use crate::{
    fleet::{Host, NotConnected},
    resource::{Body, HostDocument, Kind},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Replicas on one host at most: as many as a supervisor starts.
const REPLICA_LIMIT: u32 = 64;

/// How many replicas are wanted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Scale {
    /// From 1 to 64.
    replicas: u32,
}

pub(super) async fn list(call: Call) -> Result<Answer, Fault> {
    Answer::json(&call.plane().fleet().hosts())
}

pub(super) async fn show(call: Call) -> Result<Answer, Fault> {
    Answer::json(&one(&call)?)
}

/// It stands in the store: a supervisor that is away hears it when it comes back.
pub(super) async fn scale(call: Call) -> Result<Answer, Fault> {
    let Scale { replicas } = call.spec("")?;
    if !(1..=REPLICA_LIMIT).contains(&replicas) {
        let text = format!("`replicas` must be from 1 to {REPLICA_LIMIT}");
        return Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", text));
    }
    let name = one(&call)?.name;
    let author = call.author(&Kind::Host.key(&name).to_string());
    let wanted = |proposal: &mut crate::resource::Proposal<'_>| {
        proposal.put(Kind::Host, &name, Body::Host(HostDocument { replicas }))
    };
    call.plane().change(&author, wanted).await?;
    // The same number again fills the places of drained replicas.
    call.plane().fleet().scale(&name, replicas);
    Answer::json(&one(&call)?)
}

pub(super) async fn upgrade(call: Call) -> Result<Answer, Fault> {
    let name = one(&call)?.name;
    call.record(&Kind::Host.key(&name).to_string()).await?;
    let failed = |NotConnected| {
        let text = format!("the supervisor of `{name}` is not connected");
        Fault::new(StatusCode::CONFLICT, "not_connected", text)
    };
    call.plane().fleet().upgrade(&name).map_err(failed)?;
    Answer::json(&one(&call)?)
}

/// By its name, or by its machine's if only one supervisor runs there.
fn one(call: &Call) -> Result<Host, Fault> {
    let asked = call.param("name");
    let mut hosts = call.plane().fleet().hosts();
    if let Some(place) = hosts.iter().position(|host| host.name == asked) {
        return Ok(hosts.swap_remove(place));
    }
    let mut there: Vec<Host> = hosts.iter().filter(|host| host.host == asked).cloned().collect();
    match there.len() {
        1 => Ok(there.swap_remove(0)),
        0 => {
            let nearest = keyway_config::nearest(asked, hosts.iter().map(|host| host.name.as_str()));
            Err(Fault::not_found("host", asked, nearest))
        }
        _ => {
            let names: Vec<&str> = there.iter().map(|host| host.name.as_str()).collect();
            let text = format!("several supervisors run on `{asked}`; name one of {}", names.join(", "));
            Err(Fault::new(StatusCode::CONFLICT, "ambiguous", text))
        }
    }
}
