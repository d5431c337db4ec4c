//! The grid as people read it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{DIALECTS, Place, Verdict};

/// Thirty-six rows and a column a scenario, in the order in which they were played.
#[must_use]
pub fn table(verdicts: &BTreeMap<Place, Verdict>, scenarios: &[String]) -> String {
    let mut out = String::from("\nfrom to (● whole, ○ with a stated loss, ✗ wrong)\n");
    for (number, scenario) in scenarios.iter().enumerate() {
        let _infallible = writeln!(out, "{:>38}{}{scenario}", "", "│".repeat(number));
    }
    for (caller, target) in DIALECTS.iter().flat_map(|from| DIALECTS.iter().map(move |to| (from.0, to.0))) {
        let of = |scenario: &String| {
            let (caller, target, scenario) = (caller.to_owned(), target.to_owned(), scenario.clone());
            match verdicts.get(&Place { caller, target, scenario }) {
                Some(Verdict::Whole) => '●',
                Some(Verdict::Stated) => '○',
                Some(Verdict::Wrong(_)) => '✗',
                None => ' ',
            }
        };
        let marks: String = scenarios.iter().map(of).collect();
        let good = marks.chars().filter(|mark| matches!(mark, '●' | '○')).count();
        let _infallible = writeln!(out, "{caller:<18} {target:<18} {marks} {good}/{}", scenarios.len());
    }
    out
}
