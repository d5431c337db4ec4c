//! What is wrong with a cell: for the SDK's user, or in what reached the provider.

use std::collections::BTreeMap;

use keyway_testkit::strict::Seen;
use serde_json::Value;

use super::understood::understood;
use super::{Cell, Place, Stated};

/// How a cell came out.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything arrived, both ways.
    Whole,
    /// Something is lost, named to the caller, and listed with its reason.
    Stated,
    /// Something is lost or wrong.
    Wrong(String),
}

/// Judges all cells by the provider's records.
#[must_use]
pub fn judge(cells: &[Cell], records: &[Seen], stated: &Stated) -> BTreeMap<Place, Verdict> {
    let mut seen = BTreeMap::<Place, Vec<&Seen>>::new();
    for record in records {
        if let Some(place) = record.model.as_deref().and_then(Place::of_model) {
            seen.entry(place).or_default().push(record);
        }
    }
    seen.values_mut().for_each(|records| records.sort_by_key(|record| record.n));
    cells
        .iter()
        .map(|cell| {
            let records = seen.get(&cell.place).map_or(&[][..], Vec::as_slice);
            (cell.place.clone(), verdict(cell, records, stated))
        })
        .collect()
}

/// What a refusal of Keyway's says, whichever the SDK.
const REFUSED: &str = "cannot be expressed in";

fn verdict(cell: &Cell, records: &[&Seen], stated: &Stated) -> Verdict {
    let fault = fault(cell, records);
    match (fault, stated.thing(&cell.place)) {
        (None, None) => Verdict::Whole,
        (Some(why), None) => Verdict::Wrong(why),
        (None, Some(thing)) => Verdict::Wrong(format!("`{thing}` is listed as lost and is not")),
        (Some(why), Some(thing)) if !cell.names_a_drop() && !why.contains(REFUSED) => {
            Verdict::Wrong(format!("`{thing}` is lost silently: {why}"))
        }
        (Some(why), Some(thing)) if !cell.names_a_drop() && !records.is_empty() => {
            Verdict::Wrong(format!("`{thing}` is refused after it went out: {why}"))
        }
        (Some(_), Some(_)) => Verdict::Stated,
    }
}

/// What the user saw first, then what the provider saw.
fn fault(cell: &Cell, records: &[&Seen]) -> Option<String> {
    let provider = records.iter().find_map(|record| objection(record));
    let user = cell.why.as_ref().map(|why| match &provider {
        Some(objection) => format!("{why} [{objection}]"),
        None => why.clone(),
    });
    if user.is_some() || provider.is_some() {
        return user.or(provider);
    }
    let mut records = records.to_vec();
    // What the gateway tries again is one request of the caller's.
    records.dedup_by(|again, first| {
        first.status >= Some(500) && (&first.seen, first.stream) == (&again.seen, again.stream)
    });
    if records.len() != cell.said.len() {
        return Some(format!("{} requests became {} at the provider", cell.said.len(), records.len()));
    }
    cell.said.iter().zip(records).find_map(|(said, record)| {
        let target = said.get("at").and_then(Value::as_str).filter(|at| !at.is_empty());
        let target = target.unwrap_or(&cell.place.target);
        if record.dialect.as_deref() != Some(target) {
            return Some(format!("it went to {:?} {}", record.dialect, record.path));
        }
        let stream = said.get("stream").and_then(Value::as_bool);
        if stream != record.stream {
            return Some(format!("stream: said {stream:?}, seen {:?}", record.stream));
        }
        understood(said, &record.seen).err()
    })
}

fn objection(record: &Seen) -> Option<String> {
    (!record.violations.is_empty()).then(|| format!("the provider objects: {:?}", record.violations))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cell(why: Option<&str>, dropped: &[&str]) -> Cell {
        serde_json::from_value(json!({
            "caller": "cohere-chat", "target": "gemini", "scenario": "reasoning", "why": why, "dropped": dropped, "ms": 1,
            "said": [{ "system": "s", "turns": [], "tools": [], "stream": false, "at": "" }],
        }))
        .unwrap()
    }

    fn seen(dialect: &str, system: &str, violations: &[&str]) -> Seen {
        serde_json::from_value(json!({
            "n": 1, "dialect": dialect, "path": "/", "model": "m.grid.cohere-chat.gemini.reasoning.sim-text", "stream": false,
            "status": 200, "headers": {}, "body": {}, "seen": { "system": system, "turns": [], "tools": [] },
            "violations": violations, "outcome": "complete",
        }))
        .unwrap()
    }

    fn verdict_of(cell: Cell, records: &[Seen], stated: &Stated) -> Verdict {
        judge(&[cell], records, stated).into_values().next().unwrap()
    }

    #[test]
    fn a_cell_is_whole_only_if_the_user_and_the_provider_are_content() {
        let none = Stated::default();
        assert_eq!(verdict_of(cell(None, &[]), &[seen("gemini", "s", &[])], &none), Verdict::Whole);
        for (cell, records) in [
            (cell(Some("no text"), &[]), vec![seen("gemini", "s", &[])]),
            (cell(None, &[]), vec![seen("gemini", "other", &[])]),
            (cell(None, &[]), vec![seen("openai-chat", "s", &[])]),
            (cell(None, &[]), vec![seen("gemini", "s", &["a header"])]),
            (cell(None, &[]), vec![]),
            (cell(None, &[]), vec![seen("gemini", "s", &[]), seen("gemini", "s", &[])]),
        ] {
            let verdict = verdict_of(cell, &records, &none);
            assert!(matches!(verdict, Verdict::Wrong(_)), "{verdict:?} {records:?}");
        }
    }

    #[test]
    fn a_listed_loss_must_be_there_and_be_named() {
        let stated = Stated::read().unwrap();
        let lost = [seen("gemini", "other", &[])];
        assert_eq!(verdict_of(cell(None, &["messages[1].thinking"]), &lost, &stated), Verdict::Stated);
        let silent = verdict_of(cell(None, &[]), &lost, &stated);
        assert!(matches!(silent, Verdict::Wrong(_)), "{silent:?}");
        let refused = "400: `messages[1].thinking` cannot be expressed in gemini";
        let late = verdict_of(cell(Some(refused), &[]), &lost, &stated);
        assert!(matches!(late, Verdict::Wrong(_)), "{late:?}");
        assert_eq!(verdict_of(cell(Some(refused), &[]), &[], &stated), Verdict::Stated);
        let whole = verdict_of(cell(None, &[]), &[seen("gemini", "s", &[])], &stated);
        assert!(matches!(whole, Verdict::Wrong(_)), "{whole:?}");
    }
}
