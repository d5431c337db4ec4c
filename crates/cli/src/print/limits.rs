//! What is known of providers' limits, as a table.

use super::{Table, cell, list};
use serde_json::Value;

/// A row for each limit of these quota domains and models; nothing where no provider has told of any.
pub(crate) fn limits(quotas: &Value) -> Option<Table> {
    let headings = &["QUOTA", "MODEL", "UNIT", "LEFT", "LIMIT", "WHOLE IN", "TOLD", "RESTS FOR"];
    let mut table = Table::new(headings, "no provider has told of a limit");
    let mut is_empty = true;
    for quota in list(quotas) {
        is_empty = false;
        let known = || ["domain", "model"].map(|name| cell(quota, name));
        let rests = match seconds(quota, "cooling_ms") {
            none if none == "0.0 s" => "-".to_owned(),
            rests => rests,
        };
        let levels: Vec<&Value> = quota.get("limits").map(list).into_iter().flatten().collect();
        if levels.is_empty() {
            table.row(
                known().into_iter().chain(std::iter::repeat_n("-".to_owned(), 5)).chain([rests.clone()]),
            );
        }
        for level in levels {
            let counts = ["unit", "remaining", "limit"].map(|name| cell(level, name));
            let age = format!("{} ago", seconds(level, "age_ms"));
            let row =
                known().into_iter().chain(counts).chain([seconds(level, "reset_ms"), age, rests.clone()]);
            table.row(row);
        }
    }
    (!is_empty).then_some(table)
}

fn seconds(value: &Value, name: &str) -> String {
    let millis = value.get(name).and_then(Value::as_u64).unwrap_or_default();
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}
