//! The two planes as processes of their own, joined by nothing but the fleet stream.

use keyway_e2e::gateway::{CHAT, Outcome, TOKEN, chat, yaml};
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{Planes, Replica};
use keyway_testkit::provider::Provider;

/// The status of one chat request, asked on a connection of its own.
async fn status(replica: &Replica, model: &str) -> Outcome<u16> {
    let address = replica.base_url.trim_start_matches("http://").parse()?;
    let request = post(CHAT, TOKEN, "", chat(model).as_bytes());
    Ok(Caller::connect(address).await?.ask(&request).await?.status)
}

#[tokio::test]
async fn replicas_serve_what_the_control_plane_holds() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider), 2)?;
    for replica in &planes.replicas {
        assert_eq!(status(replica, "sim/m").await?, 200);
    }
    // A replica that joins later gets the whole state.
    planes.add()?;
    let fleet = planes.cli(&["--output", "json", "fleet", "list"])?;
    assert_eq!(fleet.code, Some(0), "{fleet:?}");
    let fleet: Vec<serde_json::Value> = serde_json::from_str(&fleet.stdout)?;
    assert_eq!(fleet.len(), 3, "{fleet:?}");
    for replica in &planes.replicas {
        assert_eq!(status(replica, "sim/m").await?, 200);
        assert_eq!(status(replica, "other/m").await?, 404);
    }
    Ok(())
}

#[tokio::test]
async fn replicas_serve_on_when_the_control_plane_has_gone() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider), 1)?;
    let ended = planes.control.stop()?;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", planes.control.stderr());
    for replica in &planes.replicas {
        assert_eq!(status(replica, "sim/m").await?, 200);
    }
    for replica in &mut planes.replicas {
        let ended = replica.process.stop()?;
        assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", replica.process.stderr());
    }
    Ok(())
}
