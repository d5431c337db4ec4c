//! The grid as people read it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Cell, Place, Verdict};

/// A row a pair and a column a scenario, in the order in which they were played.
#[must_use]
pub fn table(cells: &[Cell], verdicts: &BTreeMap<Place, Verdict>) -> String {
    let scenarios = distinct(cells, |place| place.scenario.as_str());
    let mut out =
        String::from("\n● whole, ○ with a stated loss, ✗ wrong, blank: the caller has no word for it\n");
    for (number, scenario) in scenarios.iter().enumerate() {
        let _infallible = writeln!(out, "{:>42}{}{scenario}", "", "│".repeat(number));
    }
    for (caller, target) in distinct(cells, |place| (place.caller.as_str(), place.target.as_str())) {
        let of = |scenario: &&str| {
            let (caller, target, scenario) = (caller.to_owned(), target.to_owned(), (*scenario).to_owned());
            match verdicts.get(&Place { caller, target, scenario }) {
                Some(Verdict::Whole) => '●',
                Some(Verdict::Stated) => '○',
                Some(Verdict::Wrong(_)) => '✗',
                None => ' ',
            }
        };
        let marks: String = scenarios.iter().map(of).collect();
        let good = marks.chars().filter(|mark| matches!(mark, '●' | '○')).count();
        let played = marks.chars().filter(|mark| *mark != ' ').count();
        let _infallible = writeln!(out, "{caller:<20} → {target:<18} {marks} {good}/{played}");
    }
    out
}

fn distinct<'a, T: PartialEq>(cells: &'a [Cell], of: impl Fn(&'a Place) -> T) -> Vec<T> {
    let mut all = Vec::new();
    for value in cells.iter().map(|cell| of(&cell.place)) {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all
}
