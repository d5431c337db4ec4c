//! Checks of one alias.

use super::{At, names, provider};
use crate::file::Model;

const TARGETS_LIMIT: usize = 64;
const FALLBACKS_LIMIT: usize = 16;
const RETRIES_LIMIT: u32 = 10;

pub(super) fn check(at: &mut At<'_>, name: &str, model: &Model) {
    if let Err(reason) = names::alias(name) {
        return at.report(reason);
    }
    if model.targets.is_empty() {
        at.report("needs at least one target: targets: [{ provider: NAME, model: NAME }]");
    }
    if model.targets.len() > TARGETS_LIMIT {
        return at.field("targets").report(format!("has more than {TARGETS_LIMIT} targets"));
    }
    for (index, target) in model.targets.iter().enumerate() {
        let mut targets = at.field("targets");
        let mut at = targets.item(index);
        at.report_field("model", names::model(&target.model));
        at.report_field("weight", provider::weight(target.weight));
    }
    if model.fallback.len() > FALLBACKS_LIMIT {
        at.field("fallback").report(format!("has more than {FALLBACKS_LIMIT} names"));
    }
    if model.retries.is_some_and(|retries| retries > RETRIES_LIMIT) {
        at.field("retries").report(format!("must be at most {RETRIES_LIMIT}"));
    }
    if model.timeout.is_some_and(|timeout| timeout.millis() == 0) {
        at.field("timeout").report("must be more than 0");
    }
    provider::timeouts(&mut at.field("timeouts"), model.timeouts.as_ref());
}
