//! docs/faults.md says which tests show what becomes of each fault: every case stands there once, and every test exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::root;

/// Cases of each kind.
const CASES: [(char, u32); 7] = [('C', 20), ('U', 24), ('P', 20), ('D', 13), ('S', 12), ('T', 10), ('R', 10)];
/// Where tests stand.
const SOURCES: [&str; 2] = ["tests", "crates"];

/// Every name behind a `fn` of the Rust files below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            functions(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path)?;
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
    Ok(())
}

#[test]
fn every_case_stands_once_and_every_test_exists() -> Outcome {
    let page = fs::read_to_string(root().join("docs/faults.md"))?;
    let mut known = BTreeSet::new();
    for folder in SOURCES {
        functions(&root().join(folder), &mut known)?;
    }
    let mut listed = Vec::new();
    let mut missing = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, case, _, shown, _] = cells.as_slice() else { continue };
        if case.starts_with("---") {
            continue;
        }
        listed.push((*case).to_owned());
        let tests: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert_eq!(tests.is_empty(), shown.starts_with("not yet: "), "{row}");
        missing.extend(
            tests.iter().filter(|test| !known.contains(**test)).map(|test| format!("{case}: {test}")),
        );
    }
    let wanted: Vec<String> = CASES
        .iter()
        .flat_map(|(kind, count)| (1..=*count).map(move |number| format!("{kind}{number}")))
        .collect();
    assert_eq!(listed, wanted);
    assert!(missing.is_empty(), "named and not there: {missing:#?}");
    Ok(())
}
