//! What `keyway usage` says is what the provider billed: to the request, the token and the nano-dollar, whatever happens to the
//! control plane meanwhile and however often replicas are replaced.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keyway_e2e::gateway::Outcome;
use keyway_e2e::usage::{
    Answered, Calls, Gate, REPORTS, all_the_same, crossed, prices, rows, settled, settled_but, total, usage,
    yaml,
};
use keyway_testkit::billing::Biller;
use keyway_testkit::process::Planes;
use serde_json::Value;

/// Requests at once.
const CALLERS: usize = 24;
/// What a replica that is killed may lose of what has ended: its records are written within this.
const UNWRITTEN: Duration = Duration::from_millis(10);
/// How long a thread may wait for a core of a machine that has fewer than all of this wants.
const BUSY: Duration = Duration::from_millis(100);

/// Kills the control plane and starts it again so many requests later.
async fn kill_control(planes: &mut Planes, calls: &Calls, at: u64, again: u64) -> Outcome {
    calls.until(at).await?;
    planes.control.kill()?;
    calls.until(again).await?;
    Ok(planes.start_control()?)
}

/// Lets a replica finish what it is doing and starts it again.
async fn replace(planes: &mut Planes, gate: &Gate, calls: &Calls, (place, at): (usize, u64)) -> Outcome {
    calls.until(at).await?;
    gate.set(place, false);
    let replica = planes.replicas.get_mut(place).ok_or("no such replica")?;
    let ended = replica.process.stop()?;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", replica.process.stderr());
    replica.start_again()?;
    replica.until_ready()?;
    gate.set(place, true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_are_reported_to_the_nano_dollar() -> Outcome {
    let began = Instant::now();
    let biller = Biller::start(prices())?;
    let mut planes = Planes::start(&yaml(&biller.provider.base_url()), 3)?;
    let gate = Gate::of(&planes.replicas)?;
    let calls = Calls::start(gate.clone(), CALLERS, 0..10_000);
    kill_control(&mut planes, &calls, 1000, 2000).await?;
    replace(&mut planes, &gate, &calls, (0, 2500)).await?;
    kill_control(&mut planes, &calls, 3500, 3600).await?;
    // Away while a replica ends and another one begins: its counts stay on its disk.
    calls.until(4500).await?;
    planes.control.kill()?;
    replace(&mut planes, &gate, &calls, (1, 5000)).await?;
    planes.start_control()?;
    kill_control(&mut planes, &calls, 7000, 7001).await?;
    replace(&mut planes, &gate, &calls, (2, 8000)).await?;
    kill_control(&mut planes, &calls, 9000, 9500).await?;
    let known = calls.all().await?;
    let asked = began.elapsed();
    let expected = settled(&planes, &biller, &known).await?;
    all_the_same(&planes, &expected)?;
    let attempts: usize = expected.charges.values().map(|charge| charge.attempts).sum();
    println!(
        "{:?}\n{attempts} attempts; control plane killed 5 times, 3 replicas replaced; {} connections in vain; \
         {asked:?} until all were answered, {:?} in all",
        expected.total(),
        known.unanswered.len(),
        began.elapsed()
    );
    assert_eq!(expected.total().requests, 10_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_wait_on_disk_for_a_control_plane_that_is_away() -> Outcome {
    let biller = Biller::start(prices())?;
    let mut planes = Planes::start(&yaml(&biller.provider.base_url()), 2)?;
    let gate = Gate::of(&planes.replicas)?;
    planes.control.kill()?;
    let calls = Calls::start(gate.clone(), CALLERS, 20_000..22_000);
    replace(&mut planes, &gate, &calls, (0, 1000)).await?;
    let known = calls.all().await?;
    planes.start_control()?;
    let expected = settled(&planes, &biller, &known).await?;
    all_the_same(&planes, &expected)?;
    println!("{:?}, all of it while the control plane was away", expected.total());
    assert_eq!(expected.total().requests, 2000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_crosses_dialects_is_reported_to_the_nano_dollar_too() -> Outcome {
    let biller = Biller::start(prices())?;
    let planes = Planes::start(&yaml(&biller.provider.base_url()), 2)?;
    let numbers = 60_000..64_000;
    let asked = numbers.clone().filter_map(crossed).count() as u64;
    let calls = Calls::of(Gate::of(&planes.replicas)?, CALLERS, numbers, crossed);
    let known = calls.all().await?;
    let expected = settled(&planes, &biller, &known).await?;
    all_the_same(&planes, &expected)?;
    println!("{:?}, all of it translated", expected.total());
    assert_eq!(expected.total().requests, asked);
    Ok(())
}

/// The ids of all records.
fn recorded(planes: &Planes) -> Outcome<BTreeSet<String>> {
    let logs = planes.cli(&["logs", "--since", "2h", "--limit", "100000", "--output", "json"])?;
    assert_eq!(logs.code, Some(0), "{logs:?}");
    let id = |line: &str| {
        let record: Value = serde_json::from_str(line)?;
        let id = record.get("id").and_then(Value::as_str).ok_or("a record without an id")?;
        Ok(id.to_owned())
    };
    logs.stdout.lines().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replica_loses_what_was_in_flight_and_no_more() -> Outcome {
    let biller = Biller::start(prices())?;
    let mut planes = Planes::start(&yaml(&biller.provider.base_url()), 2)?;
    let gate = Gate::of(&planes.replicas)?;
    let calls = Calls::start(gate.clone(), CALLERS, 40_000..43_000);
    let mut kills = Vec::new();
    for (place, at) in [(0, 500), (1, 1200), (0, 2000)] {
        calls.until(at).await?;
        let replica = planes.replicas.get_mut(place).ok_or("no such replica")?;
        let before = Instant::now();
        replica.process.kill()?;
        kills.push((before, Instant::now()));
        gate.set(place, false);
        replica.start_again()?;
        replica.until_ready()?;
        gate.set(place, true);
    }
    let known = calls.all().await?;
    let expected = settled_but(&planes, &biller, &known).await?;
    let said = total(&planes)?;
    let lost = expected.total().requests - said.requests;
    let recorded = recorded(&planes)?;
    let missing: Vec<_> = known.answered.iter().filter(|one| !recorded.contains(&one.id)).collect();
    // How long each had ended when its replica was killed, by the nearest kill. The caller may read the last bytes, or that
    // there are no more, a little after that.
    let age = |one: &&Answered| {
        let before = kills.iter().filter(|(_, after)| one.at <= *after + BUSY);
        before.map(|(before, _)| before.saturating_duration_since(one.at)).min()
    };
    let ages: Vec<_> = missing.iter().map(age).collect();
    let late = ages.iter().filter(|age| age.is_none_or(|age| age > UNWRITTEN)).count();
    let broken = known.unanswered.iter().filter(|name| expected.charges.contains_key(*name)).count();
    println!(
        "{lost} of {} requests lost by {} kills: {broken} were cut, {} had been answered, at most {:?} before; {late} of them \
         longer than {UNWRITTEN:?}",
        expected.total().requests,
        kills.len(),
        missing.len(),
        ages.iter().max().copied().flatten().unwrap_or_default(),
    );
    // Whatever was answered earlier is there.
    assert!(ages.iter().all(|age| age.is_some_and(|age| age <= UNWRITTEN + BUSY)), "{ages:?}");
    assert!(lost <= (broken + missing.len()) as u64, "{lost}");
    for by in REPORTS {
        let (said, expected) = (rows(&usage(&planes, by)?, by)?, expected.by(by));
        for (name, account) in said {
            let billed = expected.get(&name).copied().unwrap_or_default();
            assert!(account.requests <= billed.requests, "{name:?}: {account:?} {billed:?}");
            assert!(account.cost_nanodollars <= billed.cost_nanodollars, "{name:?}: {account:?} {billed:?}");
        }
    }
    Ok(())
}
