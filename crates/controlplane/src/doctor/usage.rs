//! The books of usage: whether they are kept, whether anything is missing in them, whether there is room.

use super::{Finding, or_ok};
use crate::usage::{Condition, Retention};
use keyway_config::Expiry;

const USAGE: &str = "usage";

pub(crate) fn usage(condition: &Condition, retention: &Retention) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(why) = &condition.failing {
        let what_to_do = "put the disk right or make room; replicas keep what they count until then";
        found.push(Finding::fail(USAGE, format!("nothing is booked: {why}"), what_to_do));
    }
    for file in &condition.aside {
        let what = format!("a damaged file was put aside: {}", file.display());
        let what_to_do =
            "sums begin anew after it; look at the disk, and delete the file when it is of no use";
        found.push(Finding::warn(USAGE, what, what_to_do));
    }
    let left_out = condition.left_out.unwrap_or_default();
    if left_out.frames > 0 {
        let since = Expiry::from_unix(left_out.after / 1000);
        let what = format!(
            "{} frames that were booked after {since} did not come back after a restore",
            left_out.frames
        );
        let what_to_do =
            "what a replica has no more is only in the books that the restore put aside, if there were any";
        found.push(Finding::warn(USAGE, what, what_to_do));
    }
    let counted = [
        (
            condition.lost.saturating_sub(left_out.frames),
            "frames never came: what replicas counted in them is missing",
        ),
        (
            condition.overlapped,
            "frames overlapped what is booked and were passed over, so that nothing counts twice",
        ),
        (condition.malformed, "batches could not be read and were refused; their replicas keep them"),
    ];
    for (count, what) in counted.into_iter().filter(|(count, _)| *count > 0) {
        let what_to_do =
            "see the log for the replica; run the same version everywhere, and keep state directories";
        found.push(Finding::warn(USAGE, format!("{count} {what}"), what_to_do));
    }
    if condition.bytes > retention.max_size {
        let what =
            format!("{} bytes, more than usage.max_size; records go before their time", condition.bytes);
        found.push(Finding::warn(USAGE, what, "raise usage.max_size or shorten usage.records"));
    }
    or_ok(found, USAGE, || format!("booked, {} bytes", condition.bytes))
}
