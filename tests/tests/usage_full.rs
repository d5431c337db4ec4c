//! Usage that finds no room: a replica's disk is full while the control plane is away (D12). Traffic goes on, and nothing is lost
//! as long as the process lives.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use keyway_e2e::gateway::Outcome;
use keyway_e2e::tmpfs::Tmpfs;
use keyway_e2e::usage::{Calls, Gate, all_the_same, prices, settled, yaml};
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
