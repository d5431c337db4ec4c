//! Usage that finds no room while the control plane is away (D12): a spool that is full, a disk that is full. Traffic goes on; detail
//! goes, and no count.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use keyway_e2e::gateway::Outcome;
use keyway_e2e::tmpfs::Tmpfs;
use keyway_e2e::usage::{Calls, Gate, all_the_same, prices, settled, usage, yaml};
use keyway_testkit::billing::Biller;
use keyway_testkit::process::Planes;

const DISK_MIB: u32 = 8;
const CALLERS: usize = 16;

/// Fills the disk to its last byte.
fn fill(ballast: &Path) -> Outcome {
    let mut file = fs::File::create(ballast)?;
    let piece = vec![0; 64 << 10];
    while file.write_all(&piece).is_ok() {}
    Ok(())
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
