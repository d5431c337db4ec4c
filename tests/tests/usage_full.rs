//! Usage that finds no room while the control plane is away (D12): a spool that is full, a disk that is full. Traffic goes on; detail
//! goes, and no count.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use keyway_e2e::gateway::Outcome;
use keyway_e2e::tmpfs::Tmpfs;
use keyway_e2e::usage::{
    Calls, Gate, Known, Wish, all_the_same, exchange, prices, settled, usage, wish, yaml,
};
use keyway_testkit::billing::{Biller, Kind, Order};
use keyway_testkit::caller::Caller;
use keyway_testkit::process::Planes;

const DISK_MIB: u32 = 8;
const CALLERS: usize = 16;
/// Records that a spool of 1 MiB cannot hold.
const MANY: u64 = 10_000;
/// How long room may take to come back on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Fills the disk to its last byte.
fn fill(ballast: &Path) -> Outcome {
    let mut file = fs::File::create(ballast)?;
    let piece = vec![0; 64 << 10];
    while file.write_all(&piece).is_ok() {}
    Ok(())
}

/// A wish that is answered whole at once.
fn is_plain(wish: &Wish) -> bool {
    let Order { fails, leave_after, break_after, .. } = &wish.order;
    let is_whole = fails.is_empty() && leave_after.is_none() && break_after.is_none();
    wish.kind == Kind::Chat && wish.refused.is_none() && is_whole
}

/// What a replica says of its own usage: the value of this metric.
fn metric(planes: &Planes, name: &str) -> Outcome<u64> {
    let replica = planes.replicas.first().ok_or("no replica")?;
    let (_, metrics) = replica.ops("/metrics")?;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.ok_or_else(|| format!("no {name}"))?.trim().parse::<f64>()? as u64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d12_a_full_spool_loses_detail_and_no_count() -> Outcome {
    let biller = Biller::start(prices())?;
    let setup = Planes::of(yaml(&biller.provider.base_url())).env("KEYWAY_USAGE_SPOOL", "1");
    let mut planes = setup.start(1)?;
    let gate = Gate::of(&planes.replicas)?;
    planes.control.kill()?;
    let known = Calls::start(gate, CALLERS, 80_000..86_000).all().await?;
    let folded = metric(&planes, "keyway_usage_frames_total{step=\"folded\"}")?;
    let bytes = metric(&planes, "keyway_usage_spool_bytes{place=\"disk\"}")?;
    assert!(folded > 0, "the spool was never full: {bytes} bytes");
    assert!(bytes <= 1 << 20, "{bytes} bytes");
    planes.start_control()?;
    let expected = settled(&planes, &biller, &known).await?;
    let reports: [&[&str]; 4] = [&["client", "model"], &["key"], &["team", "alias"], &["provider"]];
    for by in reports {
        expected.assert_same(&usage(&planes, by)?, by)?;
    }
    println!("{:?}; {folded} frames folded, {bytes} bytes waited", expected.total());
    Ok(())
}

/// Strict billing: calls are refused before a single request becomes part of a sum, and served once there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d12_a_full_spool_refuses_where_the_file_says_so() -> Outcome {
    let biller = Biller::start(prices())?;
    let yaml = yaml(&biller.provider.base_url()) + "usage: { when_spool_full: refuse }\n";
    let mut planes = Planes::of(yaml).env("KEYWAY_USAGE_SPOOL", "1").start(1)?;
    let address = planes.replicas.first().ok_or("no replica")?.address()?;
    planes.control.kill()?;
    let mut plain = (0..).map(wish).find(is_plain).ok_or("none")?;
    // Large records fill it sooner.
    plain.order.tags = (0..8).map(|tag| format!("note{tag}={}", "x".repeat(50))).collect();
    let ask = async |number: u64| {
        let order = Order { request: format!("{number}"), ..plain.order.clone() };
        let answered = exchange(address, &plain, &order).await?;
        Outcome::Ok(answered.answer.ok_or("left")?)
    };
    let mut served = 0;
    let refused = loop {
        let answer = ask(served).await?;
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        assert!(served < MANY, "it never refused");
    };
    println!("refused after {served}: {}", refused.text());
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["error"]["reason"], "usage_spool_full");
    let mut caller = Caller::connect(address).await?;
    let list =
        format!("GET /v1/models HTTP/1.1\r\nhost: k\r\nauthorization: Bearer {}\r\n\r\n", plain.client.token);
    assert_eq!(caller.ask(list.as_bytes()).await?.status, 200);
    assert_eq!(metric(&planes, "keyway_usage_spool_full ")?, 1);
    assert_eq!(metric(&planes, "keyway_usage_frames_total{step=\"folded\"}")?, 0);
    planes.start_control()?;
    let end = Instant::now() + PATIENCE;
    while ask(served).await?.status != 200 {
        assert!(Instant::now() < end, "it never had room again");
        tokio::time::sleep(LOOK).await;
    }
    let expected = settled(&planes, &biller, &Known::default()).await?;
    assert_eq!(expected.total().requests, served + 1);
    all_the_same(&planes, &expected)?;
    assert_eq!(metric(&planes, "keyway_usage_requests_total{kept=\"sum\"}")?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d12_a_full_disk_loses_no_count() -> Outcome {
    let Some(disk) = Tmpfs::mount(DISK_MIB)? else {
        println!("NOT TESTED: a disk that is full, because this process may not mount one");
        return Ok(());
    };
    let biller = Biller::start(prices())?;
    let mut planes = Planes::start(&yaml(&biller.provider.base_url()), 0)?;
    symlink(disk.path(), planes.folder().join("replica-1"))?;
    planes.add()?;
    let gate = Gate::of(&planes.replicas)?;
    let calls = Calls::start(gate, CALLERS, 60_000..62_000);
    calls.until(300).await?;
    planes.control.kill()?;
    calls.until(600).await?;
    fill(&disk.path().join("ballast"))?;
    let known = calls.all().await?;
    // The disk is still full when the control plane is there again.
    planes.start_control()?;
    let expected = settled(&planes, &biller, &known).await?;
    all_the_same(&planes, &expected)?;
    fs::remove_file(disk.path().join("ballast"))?;
    println!("{:?} over a full disk", expected.total());
    Ok(())
}
