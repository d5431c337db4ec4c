//! One of ten replicas is frozen with SIGSTOP: a rotation ends for the nine others at the usual time and names the tenth.

use std::time::Duration;

use keyway_e2e::frozen::{Frozen, replicas};
use keyway_e2e::gateway::{Gateway, Outcome};
use keyway_e2e::rotation::{quantile, rotate, secret, shown, state, until, yaml};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::Provider;

const REPLICAS: u32 = 10;
/// Rotations whose median is the usual time.
const USUAL: u32 = 5;
/// How much longer than usual the nine may take: the machine is shared, and what would be waited for takes 2 s.
const MORE: (u32, Duration) = (5, Duration::from_millis(300));
/// Until something happens by itself, on a busy machine.
const BY_ITSELF: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_of_ten_replicas_frozen_a_rotation_ends_for_nine_at_the_usual_time() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(REPLICAS))?;
    let mut acks = Vec::new();
    for number in 1..=USUAL {
        let change = rotate(&gateway.keyway, &secret(number), &["--overlap", "0s", "--wait"])?;
        change.ends("retired");
        acks.push(change.last_ack().ok_or("no ack_micros")?);
    }
    let usual = quantile(&acks, 0.5);

    let stopped = replicas(&gateway.keyway)?.into_iter().nth(4).ok_or("no replicas")?;
    let frozen = Frozen::new(stopped.pid)?;
    let change = rotate(&gateway.keyway, &secret(USUAL + 1), &["--overlap", "0s", "--wait"])?;
    let ack = change.last_ack().ok_or("no ack_micros")?;
    println!(
        "usually {usual:?}; with one of ten frozen the nine took {ack:?}, and the command {:?}",
        change.took
    );
    assert_eq!(change.code, Some(5), "{change:?}");
    assert_eq!((change.number("acknowledged"), change.number("replicas")), (Some(9), Some(10)), "{change:?}");
    for list in ["silent", "unconfirmed"] {
        assert_eq!(change.list(list), [stopped.id.as_str()], "{list}: {change:?}");
    }
    assert_eq!(change.number("failed"), Some(0), "{change:?}");
    assert!(ack < usual * MORE.0 + MORE.1, "{ack:?}, usually {usual:?}");

    drop(frozen);
    let old = u64::from(USUAL) + 1;
    until(BY_ITSELF, "the old version is retired", || Ok(state(&shown(&gateway.keyway)?, old) == "retired"))
        .await?;
    gateway.goes_on(None).await
}
