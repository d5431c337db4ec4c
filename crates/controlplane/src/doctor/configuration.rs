//! What stands in the configuration without effect.

use super::{Finding, or_ok};
use keyway_config::File;

const CONFIGURATION: &str = "configuration";

pub(crate) fn configuration(file: &File) -> Vec<Finding> {
    let warnings = keyway_config::warnings(file).into_iter();
    let found = warnings.map(|warning| {
        let what = format!("{}: {}", warning.field, warning.reason);
        Finding::warn(CONFIGURATION, what, "do not rely on it yet")
    });
    or_ok(found.collect(), CONFIGURATION, || "all of it is enforced".to_owned())
}
