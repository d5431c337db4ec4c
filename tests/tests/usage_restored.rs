//! A machine is lost with its books and comes back from a backup: usage is what it was, frames that come again count once, and
//! what cannot come again is named.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use keyway_e2e::gateway::Outcome;
use keyway_e2e::usage::{Calls, Expected, Gate, Known, all_the_same, prices, settled, total, yaml};
use keyway_testkit::billing::Biller;
use keyway_testkit::process::Planes;

const CALLERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// What was billed for these numbers, and what was refused beside them.
fn of(all: &Expected, numbers: &[Range<u64>], refused: &[&Known]) -> Expected {
    let is_meant = |name: &str| {
        let number = name.split('.').next().and_then(|number| number.parse::<u64>().ok());
        number.is_some_and(|number| numbers.iter().any(|range| range.contains(&number)))
    };
    let charges = all.charges.iter().filter(|(name, _)| is_meant(name));
    let charges: BTreeMap<_, _> = charges.map(|(name, charge)| (name.clone(), charge.clone())).collect();
    Expected { charges, refused: refused.iter().flat_map(|known| known.refused.clone()).collect() }
}

/// What is left of a machine: the files that are kept elsewhere, root key and tokens.
fn lose(home: &Path) -> Outcome {
    for entry in fs::read_dir(home)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name == "root.key" || name.ends_with(".token") {
            true => {}
            false if path.is_dir() => fs::remove_dir_all(&path)?,
            false => fs::remove_file(&path)?,
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_machine_comes_back_with_its_usage() -> Outcome {
    let biller = Biller::start(prices())?;
    let mut planes = Planes::start(&yaml(&biller.provider.base_url()), 1)?;
    let gate = Gate::of(&planes.replicas)?;
    let backed_up = Calls::start(gate.clone(), CALLERS, 0..300).all().await?;
    let before = settled(&planes, &biller, &backed_up).await?;
    all_the_same(&planes, &before)?;
    let backup = planes.folder().join("backup").display().to_string();
    let small = planes.folder().join("small").display().to_string();
    for args in [vec!["backup", &backup], vec!["backup", &small, "--without-usage"]] {
        let ran = planes.cli(&args)?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    assert!(fs::metadata(&small)?.len() + (64 << 10) < fs::metadata(&backup)?.len());

    // Booked by the machine that is about to be lost, and by nobody else; what comes then waits at the replica.
    let booked_later = Calls::start(gate.clone(), CALLERS, 300..500).all().await?;
    let both =
        Known { refused: [backed_up.refused.clone(), booked_later.refused].concat(), ..Known::default() };
    settled(&planes, &biller, &both).await?;
    planes.control.kill()?;
    let waits = Calls::start(gate.clone(), CALLERS, 500..700).all().await?;
    lose(planes.data_dir())?;

    let ran = planes.cli(&["restore", &backup])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("Usage is the backup's, booked until 20"), "{ran:?}");
    planes.start_control()?;
    let expected = of(&settled_charges(&biller).await?, &[0..300, 500..700], &[&backed_up, &waits]);
    let end = Instant::now() + PATIENCE;
    while total(&planes)?.requests < expected.total().requests && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
    all_the_same(&planes, &expected)?;
    let doctor = planes.cli(&["doctor"])?;
    assert!(doctor.stdout.contains("did not come back after a restore"), "{doctor:?}");

    // The same backup once more, over books that have gone on: they stay.
    planes.control.stop()?;
    let ran = planes.cli(&["restore", &backup])?;
    assert!(ran.code == Some(0) && ran.stderr.contains("Usage is what was here"), "{ran:?}");
    planes.start_control()?;
    all_the_same(&planes, &expected)?;
    Ok(())
}

/// What the provider billed, once every answer has ended.
async fn settled_charges(biller: &Biller) -> Outcome<Expected> {
    let end = Instant::now() + PATIENCE;
    while !biller.is_quiet() {
        assert!(Instant::now() < end, "answers that never end");
        tokio::time::sleep(LOOK).await;
    }
    Ok(Expected { charges: biller.charges(), refused: Vec::new() })
}
